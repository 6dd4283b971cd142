import { type FileHandle, open } from 'node:fs/promises';
import type { BlobWriter } from '../types.ts';

/**
 * Bytes after which the disk is told to begin, so that the sync that ends an upload finds little left to do.
 * One such sync runs at a time, on a thread of the pool.
 */
const WRITEBACK_BYTES = 32 * 1024 * 1024;

/** Opens a file for appending; it is created if need be. `checkRoom` is asked before each write. */
export async function openUploadWriter(
  path: string,
  checkRoom: (bytes: number) => Promise<void>,
): Promise<BlobWriter> {
  const handle = await open(path, 'a', 0o600);
  try {
    return new AppendingWriter(handle, (await handle.stat()).size, checkRoom);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

class AppendingWriter implements BlobWriter {
  readonly #handle: FileHandle;
  readonly #checkRoom: (bytes: number) => Promise<void>;
  #offset: number;
  #unsynced = 0;
  #writeback: Promise<void> | undefined;

  constructor(handle: FileHandle, offset: number, checkRoom: (bytes: number) => Promise<void>) {
    this.#handle = handle;
    this.#offset = offset;
    this.#checkRoom = checkRoom;
  }

  get offset(): number {
    return this.#offset;
  }

  async write(chunks: readonly Uint8Array[]): Promise<void> {
    await this.#checkRoom(chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0));
    let rest = chunks.filter((chunk) => chunk.byteLength > 0);
    while (rest.length > 0) {
      const { bytesWritten } = await this.#handle.writev(rest);
      this.#offset += bytesWritten;
      this.#unsynced += bytesWritten;
      rest = dropBytes(rest, bytesWritten);
    }
    if (this.#unsynced >= WRITEBACK_BYTES && this.#writeback === undefined) this.#startWriteback();
  }

  async close(): Promise<void> {
    await this.#writeback;
    await this.#handle.close();
  }

  #startWriteback(): void {
    this.#unsynced = 0;
    this.#writeback = this.#handle
      .datasync()
      // Only a head start: the sync that counts is the one of finishUpload, and it reports.
      .catch(() => undefined)
      .finally(() => {
        this.#writeback = undefined;
      });
  }
}

function dropBytes(chunks: readonly Uint8Array[], count: number): Uint8Array[] {
  let left = count;
  const rest: Uint8Array[] = [];
  for (const chunk of chunks) {
    if (left >= chunk.byteLength) {
      left -= chunk.byteLength;
      continue;
    }
    rest.push(left > 0 ? chunk.subarray(left) : chunk);
    left = 0;
  }
  return rest;
}
