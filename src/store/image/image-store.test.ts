import assert from 'node:assert/strict';
import { existsSync, rmSync } from 'node:fs';
import { test } from 'node:test';
import { type ChainId, type DiffId, digestOf, shortIdOf } from '#oci/digest/index.ts';
import { formatFamiliar, parseReference } from '#oci/reference/index.ts';
import { openStore } from '#store/root/index.ts';
import { addTestImage, createNoChangesets, NEEDS_ROOT, withStore } from '../../../test/support/store.ts';
import type { ImageStore, ImageUser, RemovalStep } from './types.ts';

const options = { skip: NEEDS_ROOT };
const nobody = (): undefined => undefined;
const DIGEST = `sha256:${'ab'.repeat(32)}`;

function told(steps: readonly RemovalStep[]): string[] {
  return steps.map((step) =>
    'untagged' in step ? `Untagged: ${formatFamiliar(step.untagged)}` : `Deleted: ${step.deleted}`,
  );
}

async function remove(
  images: ImageStore,
  name: string,
  how: { force?: boolean; noprune?: boolean; user?: ImageUser } = {},
): Promise<string[]> {
  const { force = false, noprune = false, user } = how;
  return told(
    await images.removeImage(name, { force, noprune, inUse: user === undefined ? nobody : () => user }),
  );
}

test('an image is found by name, id, short id and digest', options, () =>
  withStore(async (store) => {
    const image = await addTestImage(store, {
      layers: ['a', 'b'],
      tags: ['app', 'localhost:5000/team/app:v1'],
      digests: [`app@${DIGEST}`],
    });
    const names = [
      'app',
      'app:latest',
      'docker.io/library/app',
      'localhost:5000/team/app:v1',
      `app@${DIGEST}`,
    ];
    for (const name of [...names, image.id, image.id.slice(7), shortIdOf(image.id), image.id.slice(0, 12)]) {
      assert.equal(store.images.getImage(name).id, image.id, name);
    }
    assert.deepEqual(image.references.map(formatFamiliar), ['app:latest', 'localhost:5000/team/app:v1']);
    assert.deepEqual(image.repoDigests.map(formatFamiliar), [`app@${DIGEST}`]);
    assert.equal(image.sizeBytes, 2);
    assert.equal(image.layers.length, 2);
    assert.equal(image.createdAt?.toISOString(), '2026-01-02T03:04:05.000Z');
    assert.ok(image.taggedAt);
    assert.deepEqual(
      [...store.images.listImages()].map(({ id }) => id),
      [image.id],
    );
  }),
);

test("an unknown image is not_found in Docker's words, a bad name is invalid", options, () =>
  withStore(async ({ images }) => {
    const refused = (name: string, code: string, message: string): void =>
      assert.throws(() => images.getImage(name), { code, message });
    refused('nope', 'not_found', 'No such image: nope:latest');
    refused('team/nope:v1', 'not_found', 'No such image: team/nope:v1');
    refused(DIGEST, 'not_found', `No such image: ${DIGEST}`);
    refused(
      'UPPER',
      'invalid_argument',
      'invalid reference format: repository name (library/UPPER) must be lowercase',
    );
    assert.equal(images.findImage('UPPER'), undefined);
    assert.equal(images.findImage('abc'), undefined);
  }),
);

test('an ambiguous prefix is refused', options, () =>
  withStore(async (store) => {
    const seen = new Map<string, number>();
    for (let i = 0; ; i++) {
      const { id } = await addTestImage(store, { layers: [], env: `N=${i}` });
      const first = id.slice(7, 8);
      if (seen.has(first)) {
        assert.throws(() => store.images.getImage(first), { code: 'invalid_argument' });
        return;
      }
      seen.set(first, i);
    }
  }),
);

test('an image whose layers are not all here is refused', options, () =>
  withStore(async (store) => {
    const config = { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [DIGEST] } };
    const configBytes = Buffer.from(JSON.stringify(config));
    await assert.rejects(store.images.addImage({ configBytes }), { code: 'failed_precondition' });
    assert.deepEqual([...store.images.listImages()], []);
    const { configBytes: good } = await addTestImage(store, { layers: [], env: 'good=1' });
    await remove(store.images, digestOf(good));
    const images = [{ configBytes: good, tags: [parseReference('good')] }, { configBytes }];
    await assert.rejects(store.images.addImages(images), { code: 'failed_precondition' });
    assert.equal(store.images.findImage('good'), undefined, 'all or none');
  }),
);

