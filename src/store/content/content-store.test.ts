import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { mount, unmount } from '#base/posix/index.ts';
import { digestOf, hexOf } from '#oci/digest/index.ts';
import { dropLostRows, openDatabase } from '#store/metadata/index.ts';
import { createContentStore, DigestMismatchError } from './index.ts';
import type { ContentStore } from './types.ts';

interface Bench {
  readonly root: string;
  readonly content: ContentStore;
  reopen(bootId?: string): Promise<ContentStore>;
}

async function withStore(body: (bench: Bench) => Promise<void>, root?: string): Promise<void> {
  const dir = root ?? mkdtempSync(join(tmpdir(), 'slipway-content-'));
  let db = openDatabase(join(dir, 'state.db'));
  let content = createContentStore({ root: join(dir, 'content'), db, bootId: 'boot-1' });
  try {
    await body({
      root: dir,
      content,
      reopen: async () => {
        await content.close();
        db.close();
        db = openDatabase(join(dir, 'state.db'));
        content = createContentStore({ root: join(dir, 'content'), db, bootId: 'boot-1' });
        return content;
      },
    });
  } finally {
    await content.close();
    db.close();
    if (root === undefined) rmSync(dir, { recursive: true, force: true });
  }
}

async function readAll(content: ContentStore, digest: ReturnType<typeof digestOf>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of content.openBlob(digest)) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}

test('an ingest becomes a blob at commit and not before', () =>
  withStore(async ({ content, root }) => {
    const bytes = randomBytes(3_000_001);
    const digest = digestOf(bytes);
    {
      await using ingest = await content.openIngest('a');
      for (let at = 0; at < bytes.length; at += 65_536) await ingest.write(bytes.subarray(at, at + 65_536));
      assert.equal(content.findBlob(digest), undefined);
      assert.equal(ingest.offset, bytes.length);
      const blob = await ingest.commit({ digest, sizeBytes: bytes.length });
      assert.equal(blob.sizeBytes, bytes.length);
    }
    assert.deepEqual(await readAll(content, digest), bytes);
    assert.equal(statSync(join(root, 'content/blobs/sha256', hexOf(digest))).size, bytes.length);
    assert.deepEqual(readdirSync(join(root, 'content/ingest')), []);
  }));

test('small and large blobs, sha512 and an empty one are all verified', () =>
  withStore(async ({ content }) => {
    for (const size of [0, 1, 1_048_576, 1_048_577, 2_500_000]) {
      for (const algorithm of ['sha256', 'sha512'] as const) {
        const bytes = randomBytes(size);
        const digest = digestOf(bytes, algorithm);
        await using ingest = await content.openIngest(`${size}-${algorithm}`);
        await ingest.write(bytes);
        await ingest.commit({ digest });
        assert.deepEqual(await readAll(content, digest), bytes);
      }
    }
  }));

test('a digest mismatch drops the bytes and says both digests', () =>
  withStore(async ({ content, root }) => {
    for (const size of [100, 2_000_000]) {
      const bytes = randomBytes(size);
      const wanted = digestOf('something else');
      await using ingest = await content.openIngest('x');
      await ingest.write(bytes);
      await assert.rejects(ingest.commit({ digest: wanted }), (error: unknown) => {
        assert.ok(error instanceof DigestMismatchError);
        assert.equal(error.expected, wanted);
        assert.equal(error.actual, digestOf(bytes));
        assert.equal(error.readBytes, size);
        return true;
      });
      assert.equal(content.findBlob(wanted), undefined);
      assert.deepEqual(readdirSync(join(root, 'content/ingest')), []);
    }
  }));

test('a size mismatch is refused even when the digest is right', () =>
  withStore(async ({ content }) => {
    const bytes = randomBytes(100);
    await using ingest = await content.openIngest('x');
    await ingest.write(bytes);
    await assert.rejects(ingest.commit({ digest: digestOf(bytes), sizeBytes: 99 }), DigestMismatchError);
  }));

