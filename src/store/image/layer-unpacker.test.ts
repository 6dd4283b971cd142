import assert from 'node:assert/strict';
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ByteStream } from '#base/bytes/types.ts';
import { type TarHeaderInput, type TarInput, writeTar } from '#base/tar/index.ts';
import { type ChainId, type DiffId, digestOf } from '#oci/digest/index.ts';
import { MEDIA } from '#oci/manifest/index.ts';
import type { Store } from '#store/root/index.ts';
import { NEEDS_ROOT, withStore } from '../../../test/support/store.ts';
import type { LayerToUnpack } from './index.ts';

async function gather(stream: ByteStream): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}

function tar(
  ...entries: readonly (Partial<TarHeaderInput> & { path: string; body?: string })[]
): Promise<Buffer> {
  const inputs = entries.map(({ body, ...header }): TarInput => {
    const whole = { type: 'file', mode: 0o644, ...header } as const;
    return body === undefined ? { header: whole } : { header: whole, body: Buffer.from(body) };
  });
  return gather(writeTar(inputs));
}

function toLayer(bytes: Buffer, diffId = digestOf(bytes) as DiffId): LayerToUnpack {
  async function* stream(): AsyncGenerator<Uint8Array> {
    yield bytes;
  }
  return { diffId, openSource: () => ({ stream: stream() }), compression: 'none' };
}

async function unpack(store: Store, layers: readonly LayerToUnpack[]): Promise<readonly ChainId[]> {
  await using lease = store.leases.createLease();
  return store.layers.unpackStack(layers, { lease });
}

function view<T>(store: Store, name: string | undefined, body: (root: string) => T): T {
  const target = join(store.root, '../view');
  store.snapshots.mountViewAt(name, target);
  try {
    return body(target);
  } finally {
    store.snapshots.unmount(target);
  }
}

