import assert from 'node:assert/strict';
import { existsSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { digestOf, hexOf } from '#oci/digest/index.ts';
import type { Store } from '#store/root/index.ts';
import { addTestImage, NEEDS_ROOT, withStore } from '../../../test/support/store.ts';

const options = { skip: NEEDS_ROOT };

test('gc takes what nothing refers to and leaves every image whole', options, () =>
  withStore(async (store) => {
    const image = await addTestImage(store, { layers: ['a', 'b'], tags: ['app'] });
    const loose = await store.content.putBlob(Buffer.from('loose'));
    const path = store.content.getBlobPath(loose.digest);
    await store.snapshots.prepare('key', image.chainId);
    await store.snapshots.commit('key', 'build/loose', { sizeBytes: 7 });
    await sleep(5);
    assert.deepEqual(await store.leases.collectGarbage(), { blobs: 1, snapshots: 1, bytes: 5 + 7 });
    assert.equal(existsSync(path), false);
    assert.equal(store.snapshots.find('build/loose'), undefined);
    assert.deepEqual(store.images.getImage('app'), image);
    for (const { indexDigest } of image.layers) assert.ok(store.content.findBlob(indexDigest));
    assert.deepEqual(await store.leases.collectGarbage(), { blobs: 0, snapshots: 0, bytes: 0 });
  }),
);

test('gc takes a whole stack whose top nobody needs, from the top down', options, () =>
  withStore(async (store) => {
    let parent: string | undefined;
    for (let i = 0; i < 5; i++) {
      await store.snapshots.prepare('key', parent);
      parent = (await store.snapshots.commit('key', `build/${i}`, { sizeBytes: 1 })).name;
    }
    store.db.run(
      "INSERT INTO build_cache (cache_key, snapshot_name, size, created_at, used_at, document) VALUES ('k', 'build/1', 1, 1, 1, '{}')",
    );
    await sleep(5);
    assert.equal((await store.leases.collectGarbage()).snapshots, 3);
    assert.ok(store.snapshots.find('build/1'));
    assert.equal(store.snapshots.find('build/2'), undefined);
  }),
);

test('gc leaves what is young', options, () =>
  withStore(
    async (store) => {
      const { digest } = await store.content.putBlob(Buffer.from('loose'));
      assert.deepEqual(await store.leases.collectGarbage(), { blobs: 0, snapshots: 0, bytes: 0 });
      store.db.run('UPDATE blobs SET created_at = created_at - 61000 WHERE digest = ?', digest);
      await store.content.putBlob(Buffer.from('loose')); // used again: young again
      assert.equal((await store.leases.collectGarbage()).blobs, 0);
      store.db.run('UPDATE blobs SET created_at = created_at - 61000 WHERE digest = ?', digest);
      assert.equal((await store.leases.collectGarbage()).blobs, 1);
    },
    { graceMs: 60_000 },
  ),
);

test(
  'a lease keeps blobs, snapshots and active snapshots until it is disposed or its time is over',
  options,
  () =>
    withStore(async (store) => {
      const { digest } = await store.content.putBlob(Buffer.from('leased'));
      await store.snapshots.prepare('key', undefined);
      await store.snapshots.commit('key', 'build/leased');
      {
        await using lease = store.leases.createLease();
        lease.add({ kind: 'blob', key: digest });
        lease.add({ kind: 'snapshot', key: 'build/leased' });
        lease.add({ kind: 'snapshot', key: 'build/leased' });
        await sleep(5);
        assert.deepEqual(await store.leases.collectGarbage(), { blobs: 0, snapshots: 0, bytes: 0 });
      }
      const dated = store.leases.createLease({ ttlMs: 50 });
      dated.add({ kind: 'blob', key: digest });
      assert.ok(store.leases.isLeased({ kind: 'blob', key: digest }));
      assert.deepEqual(await store.leases.collectGarbage(), { blobs: 0, snapshots: 1, bytes: 0 });
      await sleep(60);
      assert.equal((await store.leases.collectGarbage()).blobs, 1);
    }),
);

test('files that a crash left between rename and row go when they are old', options, () =>
  withStore(
    async (store) => {
      const digest = digestOf('stray');
      const path = join(store.root, 'content/blobs/sha256', hexOf(digest));
      writeFileSync(path, 'stray');
      await store.leases.collectGarbage();
      assert.ok(existsSync(path));
      const old = new Date(Date.now() - 120_000);
      utimesSync(path, old, old);
      await store.leases.collectGarbage();
      assert.equal(existsSync(path), false);
    },
    { graceMs: 60_000 },
  ),
);

test('gc beside writers that take leases never breaks an image', options, () =>
  withStore(async (store) => {
    let isDone = false;
    const collecting = (async () => {
      let rounds = 0;
      for (; !isDone; rounds++) await store.leases.collectGarbage();
      return rounds;
    })();
    const names: string[] = [];
    try {
      await addAndRemove(store, names);
    } finally {
      isDone = true;
      assert.ok((await collecting) > 0);
    }
    for (const name of names) {
      const image = store.images.getImage(name);
      assert.equal(image.layers.length, 2);
      assert.ok(store.snapshots.find(image.chainId as string), name);
      for (const { indexDigest } of image.layers)
        assert.ok(existsSync(store.content.getBlobPath(indexDigest)));
    }
  }),
);

async function addAndRemove(store: Store, names: string[]): Promise<void> {
  for (let i = 0; i < 40; i++) {
    await using lease = store.leases.createLease();
    const layers = ['shared', `own ${i % 7}`];
    for (const text of layers) {
      lease.add({ kind: 'layer', key: digestOf(`layer ${text}`) });
      lease.add({ kind: 'blob', key: digestOf(`index of ${text}`) });
    }
    lease.add({ kind: 'snapshot', key: digestOf('layer shared') });
    lease.add({
      kind: 'snapshot',
      key: digestOf(`${digestOf('layer shared')} ${digestOf(`layer own ${i % 7}`)}`),
    });
    const configId = digestOf(configOf(i));
    lease.add({ kind: 'blob', key: configId });
    await addTestImage(store, { layers, tags: [`app:${i}`], env: `N=${i}` });
    names.push(`app:${i}`);
    if (i % 3 === 2) {
      const name = names.shift() as string;
      await store.images.removeImage(name, { force: false, noprune: false, inUse: () => undefined });
    }
  }
}

/** As `addTestImage` writes it. */
function configOf(i: number): string {
  const diffIds = ['shared', `own ${i % 7}`].map((text) => digestOf(`layer ${text}`));
  return JSON.stringify({
    created: '2026-01-02T03:04:05Z',
    architecture: 'amd64',
    os: 'linux',
    config: { Env: [`N=${i}`] },
    rootfs: { type: 'layers', diff_ids: diffIds },
  });
}