test('an ingest that was left is resumed where it stopped, also after a restart', () =>
  withStore(async ({ content, reopen }) => {
    const bytes = randomBytes(5_000_000);
    {
      await using first = await content.openIngest('pull');
      await first.write(bytes.subarray(0, 1_234_567));
    }
    const again = await reopen();
    await again.dropLeftovers();
    await using second = await again.openIngest('pull');
    assert.equal(second.offset, 1_234_567);
    await second.write(bytes.subarray(second.offset));
    await second.commit({ digest: digestOf(bytes), sizeBytes: bytes.length });
  }));

test('truncate starts an ingest anew', () =>
  withStore(async ({ content }) => {
    const bytes = randomBytes(2_000_000);
    await using ingest = await content.openIngest('pull');
    await ingest.write(randomBytes(1_500_000));
    await ingest.truncate();
    assert.equal(ingest.offset, 0);
    await ingest.write(bytes);
    await ingest.commit({ digest: digestOf(bytes) });
  }));

test('the writer may reuse its buffer', () =>
  withStore(async ({ content }) => {
    const buffer = Buffer.alloc(1000);
    const whole: Buffer[] = [];
    await using ingest = await content.openIngest('reuse');
    for (let i = 0; i < 50; i++) {
      buffer.fill(i);
      whole.push(Buffer.from(buffer));
      await ingest.write(buffer);
    }
    await ingest.commit({ digest: digestOf(Buffer.concat(whole)) });
  }));

test('an ingest that does not wait for the disk is lost with its boot, and comes back whole', () =>
  withStore(async ({ content, root, reopen }) => {
    const bytes = randomBytes(2_000_000);
    const digest = digestOf(bytes);
    await using ingest = await content.openIngest('soon');
    await ingest.write(bytes);
    await ingest.commit({ digest }, { durable: false });
    await using other = await content.openIngest('now');
    await other.write(Buffer.from('durable'));
    await other.commit({ digest: digestOf('durable') });
    const after = await reopen(); // a kill is survived
    assert.deepEqual(await readAll(after, digest), bytes);
    const db = openDatabase(join(root, 'state.db'));
    assert.deepEqual(dropLostRows(db, 'boot-2').digests, [digest]);
    db.close();
    assert.equal(after.findBlob(digest), undefined);
    assert.ok(after.findBlob(digestOf('durable')));
    await using again = await after.openIngest('again');
    await again.write(bytes);
    await again.commit({ digest });
    assert.deepEqual(await readAll(after, digest), bytes);
  }));

test('a ref has one writer, two refs of one digest end as one blob', () =>
  withStore(async ({ content }) => {
    const bytes = randomBytes(1_500_000);
    const digest = digestOf(bytes);
    await using a = await content.openIngest('a');
    await assert.rejects(content.openIngest('a'), { code: 'unavailable' });
    await using b = await content.openIngest('b');
    await Promise.all([a.write(bytes), b.write(bytes)]);
    await Promise.all([a.commit({ digest }), b.commit({ digest })]);
    assert.deepEqual(
      [...content.listBlobs()].map((blob) => blob.digest),
      [digest],
    );
    await using again = await content.openIngest('a');
    assert.equal(again.offset, 0);
  }));

test('leftovers of a crash go: reserved files at once, ingests after a day', () =>
  withStore(async ({ content, root }) => {
    writeFileSync(content.reserveFile(), 'half');
    for (const ref of ['young', 'old']) {
      await using ingest = await content.openIngest(ref);
      await ingest.write(Buffer.from(ref));
    }
    const dir = join(root, 'content/ingest');
    const old = new Date(Date.now() - 25 * 3600 * 1000);
    for (const name of readdirSync(dir)) {
      if (statSync(join(dir, name)).size === 3) utimesSync(join(dir, name), old, old);
    }
    await content.dropLeftovers();
    assert.equal(readdirSync(dir).length, 1);
    await using young = await content.openIngest('young');
    assert.equal(young.offset, 5);
  }));

test('adoptFile takes a finished file and refuses one of another size', () =>
  withStore(async ({ content }) => {
    const bytes = randomBytes(10_000);
    const path = content.reserveFile();
    writeFileSync(path, bytes);
    assert.equal(await content.hashFile(path), digestOf(bytes));
    await assert.rejects(content.adoptFile(path, { digest: digestOf(bytes), sizeBytes: 1 }), {
      code: 'internal',
    });
    await content.adoptFile(path, { digest: digestOf(bytes), sizeBytes: bytes.length });
    assert.equal(existsSync(path), false);
    assert.deepEqual(Buffer.from(await content.readBlob(digestOf(bytes), 10_000)), bytes);
    await assert.rejects(content.readBlob(digestOf(bytes), 9_999), { code: 'resource_exhausted' });
  }));

