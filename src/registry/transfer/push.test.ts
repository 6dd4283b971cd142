import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { CodedError } from '#base/errors/index.ts';
import { chainIdOf, type DiffId, digestOf, parseDigest } from '#oci/digest/index.ts';
import { MEDIA } from '#oci/manifest/index.ts';
import { parseReference } from '#oci/reference/index.ts';
import { createArchives } from '#store/archive/index.ts';
import type { Image } from '#store/image/types.ts';
import type { Store } from '#store/root/index.ts';
import { makeImageArchive } from '../../../test/support/busybox.ts';
import { NEEDS_DOCKER_REGISTRY, withDockerRegistry } from '../../../test/support/docker-registry.ts';
import { startRegistry } from '../../../test/support/registry.ts';
import { anonymous, credentialsOf, sendError } from '../../../test/support/registry-double.ts';
import { NEEDS_ROOT } from '../../../test/support/store.ts';
import { addImage, nothingVisible, two, withBench } from '../../../test/support/transfer.ts';
import type { TransferProgress } from './types.ts';

const options = { skip: NEEDS_ROOT };

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

/** An image of one layer that was made here: no compressed form of it is held. */
async function addBuilt(store: Store, bytes: Buffer): Promise<Image> {
  const active = await store.snapshots.prepare('built', undefined);
  writeFileSync(join(active.upperDir, 'file'), bytes);
  const indexPath = store.content.reserveFile();
  const facts = await store.changesets.describeChangeset(
    { dir: active.upperDir, kind: 'overlay' },
    { indexPath },
  );
  const indexDigest = await store.content.hashFile(indexPath);
  await store.content.adoptFile(indexPath, { digest: indexDigest, sizeBytes: statSync(indexPath).size });
  const chainId = chainIdOf([facts.diffId]);
  await store.snapshots.commit('built', chainId);
  store.images.addLayer({ ...facts, indexDigest }, { chainId });
  const config = {
    architecture: 'amd64',
    os: 'linux',
    config: {},
    rootfs: { type: 'layers', diff_ids: [facts.diffId] },
  };
  return store.images.addImage({ configBytes: Buffer.from(JSON.stringify(config)) });
}

test(
  'a large layer is uploaded while it is compressed, and whole from the store when that fails',
  options,
  () =>
    withBench(async ({ store, double, transfer }) => {
      const image = await addBuilt(store, randomBytes(6 * 1024 * 1024));
      const push = async (name: string): Promise<readonly string[]> => {
        const from = double.seen.length;
        await transfer.pushImage(image, parseReference(`${double.host}/${name}`), { credentials: anonymous });
        return double.seen
          .slice(from)
          .flatMap(({ method }) => (method === 'HEAD' || method === 'GET' ? [] : method));
      };
      const isWhole = async (): Promise<boolean> => {
        const [blob] = store.images.listLayerBlobs(image.layers[0]?.diffId as DiffId);
        const sent = double.blobs.get(blob?.digest ?? '');
        return sent !== undefined && digestOf(gunzipSync(sent)) === image.layers[0]?.diffId;
      };
      const forget = (): void => {
        double.blobs.clear();
        store.db.run('DELETE FROM layer_blobs');
      };
      // The layer; the config; the manifest.
      assert.deepEqual((await push('team/app:v1')).toSorted(), [
        'PATCH',
        'POST',
        'POST',
        'PUT',
        'PUT',
        'PUT',
      ]);
      assert.ok(await isWhole());
      assert.deepEqual(await push('team/app:v2'), ['PUT'], 'only the manifest');

      forget();
      let breaks = 1;
      double.intercept = (request) => {
        if (request.method !== 'PATCH' || breaks-- <= 0) return false;
        request.socket.destroy();
        return true;
      };
      assert.equal((await push('team/app:v3')).filter((method) => method === 'PATCH').length, 1);
      assert.ok(await isWhole());

      forget();
      double.intercept = (request, response) => {
        if (request.method !== 'POST') return false;
        sendError(response, 403, 'DENIED', 'requested access to the resource is denied');
        return true;
      };
      await assert.rejects(push('team/app:v4'), { code: 'permission_denied' });
      double.intercept = undefined;
      await push('team/app:v5');
      assert.ok(await isWhole());
    }),
);

test(
  'a large layer goes into a registry of ours while it is compressed, and comes back as it was',
  options,
  () =>
    withBench(async ({ store, transfer }) => {
      await using registry = await startRegistry();
      const image = await addBuilt(store, randomBytes(6 * 1024 * 1024));
      const reference = parseReference(`${new URL(registry.url).host}/team/app:v1`);
      const said: string[] = [];
      await transfer.pushImage(image, reference, {
        credentials: anonymous,
        onProgress: ({ status }) => said.push(status),
      });
      assert.ok(said.includes('Pushed') && said.includes('Pushing'));
      await store.images.removeImage(image.id, { force: true, noprune: false, inUse: () => undefined });
      nothingVisible(store);
      const back = await transfer.pullImage(reference, { credentials: anonymous });
      assert.equal(back.image.id, image.id);
    }),
);

test('a layer that was loaded as a plain tar goes compressed to the registry', options, () =>
  withBench(async ({ store, double, transfer }) => {
    const { archive } = makeImageArchive({ tags: ['box:v1'] });
    const [loaded] = await createArchives(store).loadImages(Readable.from([archive]));
    assert.ok(loaded !== undefined);
    const image = store.images.getImage(loaded.id);
    await transfer.pushImage(image, parseReference(`${double.host}/team/box:v1`), { credentials: anonymous });
    const manifest = JSON.parse(String(double.manifests.get('team/box v1')?.bytes));
    assert.equal(manifest.layers[0].mediaType, MEDIA.dockerLayerGzip);
    const blob = double.blobs.get(manifest.layers[0].digest);
    assert.equal(digestOf(gunzipSync(blob ?? Buffer.alloc(0))), image.config.rootfs.diff_ids[0]);
  }),
);

test('a layer that has changed on the disk is not acknowledged to the registry', options, () =>
  withBench(async ({ store, double, transfer }) => {
    const image = await addBuilt(store, randomBytes(6 * 1024 * 1024));
    const tree = store.snapshots.find(image.chainId as string)?.dir as string;
    writeFileSync(join(tree, 'file'), randomBytes(6 * 1024 * 1024));
    await assert.rejects(
      transfer.pushImage(image, parseReference(`${double.host}/team/app:v1`), { credentials: anonymous }),
      { code: 'data_loss' },
    );
    assert.equal(double.blobs.size, 0);
    assert.deepEqual(store.images.listLayerBlobs(image.layers[0]?.diffId as DiffId), []);
  }),
);
