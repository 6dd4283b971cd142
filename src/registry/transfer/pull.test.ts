import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { CodedError } from '#base/errors/index.ts';
import { encodeDocument, MEDIA } from '#oci/manifest/index.ts';
import { formatFamiliar } from '#oci/reference/index.ts';
import { sendError, sha256Of } from '../../../test/support/registry-double.ts';
import { NEEDS_ROOT } from '../../../test/support/store.ts';
import {
  addImage,
  blobRequests,
  layerOf,
  type Made,
  two,
  withBench,
} from '../../../test/support/transfer.ts';
import type { TransferProgress } from './types.ts';

const options = { skip: NEEDS_ROOT };

test('a pull speaks as docker does, makes the image, and says so when it is up to date', options, () =>
  withBench(async ({ store, double, lines, pull }) => {
    const made = addImage(double, 'team/app', two());
    const { image, digest, changed } = await pull('team/app:v1');
    assert.equal(digest, made.digest);
    assert.equal(image.id, made.config);
    assert.equal(changed, true);
    assert.deepEqual(image.references.map(formatFamiliar), [`${double.host}/team/app:v1`]);
    assert.deepEqual(image.repoDigests.map(formatFamiliar), [`${double.host}/team/app@${made.digest}`]);
    const dirs = store.snapshots.listDirs(image.chainId ?? '');
    assert.deepEqual(
      dirs.map((dir) => ['etc-a', 'etc-b'].filter((name) => existsSync(join(dir, name)))),
      [['etc-b'], ['etc-a']],
    );
    assert.equal(readFileSync(join(dirs[0] ?? '', 'etc-b'), 'utf8'), 'b');

    const [first = '', second = ''] = made.blobs.map((blob) => blob.slice(7, 19));
    const said = lines.map(({ id, status }) => `${id ?? ''}: ${status}`);
    assert.equal(said[0], 'v1: Pulling from team/app');
    assert.deepEqual(said.slice(1, 3), [`${first}: Pulling fs layer`, `${second}: Pulling fs layer`]);
    const ofFirst = [...new Set(lines.filter(({ id }) => id === first).map(({ status }) => status))];
    assert.deepEqual(ofFirst, [
      'Pulling fs layer',
      'Downloading',
      'Verifying Checksum',
      'Download complete',
      'Extracting',
      'Pull complete',
    ]);
    assert.deepEqual(said.slice(-2), [
      `: Digest: ${made.digest}`,
      `: Status: Downloaded newer image for ${double.host}/team/app:v1`,
    ]);

    lines.length = 0;
    const again = await pull('team/app:v1');
    assert.equal(again.changed, false);
    assert.deepEqual(
      lines.map(({ status }) => status),
      [
        'Pulling from team/app',
        'Already exists',
        'Already exists',
        `Digest: ${made.digest}`,
        `Status: Image is up to date for ${double.host}/team/app:v1`,
      ],
    );
    assert.equal(blobRequests(double, made.blobs[0] ?? ''), 1);
  }),
);

test('a pull by digest takes only these bytes and no tag', options, () =>
  withBench(async ({ double, pull }) => {
    const made = addImage(double, 'team/app', two());
    const { image } = await pull(`team/app@${made.digest}`);
    assert.deepEqual(image.references, []);
    assert.equal(image.repoDigests.length, 1);
    const other = addImage(double, 'team/app', [layerOf({ x: 'y' })], { tag: 'v2' });
    const entry = { bytes: other.manifest, type: MEDIA.dockerManifest };
    const asked = `sha256:${'0'.repeat(64)}`;
    double.manifests.set(`team/app ${asked}`, entry);
    await assert.rejects(pull(`team/app@${asked}`), /manifest verification failed for digest sha256:0000/);
  }),
);

