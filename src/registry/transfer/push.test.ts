import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CodedError } from '#base/errors/index.ts';
import { parseDigest } from '#oci/digest/index.ts';
import { parseReference } from '#oci/reference/index.ts';
import { NEEDS_DOCKER_REGISTRY, withDockerRegistry } from '../../../test/support/docker-registry.ts';
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