test('a name moves to the image that takes it', options, () =>
  withStore(async (store) => {
    const first = await addTestImage(store, { layers: ['a'], tags: ['app'] });
    const second = await addTestImage(store, { layers: ['b'], tags: ['app'] });
    assert.equal(store.images.getImage('app').id, second.id);
    assert.deepEqual(store.images.getImage(first.id).references, []);
    assert.throws(() => store.images.tagImage(parseReference('x'), digestOf('nothing')), {
      code: 'not_found',
    });
    assert.throws(() => store.images.tagImage(parseReference('sha256:x'), first.id), {
      message: 'refusing to create an ambiguous tag using digest algorithm as name',
    });
    assert.throws(() => store.images.tagImage(parseReference(`x@${DIGEST}`), first.id), {
      message: 'refusing to create a tag with a digest reference',
    });
  }),
);

test(
  'rmi of the last name untags, drops digests of that repository, deletes image and layers top down',
  options,
  () =>
    withStore(async (store) => {
      const image = await addTestImage(store, {
        layers: ['a', 'b'],
        tags: ['app:v1'],
        digests: [`app@${DIGEST}`],
      });
      const chain = image.chainId as ChainId;
      const dir = store.snapshots.find(chain)?.dir as string;
      assert.deepEqual(await remove(store.images, 'app:v1'), [
        'Untagged: app:v1',
        `Untagged: app@${DIGEST}`,
        `Deleted: ${image.id}`,
        `Deleted: ${chain}`,
        `Deleted: ${image.config.rootfs.diff_ids[0]}`,
      ]);
      await store.snapshots.drainTrash();
      assert.equal(existsSync(dir), false);
      assert.deepEqual([...store.content.listBlobs()], []);
      assert.equal(store.images.findLayer(image.config.rootfs.diff_ids[0] as DiffId), undefined);
      await assert.rejects(remove(store.images, 'app:v1'), { message: 'No such image: app:v1' });
    }),
);

test('rmi of one name of several only untags', options, () =>
  withStore(async (store) => {
    const { id } = await addTestImage(store, { layers: ['a'], tags: ['app:v1', 'app:v2', 'other'] });
    assert.deepEqual(await remove(store.images, 'app:v1'), ['Untagged: app:v1']);
    assert.deepEqual(await remove(store.images, 'other'), ['Untagged: other:latest']);
    assert.equal(store.images.getImage('app:v2').id, id);
  }),
);

test('layers that another image has stay', options, () =>
  withStore(async (store) => {
    const small = await addTestImage(store, { layers: ['a'], tags: ['small'] });
    const large = await addTestImage(store, { layers: ['a', 'b'], tags: ['large'] });
    assert.deepEqual(await remove(store.images, 'small'), ['Untagged: small:latest', `Deleted: ${small.id}`]);
    assert.deepEqual(await remove(store.images, 'large'), [
      'Untagged: large:latest',
      `Deleted: ${large.id}`,
      `Deleted: ${large.chainId}`,
      `Deleted: ${small.chainId}`,
    ]);
  }),
);

test('containers, leases and the build cache keep layers when the image goes', options, () =>
  withStore(async (store) => {
    const image = await addTestImage(store, { layers: ['a', 'b'], tags: ['app'] });
    await store.snapshots.prepare('container-1', image.chainId);
    const user = { containerId: 'c'.repeat(64), running: false };
    assert.deepEqual(await remove(store.images, 'app', { force: true, user }), [
      'Untagged: app:latest',
      `Deleted: ${image.id}`,
    ]);
    assert.ok(store.snapshots.find(image.chainId as string));
    await store.snapshots.remove('container-1');
    assert.equal((await store.leases.collectGarbage()).snapshots, 2);

    const again = await addTestImage(store, { layers: ['a', 'b'], tags: ['app'] });
    {
      await using lease = store.leases.createLease();
      lease.add({ kind: 'layer', key: again.config.rootfs.diff_ids[1] as string });
      assert.equal((await remove(store.images, 'app')).length, 2);
      assert.equal((await store.leases.collectGarbage()).snapshots, 0);
    }
    assert.equal((await store.leases.collectGarbage()).snapshots, 2);
  }),
);

