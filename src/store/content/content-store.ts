import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { open, readdir, rename, rm, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join, sep } from 'node:path';
import type { ByteStream } from '#base/bytes/types.ts';
import { CodedError, isSystemError } from '#base/errors/index.ts';
import {
  algorithmOf,
  type Digest,
  type DigestAlgorithm,
  digestOf,
  hexOf,
  isDigest,
} from '#oci/digest/index.ts';
import type { Database, Row } from '#store/metadata/index.ts';
import { blobDamaged, blobLost, blobNotFound, DigestMismatchError } from './errors.ts';
import { Hasher } from './hasher.ts';
import { diskError, openIngestFile } from './ingest.ts';
import type { BlobInfo, ContentStore, Ingest } from './types.ts';

const ALGORITHMS: readonly DigestAlgorithm[] = ['sha256', 'sha512'];
const LEFTOVER_AGE_MS = 24 * 60 * 60 * 1000;
const READ_CHUNK_BYTES = 1024 * 1024;

/** Where the bytes are and which database holds the rows. `root` is the `content` folder. */
export interface ContentStoreOptions {
  readonly root: string;
  readonly db: Database;
  /** `unsynced_boot` of rows whose bytes are synced later (`createDurability().bootId`). */
  readonly bootId: string;
}

/** Opens the content store, making its folders. Several stores over one folder must not be open at once. */
export function createContentStore(options: ContentStoreOptions): ContentStore {
  makeLayout(options.root, join(options.root, 'ingest'));
  return new ContentFolder(options);
}

class ContentFolder implements ContentStore {
  readonly #root: string;
  readonly #db: Database;
  readonly #bootId: string;
  readonly #ingestDir: string;
  readonly #hasher = new Hasher();
  readonly #writing = new Set<string>();
  /** Blobs that have a row and were found to be something else on the disk. */
  readonly #damaged = new Set<Digest>();
  /** Blobs whose file has its name already and whose row is not there yet. */
  readonly #publishing = new Map<Digest, number>();

  constructor({ root, db, bootId }: ContentStoreOptions) {
    this.#root = root;
    this.#db = db;
    this.#bootId = bootId;
    this.#ingestDir = join(root, 'ingest');
  }

  findBlob(digest: Digest): BlobInfo | undefined {
    return this.#damaged.has(digest) ? undefined : this.#findRow(digest);
  }

