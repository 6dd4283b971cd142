/**
 * Blobs in a folder.
 *
 *     <root>/uploads/<key>          being written; survives a crash of the process
 *     <root>/blobs/<kk>/<key>       whole and durable; <kk> is the first two letters of the key
 *
 * A key is random and is never used twice, so removing an old file cannot hit a new one of the same digest.
 */
import { mkdir, open, readdir, readFile, rename, rm, stat, statfs, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { CodedError, isSystemError } from '#base/errors/index.ts';
import type { ByteRange } from '#registry/protocol/index.ts';
import type { BlobStorage } from '../types.ts';
import { HashPool } from './hash-pool.ts';
import { ReadBuffers, readRange } from './reader.ts';
import { openUploadWriter } from './writer.ts';

/** Options of `openFolderStorage`. */
export interface FolderStorageOptions {
  readonly root: string;
  /** Uploads are refused below this, so that deleting, which needs some room, always works. Default 64 MiB. */
  readonly minFreeBytes?: number;
}

const DEFAULT_MIN_FREE_BYTES = 64 * 1024 * 1024;
/** How long a look at the free room is good for. */
const ROOM_CHECK_MS = 500;

/** A folder as `BlobStorage`. */
export interface FolderStorage extends BlobStorage {
  /** Names of all unfinished uploads, for start-up. */
  listUploads(): Promise<readonly string[]>;
  close(): Promise<void>;
}

/** Opens (and creates) the folder. */
export async function openFolderStorage({
  root,
  minFreeBytes = DEFAULT_MIN_FREE_BYTES,
}: FolderStorageOptions): Promise<FolderStorage> {
  const uploads = join(root, 'uploads');
  const blobs = join(root, 'blobs');
  await mkdir(uploads, { recursive: true, mode: 0o700 });
  await mkdir(blobs, { recursive: true, mode: 0o700 });
  return new Folder(uploads, blobs, minFreeBytes);
}

class Folder implements FolderStorage {
  readonly #uploads: string;
  readonly #blobs: string;
  readonly #hashes = new HashPool();
  readonly #buffers = new ReadBuffers();
  /** Shards that exist and whose entry in `blobs` is durable. */
  readonly #shards = new Map<string, Promise<void>>();

  readonly #minFreeBytes: number;
  #room = { free: 0, until: 0 };
  /** Bytes promised since the last look. */
  #unseenBytes = 0;

  constructor(uploads: string, blobs: string, minFreeBytes: number) {
    this.#uploads = uploads;
    this.#blobs = blobs;
    this.#minFreeBytes = minFreeBytes;
  }

  async checkRoom(wantedBytes = 0) {
    this.#unseenBytes += wantedBytes;
    const { free, until } = this.#room;
    if (until < performance.now() || free - this.#unseenBytes < this.#minFreeBytes) {
      const { bavail, bsize } = await statfs(this.#uploads);
      this.#room = { free: bavail * bsize, until: performance.now() + ROOM_CHECK_MS };
      this.#unseenBytes = wantedBytes;
    }
    if (this.#room.free - wantedBytes < this.#minFreeBytes)
      throw new CodedError('resource_exhausted', 'the disk is almost full');
  }

  openWriter(key: string) {
    return openUploadWriter(this.#uploadPath(key), (bytes) => this.checkRoom(bytes));
  }

  uploadSize(key: string) {
    return sizeOf(this.#uploadPath(key));
  }

  async truncateUpload(key: string, sizeBytes: number) {
    await truncate(this.#uploadPath(key), sizeBytes);
  }

  readUpload(key: string) {
    return readFile(this.#uploadPath(key));
  }

  hashUpload(key: string, algorithm: 'sha256' | 'sha512') {
    return this.#hashes.follow(`${key} ${algorithm}`, this.#uploadPath(key), algorithm);
  }

  async abortUpload(key: string) {
    await rm(this.#uploadPath(key), { force: true });
  }

  async finishUpload(key: string) {
    const shard = key.slice(0, 2);
    await Promise.all([syncFile(this.#uploadPath(key)), this.#ensureShard(shard)]);
    await rename(this.#uploadPath(key), this.#blobPath(key));
    await syncFolder(join(this.#blobs, shard));
  }

  blobSize(key: string) {
    return sizeOf(this.#blobPath(key));
  }

  openBlob(key: string, range: ByteRange) {
    return readRange(this.#blobPath(key), range, this.#buffers);
  }

  async removeBlob(key: string) {
    await rm(this.#blobPath(key), { force: true });
  }

  async listUploads() {
    return await readdir(this.#uploads);
  }

  close() {
    return this.#hashes.close();
  }

  #ensureShard(shard: string): Promise<void> {
    let ensured = this.#shards.get(shard);
    if (ensured === undefined) {
      ensured = (async () => {
        await mkdir(join(this.#blobs, shard), { recursive: true, mode: 0o700 });
        await syncFolder(this.#blobs);
      })();
      ensured.catch(() => this.#shards.delete(shard));
      this.#shards.set(shard, ensured);
    }
    return ensured;
  }

  #uploadPath(key: string): string {
    return join(this.#uploads, checkKey(key));
  }

  #blobPath(key: string): string {
    return join(this.#blobs, key.slice(0, 2), checkKey(key));
  }
}

/** Keys are ours; this only keeps a mistake elsewhere from becoming a path. */
function checkKey(key: string): string {
  if (!/^[0-9a-f]{32}$/.test(key)) throw new CodedError('internal', `"${key}" is not a storage key`);
  return key;
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined;
    throw error;
  }
}

async function syncFile(path: string): Promise<void> {
  const handle = await open(path, 'r+');
  try {
    await handle.datasync();
  } finally {
    await handle.close();
  }
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
