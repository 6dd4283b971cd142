import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { type Digest, digestOf } from '#oci/digest/index.ts';
import {
  createSqlMetadata,
  type FolderStorage,
  openFolderStorage,
  openRegistryDatabase,
  REGISTRY_MIGRATIONS,
} from '#registry/server/index.ts';
import { file, link, tarOf } from '../../../test/support/layer-tar.ts';
import { ImageFiles } from './files.ts';

const REPOSITORY = 'a/b';
const HOUR = 3_600_000;
const TABLES = ['layer_lists', 'doomed_keys'] as const;

/** The methods of a storage, for an object that has others in their place. */
function bind(storage: FolderStorage): Partial<FolderStorage> {
  return {
    openWriter: (key) => storage.openWriter(key),
    finishUpload: (key) => storage.finishUpload(key),
    abortUpload: (key) => storage.abortUpload(key),
    openBlob: (key, range) => storage.openBlob(key, range),
  };
}

/** A registry on disk without its server, and the files of what is put into it. */
async function withFiles(
  body: (hub: {
    readonly files: ImageFiles;
    add(bytes: Buffer, repository?: string): Promise<Digest>;
    drop(digest: Digest): Promise<void>;
    count(table: (typeof TABLES)[number]): Promise<number>;
    stored(): number;
    reopen(): Promise<ImageFiles>;
    /** Over a storage some of whose steps end as told; `after` follows the end of an upload. */
    openWith(steps: Partial<FolderStorage> & { readonly after?: () => Promise<void> }): ImageFiles;
    /** What the registry's collector does with files whose rows are gone. */
    collect(): Promise<void>;
  }) => Promise<void>,
): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'slipway-layers-'));
  const database = openRegistryDatabase(join(dir, 'hub.db'));
  const storage = await openFolderStorage({ root: dir });
  const metadata = createSqlMetadata(database);
  const db = database.open<unknown>(REGISTRY_MIGRATIONS);
  let files = new ImageFiles({ db, metadata, storage });
  try {
    await body({
      files,
      async add(bytes, repository = REPOSITORY) {
        const digest = digestOf(bytes);
        const blob = { repository, digest, sizeBytes: bytes.length, location: { content: bytes } };
        await metadata.addBlob(blob, async () => true);
        return digest;
      },
      async drop(digest) {
        await metadata.deleteBlob(REPOSITORY, digest);
        await metadata.sweep(new Date(Date.now() + 48 * HOUR), 100);
      },
      async count(table) {
        return (await database.read.selectFrom(table).selectAll().execute()).length;
      },
      stored: () =>
        readdirSync(join(dir, 'blobs'), { recursive: true, withFileTypes: true }).filter((each) =>
          each.isFile(),
        ).length,
      async reopen() {
        await files.close();
        files = new ImageFiles({ db, metadata, storage });
        return files;
      },
      openWith({ after, ...steps }) {
        const broken = { ...bind(storage), ...steps } as FolderStorage;
        if (after !== undefined)
          broken.finishUpload = async (key) => {
            await storage.finishUpload(key);
            await after();
          };
        return new ImageFiles({ db, metadata, storage: broken });
      },
      async collect() {
        const later = new Date(Date.now() + 2 * HOUR);
        const keys = await metadata.listDoomedKeys(later, 100);
        for (const key of keys) await storage.removeBlob(key);
        await metadata.forgetKeys(keys);
      },
    });
  } finally {
    await files.close();
    await storage.close();
    await database.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Asks until the layers have been read. */
async function ready<T extends { readonly state: string }>(
  ask: () => Promise<T>,
): Promise<T & { state: 'ready' }> {
  for (let tries = 0; tries < 60; tries++) {
    const answer = await ask();
    if (answer.state === 'ready') return answer as T & { state: 'ready' };
    await sleep(100);
  }
  return assert.fail('the layers were not read in time');
}

describe('ImageFiles', () => {
  test('a layer is read once: its list outlives a restart, serves other images, and goes with the layer', () =>
    withFiles(async ({ files, add, drop, count, stored, reopen }) => {
      const one = await add(gzipSync(tarOf(file('a', '1'), file('b', '22'))));
      const two = await add(zstdCompressSync(tarOf(file('.wh.a', ''), file('c', '333'))));
      const image = { repository: REPOSITORY, layers: [one, two] };
      const root = await ready(() => files.list(image, null, ''));
      assert.deepEqual(
        root.entries.map(({ path }) => path),
        ['b', 'c'],
      );
      assert.deepEqual([await count('layer_lists'), await count('doomed_keys'), stored()], [2, 0, 2]);
      const again = await reopen();
      const alone = await again.list({ repository: REPOSITORY, layers: [one] }, null, '');
      assert.equal(alone.state, 'ready', 'at once');
      assert.equal(stored(), 2, 'nothing was made anew');
      await drop(one);
      assert.deepEqual(
        [await count('layer_lists'), await count('doomed_keys')],
        [1, 1],
        'its file goes later',
      );
    }));

  test('a repository does not see the layers of another, also when their lists are there', () =>
    withFiles(async ({ files, add }) => {
      const secret = await add(gzipSync(tarOf(file('secret', 'x'))));
      await ready(() => files.list({ repository: REPOSITORY, layers: [secret] }, null, ''));
      const other = { repository: 'mallory/x', layers: [secret] };
      const answer = await ready(() => files.list(other, null, ''));
      assert.deepEqual(
        [answer.entries, answer.problems],
        [[], [{ layer: 0, message: 'this layer was not pushed here' }]],
      );
      await assert.rejects(files.preview(other, null, 'secret'), /there is no \/secret/);
    }));

  test('what is wrong with a layer is said, kept, and does not hide the others', () =>
    withFiles(async ({ files, add, count, stored }) => {
      const good = await add(gzipSync(tarOf(file('a', '1'))));
      const climbs = await add(gzipSync(tarOf(file('../../etc/passwd', 'x'))));
      const cut = await add(gzipSync(tarOf(file('b', 'x'.repeat(5000)))).subarray(0, 60));
      const text = await add(Buffer.from('this is no layer at all'.repeat(50)));
      const image = { repository: REPOSITORY, layers: [good, climbs, cut, text] };
      const answer = await ready(() => files.list(image, null, ''));
      assert.deepEqual(
        answer.entries.map(({ path }) => path),
        ['a'],
      );
      assert.deepEqual(
        answer.problems.map(({ layer }) => layer),
        [1, 2, 3],
      );
      assert.match(answer.problems[0]?.message ?? '', /climbs/);
      assert.match(answer.problems[1]?.message ?? '', /unexpected end of file/);
      assert.equal(await count('layer_lists'), 4, 'failures too: nobody can have them read again and again');
      assert.equal(stored(), 1, 'nothing of them stays on disk');
    }));

  test('a preview is the beginning of a file, text or not, through links and in every compression', () =>
    withFiles(async ({ files, add }) => {
      const long = `${'ä'.repeat(200_000)}`;
      const layer = tarOf(
        file('hello', 'grüß dich\n'),
        file('long', long),
        file('binary', Buffer.from([1, 2, 0, 3])),
        file('latin', Buffer.from([0x67, 0xfc, 0x6e])),
        file('empty', ''),
        link('way', 'hello'),
      );
      for (const bytes of [zstdCompressSync(layer), layer, gzipSync(layer)]) {
        const image = { repository: REPOSITORY, layers: [await add(bytes)] };
        await ready(() => files.list(image, null, ''));
        const hello = {
          path: 'hello',
          layer: 0,
          sizeBytes: 12,
          isBinary: false,
          text: 'grüß dich\n',
          isTruncated: false,
        };
        assert.deepEqual(await files.preview(image, null, 'way'), hello);
        if (bytes[0] !== 0x1f) continue; // the rest is the same in all of them
        assert.deepEqual(await files.preview(image, 0, 'hello'), hello);
        const cut = await files.preview(image, null, 'long');
        assert.deepEqual([cut.isTruncated, cut.isBinary, cut.sizeBytes], [true, false, 400_000]);
        assert.equal(cut.text, long.slice(0, (256 * 1024) / 2), 'no half character');
        assert.deepEqual((await files.preview(image, null, 'binary')).isBinary, true);
        assert.deepEqual((await files.preview(image, null, 'latin')).isBinary, true);
        assert.deepEqual((await files.preview(image, null, 'empty')).text, '');
        await assert.rejects(files.preview(image, null, 'nosuch'), /there is no \/nosuch/);
      }
    }));

  test('a hub that dies while a list is written leaves nothing that is not collected', () =>
    withFiles(async ({ add, count, stored, openWith, collect }) => {
      const layer = await add(gzipSync(tarOf(file('a', '1'))));
      const image = { repository: REPOSITORY, layers: [layer] };
      const died = () => Promise.reject(new Error('the power went'));
      for (const [when, storage] of [
        ['before the file is whole', { finishUpload: died }],
        ['before its row is written', { after: died }],
      ] as const) {
        const files = openWith(storage);
        const answer = await ready(() => files.list(image, null, ''));
        await files.close();
        assert.deepEqual(answer.problems, [{ layer: 0, message: 'it cannot be read now' }], when);
        assert.equal(await count('layer_lists'), 0, when);
        await collect();
        assert.deepEqual([await count('doomed_keys'), stored()], [0, 0], when);
      }
      const files = openWith({});
      assert.deepEqual((await ready(() => files.list(image, null, ''))).total, 1, 'the next look makes it');
      await files.close();
    }));

  test('many questions at once read a layer once, and closing ends what runs', () =>
    withFiles(async ({ files, add, stored, count, reopen }) => {
      const layer = await add(gzipSync(tarOf(file('a', 'x'.repeat(3_000_000)))));
      const image = { repository: REPOSITORY, layers: [layer] };
      await Promise.all(Array.from({ length: 20 }, () => ready(() => files.waste(image))));
      assert.deepEqual([stored(), await count('layer_lists')], [1, 1]);
      const other = await add(gzipSync(tarOf(file('b', 'y'.repeat(3_000_000)))));
      const running = files.list({ repository: REPOSITORY, layers: [other] }, null, '');
      await sleep(20);
      const next = await reopen();
      await running.catch(() => {});
      const after = await ready(() => next.list({ repository: REPOSITORY, layers: [other] }, null, ''));
      assert.deepEqual(
        after.entries.map(({ path }) => path),
        ['b'],
      );
    }));
});
