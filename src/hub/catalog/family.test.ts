import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { type Digest, digestOf } from '#oci/digest/index.ts';
import { MEDIA } from '#oci/manifest/index.ts';
import {
  createSqlMetadata,
  openFolderStorage,
  openRegistryDatabase,
  REGISTRY_MIGRATIONS,
} from '#registry/server/index.ts';
import { Catalog } from './catalog.ts';
import { ImageFamilies } from './family.ts';
import { DocumentReader } from './reader.ts';

const viewer = { username: 'admin', isAdmin: true };

interface Shelf {
  push(repository: string, layers: readonly string[], tag?: string): Promise<Digest>;
  remove(repository: string, digest: Digest): Promise<void>;
  open(): ImageFamilies;
  rows(): Promise<number>;
}

/** Manifests and configs in a registry without a server. */
async function withShelf(body: (shelf: Shelf) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'slipway-family-'));
  const database = openRegistryDatabase(join(dir, 'hub.db'));
  const storage = await openFolderStorage({ root: dir });
  const metadata = createSqlMetadata(database);
  const db = database.open<unknown>(REGISTRY_MIGRATIONS);
  const catalog = new Catalog(db, { publicByDefault: false });
  const addBlob = async (repository: string, bytes: Buffer) => {
    const digest = digestOf(bytes);
    const blob = { repository, digest, sizeBytes: bytes.length, location: { content: bytes } };
    await metadata.addBlob(blob, async () => true);
    return { digest, size: bytes.length };
  };
  try {
    await body({
      async push(repository, names, tag) {
        await catalog.ensure(repository, 'admin');
        const layers = [];
        for (const name of names)
          layers.push({ mediaType: MEDIA.ociLayer, ...(await addBlob(repository, Buffer.from(name))) });
        const diffIds = layers.map((layer) => layer.digest);
        const config = { os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: diffIds } };
        const stored = await addBlob(repository, Buffer.from(JSON.stringify(config)));
        const manifest = { schemaVersion: 2, config: { mediaType: MEDIA.ociConfig, ...stored }, layers };
        const bytes = Buffer.from(JSON.stringify(manifest));
        const digest = digestOf(bytes);
        await metadata.putManifest({
          repository,
          digest,
          mediaType: MEDIA.ociManifest,
          bytes,
          artifactType: undefined,
          subject: undefined,
          annotations: undefined,
          references: [],
          contentSizeBytes: 0,
          tags: tag === undefined ? [] : [tag],
          pushedBy: 'admin',
          fixedTags: [],
        });
        return digest;
      },
      async remove(repository, digest) {
        await metadata.deleteManifest(repository, digest);
      },
      open: () => new ImageFamilies(db, catalog, new DocumentReader({ metadata, storage })),
      async rows() {
        const rows = database.open<{ image_chains: { chain_id: string } }>(REGISTRY_MIGRATIONS);
        return (await rows.read.selectFrom('image_chains').selectAll().execute()).length;
      },
    });
  } finally {
    await storage.close();
    await database.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

const names = (list: readonly { readonly repository: string }[]) => list.map((each) => each.repository);

describe('ImageFamilies', () => {
  test('backfill notes what was pushed before, in small steps, once', () =>
    withShelf(async ({ push, open, rows }) => {
      const base = await push('library/base', ['a'], 'v1');
      for (let at = 0; at < 120; at++) await push('admin/many', ['a', `child ${at}`]);
      const families = open();
      await families.backfill();
      assert.equal(await rows(), 241);
      const { usedBy, uses } = await families.find('library/base', base, viewer);
      assert.equal(usedBy.length, 100, 'as many as are shown');
      assert.deepEqual(uses, []);
      await push('admin/later', ['a', 'b']);
      await open().backfill();
      assert.equal(await rows(), 241, 'it is not done again');
    }));

  test('the nearest base comes first, official ones before others, and what is deleted is gone with its rows', () =>
    withShelf(async ({ push, open, rows, remove }) => {
      const families = open();
      const note = async (repository: string, layers: readonly string[], tag?: string) => {
        const digest = await push(repository, layers, tag);
        await families.note(repository, digest);
        return digest;
      };
      await note('admin/copy', ['a'], 'v1');
      await note('library/base', ['a'], 'v1');
      const middle = await note('admin/middle', ['a', 'b'], 'v1');
      const app = await note('admin/app', ['a', 'b', 'c'], 'v1');
      await note('admin/reversed', ['b', 'a'], 'v1');
      const found = await families.find('admin/app', app, viewer);
      assert.deepEqual(names(found.uses), ['admin/middle', 'library/base', 'admin/copy']);
      assert.deepEqual(found.uses[0]?.tags, ['v1']);
      assert.deepEqual(names((await families.find('admin/middle', middle, viewer)).usedBy), ['admin/app']);
      const before = await rows();
      await remove('admin/middle', middle);
      assert.equal(await rows(), before - 2);
      assert.deepEqual(names((await families.find('admin/app', app, viewer)).uses), [
        'library/base',
        'admin/copy',
      ]);
    }));

  test('a stranger sees relatives in public and own repositories only', () =>
    withShelf(async ({ push, open }) => {
      const families = open();
      const base = await push('library/base', ['a'], 'v1');
      for (const repository of ['admin/private', 'mallory/own'])
        await families.note(repository, await push(repository, ['a', repository]));
      const seen = async (account: { username: string; isAdmin: boolean } | undefined) =>
        names((await families.find('library/base', base, account)).usedBy).sort();
      assert.deepEqual(await seen(viewer), ['admin/private', 'mallory/own']);
      assert.deepEqual(await seen({ username: 'mallory', isAdmin: false }), ['mallory/own']);
      assert.deepEqual(await seen(undefined), []);
    }));
});