test('ranges are half-open, unknown blobs are not_found, a lost file is data_loss', () =>
  withStore(async ({ content }) => {
    const { digest } = await content.putBlob(Buffer.from('0123456789'));
    await content.putBlob(Buffer.from('0123456789'));
    const parts: Uint8Array[] = [];
    for await (const part of content.openBlob(digest, { start: 2, end: 5 })) parts.push(part);
    assert.equal(Buffer.concat(parts).toString(), '234');
    assert.throws(() => content.getBlobPath(digestOf('nothing')), { code: 'not_found' });
    content.dropFile(digest);
    assert.ok(existsSync(content.getBlobPath(digest)), 'a blob with a row keeps its file');
    rmSync(content.getBlobPath(digest));
    await assert.rejects(readAll(content, digest), { code: 'data_loss' });
  }));

test('a blob that was changed on the disk is found out by reading it, and storing it again mends it', () =>
  withStore(async ({ content, root, reopen }) => {
    const document = Buffer.from('{"hello":"world"}');
    const large = randomBytes(200_000);
    const blobs = [await content.putBlob(document), await content.putBlob(large)].map(({ digest }) => digest);
    const [small, big] = blobs as [(typeof blobs)[0], (typeof blobs)[0]];
    const pathOf = (digest: typeof small) => join(root, 'content/blobs/sha256', hexOf(digest));
    for (const digest of blobs) writeFileSync(pathOf(digest), 'something else');
    const store = await reopen();
    const damaged = { code: 'data_loss', message: /its file has other bytes/ };
    await assert.rejects(store.readBlob(small, 1000), damaged);
    assert.throws(() => store.readBlobNow(small, 1000), damaged);
    assert.equal(store.isDamaged(big), false, 'nobody has read it');
    assert.equal(await store.checkBlob(big), false);
    for (const digest of blobs) {
      assert.equal(store.isDamaged(digest), true);
      assert.equal(store.findBlob(digest), undefined);
      assert.throws(() => store.getBlobPath(digest), damaged);
      store.dropFile(digest); // it has a row
      assert.equal(existsSync(pathOf(digest)), true);
    }
    await store.putBlob(document);
    await using ingest = await store.openIngest('again');
    await ingest.write(large);
    await ingest.commit({ digest: big });
    for (const digest of blobs) assert.equal(await store.checkBlob(digest), true);
    assert.deepEqual(Buffer.from(store.readBlobNow(small, 1000)), document);
    rmSync(pathOf(small));
    assert.equal(store.isDamaged(small), true);
    assert.throws(() => store.getBlobPath(small), { code: 'data_loss', message: /its file is missing/ });
    await store.putBlob(document);
    assert.equal(store.isDamaged(small), false);
  }));

test('a full disk is resource_exhausted, the ingest stays valid', {
  skip: process.getuid?.() !== 0 && 'needs root',
}, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'slipway-full-'));
  mount({ source: 'tmpfs', target: dir, type: 'tmpfs', data: 'size=3m' });
  try {
    await withStore(async ({ content, root }) => {
      const bytes = randomBytes(1_500_000);
      await using ingest = await content.openIngest('x');
      const filler = join(root, 'filler');
      writeFileSync(filler, randomBytes(1_800_000));
      await assert.rejects(
        (async () => {
          for (let at = 0; at < bytes.length; at += 300_000)
            await ingest.write(bytes.subarray(at, at + 300_000));
          await ingest.commit({ digest: digestOf(bytes) });
        })(),
        { code: 'resource_exhausted' },
      );
      assert.equal(content.findBlob(digestOf(bytes)), undefined);
      rmSync(filler);
      await ingest.write(bytes.subarray(ingest.offset));
      await ingest.commit({ digest: digestOf(bytes) });
      assert.deepEqual(await readAll(content, digestOf(bytes)), bytes);
    }, dir);
  } finally {
    unmount(dir);
    rmSync(dir, { recursive: true });
  }
});
