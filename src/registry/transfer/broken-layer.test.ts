import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { MEDIA } from '#oci/manifest/index.ts';
import { sha256Of } from '../../../test/support/registry-double.ts';
import { NEEDS_ROOT } from '../../../test/support/store.ts';
import { addImage, layerOf, nothingVisible, two, withBench } from '../../../test/support/transfer.ts';
import type { TransferProgress } from './types.ts';

const options = { skip: NEEDS_ROOT };

const BROKEN: readonly [string, (bytes: Buffer) => Buffer, RegExp][] = [
  [
    'other bytes of the same size',
    (bytes) => Buffer.alloc(bytes.byteLength, 7),
    /filesystem layer verification failed for digest sha256:/,
  ],
  [
    'more bytes than promised',
    (bytes) => Buffer.concat([bytes, bytes]),
    /more than the \d+ bytes its manifest promises/,
  ],
  ['fewer bytes than promised', (bytes) => bytes.subarray(0, 40), /unexpected EOF|416|failed/],
];

for (const [what, change, message] of BROKEN) {
  test(`a layer with ${what} fails the pull and leaves nothing to be seen`, options, () =>
    withBench(async ({ store, double, pull }) => {
      const made = addImage(double, 'team/app', two());
      const digest = made.blobs[0] ?? '';
      const right = double.blobs.get(digest) ?? Buffer.alloc(0);
      double.blobs.set(digest, change(right));
      await assert.rejects(pull('team/app:v1'), message);
      nothingVisible(store);
      double.blobs.set(digest, right);
      assert.equal((await pull('team/app:v1')).image.id, made.config);
    }),
  );
}

test('a layer that unpacks to another diffID is refused', options, () =>
  withBench(async ({ store, double, pull }) => {
    const made = addImage(double, 'team/app', two());
    const lie = gzipSync(layerOf({ evil: '1' }));
    const manifest = JSON.parse(made.manifest.toString('utf8')) as {
      layers: { digest: string; size: number }[];
    };
    const [first] = manifest.layers;
    assert.ok(first);
    Object.assign(first, { digest: sha256Of(lie), size: lie.byteLength });
    double.blobs.set(sha256Of(lie), lie);
    const bytes = Buffer.from(JSON.stringify(manifest));
    for (const key of ['v1', sha256Of(bytes)])
      double.manifests.set(`team/app ${key}`, { bytes, type: MEDIA.dockerManifest });
    await assert.rejects(pull('team/app:v1'), /layers from manifest don't match image configuration/);
    nothingVisible(store);
  }),
);

test(
  'a connection that breaks in the middle of a layer goes on where it broke, or anew when the range is ignored',
  options,
  () =>
    withBench(async ({ double, pull }) => {
      for (const keepsRange of [true, false]) {
        const text = Array.from(
          { length: 40_000 },
          (_, i) => (i * 7919 * (keepsRange ? 1 : 3)) % 10_007,
        ).join(' ');
        const made = addImage(double, `team/big${keepsRange ? 1 : 2}`, [layerOf({ big: text })]);
        const digest = made.blobs[0] ?? '';
        const bytes = double.blobs.get(digest) ?? Buffer.alloc(0);
        let broken = 0;
        double.intercept = (request, response) => {
          if (!request.url?.endsWith(digest)) return false;
          if (!keepsRange && broken > 0)
            return Boolean(response.writeHead(200, { 'content-length': bytes.byteLength }).end(bytes));
          if (broken++ > 0) return false;
          response.writeHead(200, { 'content-length': bytes.byteLength });
          response.write(bytes.subarray(0, 50_000), () => setTimeout(() => response.destroy(), 20));
          return true;
        };
        double.seen.length = 0;
        const { image } = await pull(`team/big${keepsRange ? 1 : 2}:v1`);
        assert.equal(image.id, made.config);
        const ranges = double.seen.filter(({ url }) => url.endsWith(digest)).map(({ range }) => range);
        assert.equal(ranges.length, 2);
        assert.match(ranges[1] ?? '', /^bytes=[1-9]\d*-$/);
      }
    }),
);

test('a cancelled pull leaves nothing to be seen and the next one resumes', options, () =>
  withBench(async ({ store, double, pull }) => {
    const text = Array.from({ length: 400_000 }, (_, i) => (i * 7919) % 10_007).join(' ');
    const made = addImage(double, 'team/big', [layerOf({ big: text })]);
    const digest = made.blobs[0] ?? '';
    const bytes = double.blobs.get(digest) ?? Buffer.alloc(0);
    double.intercept = (request, response) => {
      if (!request.url?.endsWith(digest) || request.headers.range) return false;
      response.writeHead(200, { 'content-length': bytes.byteLength });
      response.write(bytes.subarray(0, 300_000)); // and then nothing
      return true;
    };
    const controller = new AbortController();
    const reason = new Error('enough');
    const onProgress = ({ status }: TransferProgress): void => {
      if (status === 'Downloading') setTimeout(() => controller.abort(reason), 200);
    };
    await assert.rejects(
      pull('team/big:v1', { signal: controller.signal, onProgress }),
      (error) => error === reason,
    );
    nothingVisible(store);
    double.seen.length = 0;
    assert.equal((await pull('team/big:v1')).image.id, made.config);
    const [request] = double.seen.filter(({ url }) => url.endsWith(digest));
    assert.match(request?.range ?? '', /^bytes=[1-9]\d+-$/);
  }),
);