test("conflicts are told in Docker's words", options, () =>
  withStore(async (store) => {
    const image = await addTestImage(store, { layers: ['a'], tags: ['app:v1'] });
    const short = shortIdOf(image.id);
    const stopped = { containerId: `0123456789ab${'f'.repeat(52)}`, running: false };
    const running = { ...stopped, running: true };
    const refused = (
      name: string,
      how: { force?: boolean; user?: ImageUser },
      message: string,
    ): Promise<void> => assert.rejects(remove(store.images, name, how), { code: 'conflict', message });
    await refused(
      'app:v1',
      { user: stopped },
      `conflict: unable to remove repository reference "app:v1" (must force) - container 0123456789ab is using its referenced image ${short}`,
    );
    await refused(
      short,
      { user: stopped },
      `conflict: unable to delete ${short} (must be forced) - image is being used by stopped container 0123456789ab`,
    );
    await refused(
      short,
      { user: running, force: true },
      `conflict: unable to delete ${short} (cannot be forced) - image is being used by running container 0123456789ab`,
    );
    store.images.tagImage(parseReference('other'), image.id);
    await refused(
      image.id,
      {},
      `conflict: unable to delete ${short} (must be forced) - image is referenced in multiple repositories`,
    );
    const child = await addTestImage(store, { layers: ['a', 'b'], tags: ['child'], parent: image });
    await refused(
      image.id,
      { force: true },
      `conflict: unable to delete ${short} (cannot be forced) - image has dependent child images`,
    );
    assert.deepEqual(await remove(store.images, 'other'), ['Untagged: other:latest']);
    assert.deepEqual(await remove(store.images, 'app:v1'), ['Untagged: app:v1'], 'quiet: the child keeps it');
    assert.deepEqual(await remove(store.images, child.id), [
      'Untagged: child:latest',
      `Deleted: ${child.id}`,
      `Deleted: ${child.chainId}`,
      `Deleted: ${image.id}`,
      `Deleted: ${image.chainId}`,
    ]);
  }),
);

test('noprune keeps parents; force by id takes every name', options, () =>
  withStore(async (store) => {
    const parent = await addTestImage(store, { layers: ['a'] });
    const child = await addTestImage(store, { layers: ['a', 'b'], tags: ['one', 'two'], parent });
    assert.deepEqual(await remove(store.images, child.id, { force: true, noprune: true }), [
      'Untagged: one:latest',
      'Untagged: two:latest',
      `Deleted: ${child.id}`,
      `Deleted: ${child.chainId}`,
    ]);
    assert.ok(store.images.findImage(parent.id));
  }),
);

test('a running container keeps the untagged image without an error when forced by name', options, () =>
  withStore(async (store) => {
    const image = await addTestImage(store, { layers: ['a'], tags: ['app'] });
    const user = { containerId: 'c'.repeat(64), running: true };
    assert.deepEqual(await remove(store.images, 'app', { force: true, user }), ['Untagged: app:latest']);
    assert.ok(store.images.findImage(image.id));
  }),
);

test('an image that lost its config says so, and can be removed', options, () =>
  withStore(async (store) => {
    const image = await addTestImage(store, { layers: ['a'], tags: ['app'] });
    await addTestImage(store, { layers: ['b'] });
    const path = store.content.getBlobPath(image.id);
    rmSync(path);
    const { root } = store;
    await store.close();
    const again = await openStore({ root, changesets: createNoChangesets() });
    try {
      assert.throws(() => again.images.getImage('app'), { code: 'data_loss' });
      assert.equal((await remove(again.images, 'app')).length, 3);
    } finally {
      await again.close();
    }
  }),
);

test('a name that an image has already is given again without waiting for the disk', options, () =>
  withStore(async (store) => {
    const image = await addTestImage(store, { layers: ['a'] });
    const isDurable = (): boolean => store.db.get('PRAGMA synchronous')?.['synchronous'] === 2;
    store.images.tagImage(parseReference('app:v1'), image.id);
    assert.ok(isDurable());
    const before = store.images.getImage('app:v1').taggedAt as Date;
    await new Promise((resolve) => setTimeout(resolve, 5));
    store.images.tagImage(parseReference('app:v1'), image.id);
    assert.equal(isDurable(), false);
    assert.ok((store.images.getImage('app:v1').taggedAt as Date) > before);
    store.images.tagImage(parseReference('app:v2'), image.id);
    assert.ok(isDurable());
  }),
);