  #findRow(digest: Digest): BlobInfo | undefined {
    const row = this.#db.get('SELECT digest, size, created_at FROM blobs WHERE digest = ?', digest);
    return row === undefined ? undefined : blobOf(row);
  }

  isDamaged(digest: Digest): boolean {
    if (this.#findRow(digest) === undefined) return false;
    if (!existsSync(this.#pathOf(digest))) this.#damaged.add(digest);
    return this.#damaged.has(digest);
  }

  async checkBlob(digest: Digest): Promise<boolean> {
    this.#getBlob(digest);
    const path = this.#pathOf(digest);
    try {
      const { size } = await stat(path);
      if ((await this.#hasher.hashFile(path, size, algorithmOf(digest))) === digest) return true;
    } catch (error) {
      if (!isSystemError(error, 'ENOENT')) throw error;
    }
    this.#damaged.add(digest);
    return false;
  }

  #getBlob(digest: Digest): BlobInfo {
    if (this.#damaged.has(digest))
      throw existsSync(this.#pathOf(digest)) ? blobDamaged(digest) : blobLost(digest, undefined);
    const blob = this.findBlob(digest);
    if (blob === undefined) throw blobNotFound(digest);
    return blob;
  }

  /** The file is whole, verified and (if durable) synced: rename, sync the folder, then the row. */
  async #publish(
    path: string,
    blob: { readonly digest: Digest; readonly sizeBytes: number },
    { durable }: { readonly durable: boolean } = { durable: true },
  ): Promise<BlobInfo> {
    const target = this.#pathOf(blob.digest);
    if (this.#touch(blob.digest, durable) && existsSync(target) && !this.#damaged.has(blob.digest)) {
      await rm(path, { force: true });
      return this.#getBlob(blob.digest);
    }
    this.#publishing.set(blob.digest, (this.#publishing.get(blob.digest) ?? 0) + 1);
    try {
      await rename(path, target);
      this.#damaged.delete(blob.digest);
      if (durable) await syncPath(dirname(target));
      const write = durable ? this.#db.run : this.#db.runSoon;
      write(
        `INSERT INTO blobs (digest, size, created_at, unsynced_boot) VALUES (?, ?, ?, ?)
         ON CONFLICT (digest) DO UPDATE SET size = excluded.size, created_at = excluded.created_at,
           unsynced_boot = excluded.unsynced_boot`,
        blob.digest,
        blob.sizeBytes,
        Date.now(),
        durable ? null : this.#bootId,
      );
    } finally {
      const left = (this.#publishing.get(blob.digest) ?? 1) - 1;
      if (left === 0) this.#publishing.delete(blob.digest);
      else this.#publishing.set(blob.digest, left);
    }
    return this.#getBlob(blob.digest);
  }

  /** A blob that is stored again is young again: gc's grace starts anew for the caller. */
  #touch(digest: Digest, durable: boolean): boolean {
    const wanted = durable ? 'AND unsynced_boot IS NULL' : '';
    const sql = `UPDATE blobs SET created_at = ? WHERE digest = ? ${wanted}`;
    // After a power loss nobody is left who needs the grace.
    return this.#db.runSoon(sql, Date.now(), digest) > 0;
  }

  async openIngest(ref: string): Promise<Ingest> {
    if (this.#writing.has(ref)) {
      throw new CodedError('unavailable', `cannot open ingest "${ref}": another writer holds it`);
    }
    this.#writing.add(ref);
    try {
      const onClose = (): void => void this.#writing.delete(ref);
      return await openIngestFile({
        ref,
        path: this.#ingestPath(ref),
        hasher: this.#hasher,
        publish: (file, blob, options) => this.#publish(file, blob, options),
        onClose,
      });
    } catch (error) {
      this.#writing.delete(ref);
      throw diskError(error, `cannot open ingest "${ref}"`);
    }
  }

  async readBlob(digest: Digest, limitBytes: number): Promise<Uint8Array> {
    this.#checkSize(digest, limitBytes);
    const parts: Uint8Array[] = [];
    for await (const part of this.openBlob(digest)) parts.push(part);
    const bytes = parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
    return this.#verified(digest, bytes);
  }

  readBlobNow(digest: Digest, limitBytes: number): Uint8Array {
    this.#checkSize(digest, limitBytes);
    try {
      return this.#verified(digest, readFileSync(this.#pathOf(digest)));
    } catch (error) {
      throw this.#lost(digest, error);
    }
  }

  #checkSize(digest: Digest, limitBytes: number): void {
    const { sizeBytes } = this.#getBlob(digest);
    if (sizeBytes <= limitBytes) return;
    throw new CodedError(
      'resource_exhausted',
      `blob ${digest} of ${sizeBytes} bytes is over ${limitBytes} bytes`,
    );
  }

  #verified(digest: Digest, bytes: Uint8Array): Uint8Array {
    if (digestOf(bytes, algorithmOf(digest)) === digest) return bytes;
    this.#damaged.add(digest);
    throw blobDamaged(digest);
  }

  #lost(digest: Digest, error: unknown): unknown {
    if (!isSystemError(error, 'ENOENT')) return error;
    this.#damaged.add(digest);
    return blobLost(digest, error);
  }

  async *openBlob(
    digest: Digest,
    range?: { readonly start: number; readonly end?: number },
  ): AsyncGenerator<Uint8Array> {
    this.#getBlob(digest);
    try {
      yield* createReadStream(this.#pathOf(digest), {
        highWaterMark: READ_CHUNK_BYTES,
        start: range?.start ?? 0,
        ...(range?.end === undefined ? {} : { end: range.end - 1 }),
      }) as AsyncIterable<Uint8Array>;
    } catch (error) {
      throw this.#lost(digest, error);
    }
  }

  async putBlob(bytes: Uint8Array, { durable = true }: { durable?: boolean } = {}): Promise<BlobInfo> {
    const digest = digestOf(bytes);
    const isWhole = existsSync(this.#pathOf(digest)) && !this.#damaged.has(digest);
    if (isWhole && this.#touch(digest, durable)) return this.#getBlob(digest);
    const path = this.reserveFile();
    try {
      const handle = await open(path, 'wx', 0o600);
      try {
        await handle.writeFile(bytes);
        if (durable) await handle.sync();
      } finally {
        await handle.close();
      }
      return await this.#publish(path, { digest, sizeBytes: bytes.byteLength }, { durable });
    } catch (error) {
      await rm(path, { force: true });
      throw diskError(error, `cannot store blob ${digest}`);
    }
  }

  async adoptFile(
    path: string,
    blob: { readonly digest: Digest; readonly sizeBytes: number },
    { durable = true }: { durable?: boolean } = {},
  ): Promise<BlobInfo> {
    const found = await stat(path);
    if (!found.isFile() || found.size !== blob.sizeBytes) {
      throw new CodedError(
        'internal',
        `cannot adopt "${basename(path)}": it has ${found.size} bytes, ${blob.sizeBytes} were announced`,
      );
    }
    try {
      if (durable) await syncPath(path);
      return await this.#publish(path, blob, { durable });
    } catch (error) {
      throw diskError(error, `cannot store blob ${blob.digest}`);
    }
  }

  reserveFile(): string {
    return join(this.#ingestDir, `tmp-${randomBytes(12).toString('hex')}`);
  }

  dropFile(digest: Digest): void {
    if (this.#findRow(digest) !== undefined || this.#publishing.has(digest)) return;
    this.#damaged.delete(digest);
    this.#db.afterCommit(() => this.#bury(digest));
  }

  #bury(digest: Digest): void {
    const grave = join(this.#ingestDir, `trash-${randomBytes(12).toString('hex')}`);
    try {
      // In one turn of the event loop with the check above, so that no new blob of this digest can come in between.
      renameSync(this.#pathOf(digest), grave);
    } catch (error) {
      if (isSystemError(error, 'ENOENT')) return;
      throw error;
    }
    unlink(grave).catch(() => undefined); // the next start drops it
  }

  async dropLeftovers(): Promise<void> {
    for (const name of await readdir(this.#ingestDir)) {
      const path = join(this.#ingestDir, name);
      const isResumable =
        name.startsWith('ref-') && Date.now() - (await stat(path)).mtimeMs < LEFTOVER_AGE_MS;
      if (!isResumable) await rm(path, { recursive: true, force: true });
    }
  }

  async *listStrayFiles(minAgeMs: number): AsyncGenerator<Digest> {
    for (const algorithm of ALGORITHMS) {
      for (const hex of await readdir(join(this.#root, 'blobs', algorithm))) {
        const digest = `${algorithm}:${hex}`;
        if (!isDigest(digest) || this.#findRow(digest) !== undefined) continue;
        const found = await stat(this.#pathOf(digest)).catch(() => undefined);
        if (found !== undefined && Date.now() - found.mtimeMs >= minAgeMs) yield digest;
      }
    }
  }

  getBlobPath(digest: Digest): string {
    this.#getBlob(digest);
    return this.#pathOf(digest);
  }

  async abortIngest(ref: string): Promise<void> {
    if (this.#writing.has(ref))
      throw new CodedError('unavailable', `cannot abort ingest "${ref}": it is being written`);
    await rm(this.#ingestPath(ref), { force: true });
  }

  *listBlobs(): Iterable<BlobInfo> {
    for (const row of this.#db.iterate('SELECT digest, size, created_at FROM blobs')) yield blobOf(row);
  }

  async hashFile(path: string, algorithm: DigestAlgorithm = 'sha256'): Promise<Digest> {
    const { size } = await stat(path);
    return this.#hasher.hashFile(path, size, algorithm);
  }

  verifyStream(stream: ByteStream, expected: Digest): ByteStream {
    return this.#hasher.watchStream(stream, algorithmOf(expected), (actual, readBytes) => {
      if (actual !== expected) throw new DigestMismatchError({ expected, actual, readBytes });
    });
  }

  close(): Promise<void> {
    return this.#hasher.close();
  }

  #pathOf(digest: Digest): string {
    return join(this.#root, 'blobs', algorithmOf(digest), hexOf(digest));
  }

  #ingestPath(ref: string): string {
    return join(this.#ingestDir, `ref-${createHash('sha256').update(ref).digest('hex').slice(0, 40)}`);
  }
}

function blobOf(row: Row): BlobInfo {
  return {
    digest: row['digest'] as Digest,
    sizeBytes: Number(row['size']),
    createdAt: new Date(Number(row['created_at'])),
  };
}

function makeLayout(root: string, ingestDir: string): void {
  for (const algorithm of ALGORITHMS)
    mkdirSync(join(root, 'blobs', algorithm), { recursive: true, mode: 0o700 });
  mkdirSync(ingestDir, { recursive: true, mode: 0o700 });
  writeOnce(`${root}${sep}oci-layout`, '{"imageLayoutVersion":"1.0.0"}');
  writeOnce(`${root}${sep}index.json`, '{"schemaVersion":2,"manifests":[]}');
}

function writeOnce(path: string, text: string): void {
  if (!existsSync(path)) writeFileSync(path, text, { mode: 0o600 });
}

/** fsync of a file or a folder. */
async function syncPath(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