test('the platform is chosen from an index, and a missing one is named with those that exist', options, () =>
  withBench(async ({ store, double, pull }) => {
    const intel = addImage(double, 'team/app', two(), { tag: 'amd64' });
    const arm = addImage(double, 'team/app', [layerOf({ arm: '1' })], {
      tag: 'arm64',
      architecture: 'arm64',
    });
    const index = Buffer.from(
      encodeDocument({
        schemaVersion: 2,
        mediaType: MEDIA.ociIndex,
        manifests: [
          ['arm64', arm],
          ['amd64', intel],
        ].map(([architecture, made]) => ({
          mediaType: MEDIA.dockerManifest,
          digest: (made as Made).digest,
          size: (made as Made).manifest.byteLength,
          platform: { os: 'linux', architecture },
        })),
      }),
    );
    for (const key of ['v1', sha256Of(index)])
      double.manifests.set(`team/app ${key}`, { bytes: index, type: MEDIA.ociIndex });
    const { image, digest } = await pull('team/app:v1');
    assert.equal(image.id, intel.config);
    assert.equal(digest, sha256Of(index));
    const foreign = await pull('team/app:v1', { platform: { os: 'linux', architecture: 'arm64' } });
    assert.equal(foreign.image.id, arm.config);
    assert.equal(store.images.getImage(`${double.host}/team/app:v1`).id, arm.config);
    await assert.rejects(
      pull('team/app:v1', { platform: { os: 'linux', architecture: 's390x' } }),
      (error: unknown) => {
        assert.ok(error instanceof CodedError);
        assert.equal(error.message, 'no matching manifest for linux/s390x in the manifest list entries');
        assert.match(error.help?.cause ?? '', /offered for linux\/arm64, linux\/amd64/);
        return true;
      },
    );
  }),
);

test('two pulls of one image at once fetch each layer once, and both are told', options, () =>
  withBench(async ({ double, pull }) => {
    const made = addImage(double, 'team/app', two());
    const told: string[][] = [[], []];
    const results = await Promise.all(
      told.map((lines) =>
        pull('team/app:v1', { onProgress: ({ status }: TransferProgress) => lines.push(status) }),
      ),
    );
    assert.deepEqual(
      results.map(({ image }) => image.id),
      [made.config, made.config],
    );
    for (const blob of made.blobs) assert.equal(blobRequests(double, blob), 1);
    for (const lines of told) assert.equal(lines.filter((status) => status === 'Pull complete').length, 2);
  }),
);

test(
  'an unknown tag is told with the nearest ones, an unknown repository and missing rights with what to do',
  options,
  () =>
    withBench(async ({ double, pull }) => {
      for (const tag of ['3.12', '3.12-slim', 'latest']) addImage(double, 'team/app', two(), { tag });
      await assert.rejects(pull('team/app:3.1'), (error: unknown) => {
        assert.ok(error instanceof CodedError);
        assert.equal(error.code, 'not_found');
        assert.equal(
          error.message,
          `manifest for ${double.host}/team/app:3.1 not found: manifest unknown: manifest unknown`,
        );
        assert.equal(error.help?.id, 'pull/no-such-tag');
        assert.match(error.help?.cause ?? '', /has 3 tags; nearest: 3\.12, 3\.12-slim, latest/);
        assert.deepEqual(error.help?.fix, [`slipway pull ${double.host}/team/app:3.12`]);
        return true;
      });
      double.intercept = (request, response) => {
        if (!request.url?.includes('/manifests/')) return false;
        sendError(response, 403, 'DENIED', 'requested access to the resource is denied');
        return true;
      };
      await assert.rejects(pull('team/app:v1'), (error: unknown) => {
        assert.ok(error instanceof CodedError);
        assert.equal(
          error.message,
          `pull access denied for ${double.host}/team/app, repository does not exist or may require 'docker login': denied: requested access to the resource is denied`,
        );
        assert.deepEqual(error.help?.fix, [`slipway login ${double.host}`]);
        return true;
      });
    }),
);
