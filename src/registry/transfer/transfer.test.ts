import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { CodedError } from '#base/errors/index.ts';
import { encodeTarHeader, paddingOf, TAR_END } from '#base/tar/index.ts';
import { parseDigest } from '#oci/digest/index.ts';
import { encodeDocument, MEDIA } from '#oci/manifest/index.ts';
import { formatFamiliar, parseReference } from '#oci/reference/index.ts';
import { createRegistryClient } from '#registry/client/index.ts';
import { createChangesets } from '#store/changeset/index.ts';
import type { Store } from '#store/root/index.ts';
import { NEEDS_DOCKER_REGISTRY, withDockerRegistry } from '../../../test/support/docker-registry.ts';
import {
  anonymous,
  credentialsOf,
  type RegistryDouble,
  sendError,
  sha256Of,
  startRegistryDouble,
} from '../../../test/support/registry-double.ts';
import { NEEDS_ROOT, withStore } from '../../../test/support/store.ts';
import { createImageTransfer } from './index.ts';
import type { ImageTransfer, TransferProgress } from './types.ts';

const options = { skip: NEEDS_ROOT };

interface Bench {
  readonly store: Store;
  readonly transfer: ImageTransfer;
  readonly double: RegistryDouble;
  readonly lines: TransferProgress[];
  /** Pulls from the double and records the progress. */
  pull(
    name: string,
    more?: Parameters<ImageTransfer['pullImage']>[1] | object,
  ): ReturnType<ImageTransfer['pullImage']>;
}

async function withBench(body: (bench: Bench) => Promise<void>): Promise<void> {
  const stateDir = mkdtempSync(join(tmpdir(), 'slipway-transfer-'));
  const changesets = createChangesets({ stateDir });
  await using double = await startRegistryDouble();
  const client = createRegistryClient({ retry: { baseDelayMs: 1, attempts: 4 } });
  try {
    await withStore(
      async (store) => {
        const transfer = createImageTransfer({
          ...store,
          client,
          changesets,
          platform: { os: 'linux', architecture: 'amd64' },
        });
        const lines: TransferProgress[] = [];
        const pull: Bench['pull'] = (name, more = {}) =>
          transfer.pullImage(parseReference(`${double.host}/${name}`), {
            credentials: anonymous,
            onProgress: (line) => lines.push(line),
            ...more,
          });
        await body({ store, transfer, double, lines, pull });
      },
      { changesets },
    );
  } finally {
    await client.close();
    await changesets.close();
    rmSync(stateDir, { recursive: true, force: true });
  }
}

function layerOf(files: Readonly<Record<string, string>>): Buffer {
  const parts = Object.entries(files).flatMap(([path, text]) => {
    const body = Buffer.from(text);
    return [
      encodeTarHeader({ path, type: 'file', mode: 0o644, sizeBytes: body.length }),
      body,
      Buffer.alloc(paddingOf(body.length)),
    ];
  });
  return Buffer.concat([...parts, TAR_END]);
}

interface Made {
  readonly manifest: Buffer;
  readonly digest: string;
  readonly config: string;
  readonly blobs: readonly string[];
}

/** Puts an image into the double and tags it. */
function addImage(
  double: RegistryDouble,
  name: string,
  tars: readonly Buffer[],
  how: { readonly architecture?: string; readonly tag?: string } = {},
): Made {
  const keep = (bytes: Buffer): string => {
    double.blobs.set(sha256Of(bytes), bytes);
    return sha256Of(bytes);
  };
  const config = Buffer.from(
    JSON.stringify({
      architecture: how.architecture ?? 'amd64',
      os: 'linux',
      config: { Env: ['A=b'] },
      rootfs: { type: 'layers', diff_ids: tars.map(sha256Of) },
    }),
  );
  const compressed = tars.map((tar) => gzipSync(tar));
  const manifest = Buffer.from(
    encodeDocument({
      schemaVersion: 2,
      mediaType: MEDIA.dockerManifest,
      config: { mediaType: MEDIA.dockerConfig, digest: keep(config), size: config.byteLength },
      layers: compressed.map((bytes) => ({
        mediaType: MEDIA.dockerLayerGzip,
        digest: keep(bytes),
        size: bytes.byteLength,
      })),
    }),
  );
  const entry = { bytes: manifest, type: MEDIA.dockerManifest };
  double.manifests.set(`${name} ${how.tag ?? 'v1'}`, entry);
  double.manifests.set(`${name} ${sha256Of(manifest)}`, entry);
  return { manifest, digest: sha256Of(manifest), config: sha256Of(config), blobs: compressed.map(sha256Of) };
}

const two = (): Buffer[] => [layerOf({ 'etc-a': 'a'.repeat(5000) }), layerOf({ 'etc-b': 'b' })];

function blobRequests(double: RegistryDouble, digest: string): number {
  return double.seen.filter(({ method, url }) => method === 'GET' && url.endsWith(digest)).length;
}