for (const driver of ['overlay', 'copy'] as const) {
  const run = (name: string, body: (store: Store) => Promise<void>): void => {
    test(`${driver}: ${name}`, { skip: NEEDS_ROOT }, () => withStore(body, { changesets: 'real', driver }));
  };

  run('a stack is unpacked side by side and stands in order, with whiteouts', async (store) => {
    const layers = [
      await tar(
        { path: 'a', body: 'one' },
        { path: 'gone', body: 'x' },
        { path: 'dir', type: 'directory', mode: 0o755 },
        { path: 'dir/old', body: 'x' },
      ),
      await tar(
        { path: '.wh.gone', body: '' },
        { path: 'dir/.wh..wh..opq', body: '' },
        { path: 'dir/new', body: 'y' },
      ),
      await tar({ path: 'a', body: 'three' }),
    ];
    const chains = await unpack(
      store,
      layers.map((bytes) => toLayer(bytes)),
    );
    view(store, chains[2], (root) => {
      assert.deepEqual(readdirSync(root).sort(), ['a', 'dir']);
      assert.deepEqual(readdirSync(join(root, 'dir')), ['new']);
      assert.equal(readFileSync(join(root, 'a'), 'utf8'), 'three');
    });
    assert.equal(store.snapshots.find(chains[2] as string)?.parent, chains[1]);
    assert.deepEqual(store.snapshots.listActive(), []);
  });

  run('a deep stack does not wait for itself', async (store) => {
    const layers = await Promise.all(
      Array.from({ length: 12 }, (_, i) => tar({ path: `f${i}`, body: String(i) })),
    );
    const chains = await unpack(
      store,
      layers.map((bytes) => toLayer(bytes)),
    );
    view(store, chains.at(-1), (root) => assert.equal(readdirSync(root).length, 12));
  });

  run('a directory that a layer only implies stays what it is below', async (store) => {
    const base = await tar(
      { path: 'home', type: 'directory', mode: 0o711, uid: 7, gid: 8 },
      { path: 'usr/lib', type: 'directory', mode: 0o755 },
      { path: 'usr/lib/old', body: 'x' },
      { path: 'lib', type: 'symlink', linkTarget: 'usr/lib' },
      { path: 'data', type: 'directory', mode: 0o1777 },
      { path: 'data/old', body: 'x' },
    );
    const between = await tar({ path: 'between', body: '1' });
    const top = await tar(
      { path: 'home/file', body: '2' },
      { path: 'lib/new', body: '3' },
      { path: 'data/.wh..wh..opq', body: '' },
      { path: 'srv/www/file', body: '4' },
    );
    const chains = await unpack(store, [toLayer(base), toLayer(between), toLayer(top)]);
    view(store, chains[2], (root) => {
      const { mode, uid, gid } = statSync(join(root, 'home'));
      assert.deepEqual([mode & 0o7777, uid, gid], [0o711, 7, 8]);
      assert.deepEqual(readdirSync(join(root, 'usr/lib')).sort(), ['new', 'old']);
      assert.ok(lstatSync(join(root, 'lib')).isSymbolicLink());
      assert.equal(statSync(join(root, 'data')).mode & 0o7777, 0o1777);
      assert.deepEqual(readdirSync(join(root, 'data')), []);
      assert.equal(statSync(join(root, 'srv/www')).mode & 0o7777, 0o755);
    });
    assert.deepEqual(store.snapshots.listActive(), []);
  });

  run('a hard link to a file of a layer below is made', async (store) => {
    const base = await tar({ path: 'file', body: 'shared' });
    const top = await tar({ path: 'linked', type: 'hardlink', linkTarget: 'file' });
    const chains = await unpack(store, [toLayer(base), toLayer(top)]);
    view(store, chains[1], (root) => assert.equal(readFileSync(join(root, 'linked'), 'utf8'), 'shared'));
  });

  run('the root directory is the topmost layer that has one', async (store) => {
    const base = await tar(
      { path: './', type: 'directory', mode: 0o711, uid: 7, gid: 8 },
      { path: 'a', body: '1' },
    );
    const silent = await tar({ path: 'b', body: '2' });
    const chains = await unpack(store, [
      toLayer(base),
      toLayer(silent),
      toLayer(await tar({ path: 'c', body: '3' })),
    ]);
    view(store, chains[2], (root) => {
      const { mode, uid, gid } = statSync(root);
      assert.deepEqual([mode & 0o7777, uid, gid], [0o711, 7, 8]);
    });
    const loud = await tar({ path: './', type: 'directory', mode: 0o750 }, { path: 'd', body: '4' });
    const more = await unpack(store, [toLayer(base), toLayer(silent), toLayer(loud)]);
    view(store, more[2], (root) => assert.equal(statSync(root).mode & 0o7777, 0o750));
  });

  run('a wrong diffID or a hostile layer fails and leaves nothing active', async (store) => {
    const good = await tar({ path: 'a', body: '1' });
    const wrong = toLayer(await tar({ path: 'b', body: '2' }), digestOf('another') as DiffId);
    await assert.rejects(unpack(store, [toLayer(good), wrong]), { code: 'data_loss' });
    const hostile = await tar({ path: '../escape', body: 'x' });
    await assert.rejects(unpack(store, [toLayer(good), toLayer(hostile)]), { code: 'invalid_argument' });
    assert.deepEqual(store.snapshots.listActive(), []);
    assert.deepEqual(readdirSync(join(store.root, 'content/ingest')), []);
  });

  run('the same stack asked for twice at once is unpacked once', async (store) => {
    const layers = [await tar({ path: 'a', body: '1' }), await tar({ path: 'b', body: '2' })];
    const both = await Promise.all(
      [1, 2].map(() =>
        unpack(
          store,
          layers.map((bytes) => toLayer(bytes)),
        ),
      ),
    );
    assert.deepEqual(both[0], both[1]);
    assert.equal(store.db.all('SELECT 1 FROM snapshots').length, 2);
  });

  run('a layer built here is packed from its tree when someone needs it', async (store) => {
    const [base] = await unpack(store, [
      toLayer(await tar({ path: 'old', body: 'x' }, { path: 'gone', body: 'x' })),
    ]);
    const active = await store.snapshots.prepare('step', base);
    const target = join(store.root, '../step');
    store.snapshots.mountAt('step', target, { volatile: true });
    mkdirSync(join(target, 'new'));
    writeFileSync(join(target, 'new/file'), Buffer.alloc(300_000, 'n'));
    unlinkSync(join(target, 'gone'));
    store.snapshots.unmount(target);
    const indexPath = store.content.reserveFile();
    const against = driver === 'copy' ? { against: store.snapshots.find(base as string)?.dir as string } : {};
    const kind = driver === 'copy' ? 'plain' : 'overlay';
    const facts = await store.changesets.describeChangeset(
      { dir: active.upperDir, kind, ...against },
      { indexPath },
    );
    const indexDigest = await store.content.hashFile(indexPath);
    await store.content.adoptFile(indexPath, { digest: indexDigest, sizeBytes: lstatSync(indexPath).size });
    const chainId = digestOf(`${base} ${facts.diffId}`) as ChainId;
    await store.snapshots.commit('step', chainId);
    store.images.addLayer({ ...facts, indexDigest }, { chainId });
    const bytes = await gather(store.images.openLayerTar(facts.diffId));
    assert.equal(digestOf(bytes), facts.diffId);
    assert.equal(bytes.length, facts.tarSizeBytes);
    const gzip = await store.images.ensureLayerBlob(facts.diffId, 'gzip');
    assert.equal(gzip.mediaType, MEDIA.dockerLayerGzip);
    assert.equal(await store.content.hashFile(store.content.getBlobPath(gzip.digest)), gzip.digest);
    assert.equal(store.images.findDiffId(gzip.digest), facts.diffId);
    assert.equal(
      digestOf(await gather(store.images.openLayerTar(facts.diffId))),
      facts.diffId,
      'from the blob',
    );
    // A tree that somebody changed is noticed.
    writeFileSync(join(store.snapshots.find(chainId)?.dir as string, 'new/file'), Buffer.alloc(300_000, 'm'));
    store.db.run('DELETE FROM layer_blobs');
    await assert.rejects(gather(store.images.openLayerTar(facts.diffId)), { code: 'data_loss' });
    await assert.rejects(store.images.ensureLayerBlob(facts.diffId, 'gzip'));
  });
}