function nothingVisible(store: Store): void {
  assert.deepEqual([...store.images.listImages()], []);
  assert.deepEqual(store.snapshots.listActive(), []);
}

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

test(
  'a push sends what the registry lacks once, mounts what another repository has, and keeps the digest',
  options,
  () =>
    withBench(async ({ store, double, transfer, pull }) => {
      const made = addImage(double, 'team/app', two());
      const { image } = await pull('team/app:v1');
      const push = async (name: string): Promise<{ digest: string; said: string[] }> => {
        const said: string[] = [];
        const onProgress = ({ status }: TransferProgress): void => {
          said.push(status);
        };
        const { digest } = await transfer.pushImage(image, parseReference(`${double.host}/${name}`), {
          credentials: anonymous,
          onProgress,
        });
        return { digest, said: [...new Set(said)] };
      };
      const again = await push('team/app:v2');
      assert.equal(again.digest, made.digest);
      assert.ok(again.said.includes('Layer already exists'));
      assert.equal(double.manifests.get('team/app v2')?.bytes.equals(made.manifest), true);
      double.intercept = (request, response) => {
        // Blobs are seen only where they were put: what this double does not do by itself.
        if (request.method !== 'HEAD' || !request.url?.includes('/v2/team/other/blobs/')) return false;
        return Boolean(response.writeHead(404).end());
      };
      const mounted = await push('team/other:v1');
      assert.ok(mounted.said.includes('Mounted from team/app'), String(mounted.said));
      double.intercept = undefined;
      double.blobs.clear();
      const fresh = await push('team/app:v3');
      assert.deepEqual(fresh.said.slice(0, 2), [
        `The push refers to repository [${double.host}/team/app]`,
        'Preparing',
      ]);
      assert.ok(fresh.said.includes('Pushing') && fresh.said.includes('Pushed'));
      assert.match(fresh.said.at(-1) ?? '', /^v3: digest: sha256:[0-9a-f]{64} size: \d+$/);
      assert.equal(double.blobs.size, 3);
      assert.ok(store.images.getImage(image.id).repoDigests.length > 0);
    }),
);

test('a push without rights is told apart by who is signed in', options, () =>
  withBench(async ({ double, transfer, pull }) => {
    addImage(double, 'team/app', two());
    const { image } = await pull('team/app:v1');
    double.intercept = (request, response) => {
      if (request.method !== 'POST' && request.method !== 'PUT' && request.method !== 'HEAD') return false;
      sendError(response, 403, 'DENIED', 'requested access to the resource is denied');
      return true;
    };
    const reference = parseReference(`${double.host}/library/app:v1`);
    const rows = [
      [anonymous, 'push/not-logged-in', `slipway login ${double.host}`],
      [
        credentialsOf([double.host], { username: 'cynthia', password: 'x' }),
        'push/not-your-namespace',
        `slipway tag ${double.host}/library/app:v1 ${double.host}/cynthia/app:v1 && slipway push ${double.host}/cynthia/app:v1`,
      ],
    ] as const;
    for (const [credentials, id, fix] of rows) {
      await assert.rejects(transfer.pushImage(image, reference, { credentials }), (error: unknown) => {
        assert.ok(error instanceof CodedError);
        assert.equal(error.code, 'permission_denied');
        assert.equal(error.message, 'denied: requested access to the resource is denied');
        assert.deepEqual([error.help?.id, error.help?.fix], [id, [fix]]);
        return true;
      });
    }
  }),
);

test(
  'a built layer goes to a registry that is not ours and comes back with the same image id',
  { skip: NEEDS_ROOT || NEEDS_DOCKER_REGISTRY },
  () =>
    withDockerRegistry((host) =>
      withBench(async ({ store, double, transfer, pull }) => {
        addImage(double, 'team/app', two());
        const { image } = await pull('team/app:v1');
        const reference = parseReference(`${host}/team/app:v1`);
        const { digest } = await transfer.pushImage(image, reference, { credentials: anonymous });
        await store.images.removeImage(image.id, { force: true, noprune: false, inUse: () => undefined });
        nothingVisible(store);
        const back = await transfer.pullImage(reference, { credentials: anonymous });
        assert.equal(back.image.id, image.id);
        assert.equal(back.digest, digest);
        const { descriptor, platforms } = await transfer.inspectDistribution(reference, {
          credentials: anonymous,
        });
        assert.equal(descriptor.digest, parseDigest(digest));
        assert.deepEqual(platforms, [{ os: 'linux', architecture: 'amd64' }]);
        assert.deepEqual(
          await Array.fromAsync(transfer.listRemoteTags(reference, { credentials: anonymous })),
          ['v1'],
        );
        const resolved = await transfer.resolveImage(reference, { credentials: anonymous });
        assert.deepEqual(resolved.config.config?.Env, ['A=b']);
      }),
    ),
);
