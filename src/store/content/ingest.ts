import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { CodedError, isSystemError, wrapError } from '#base/errors/index.ts';
import { algorithmOf, type Digest, digestFromHash } from '#oci/digest/index.ts';
import { DigestMismatchError } from './errors.ts';
import type { FileHash, Hasher } from './hasher.ts';
import type { BlobInfo, Ingest } from './types.ts';

/** Small writes are gathered up to this before they go to the file. */
const BATCH_BYTES = 1024 * 1024;
/** Blobs up to this are hashed where they are; larger ones by the hash thread. */
const INLINE_LIMIT_BYTES = 1024 * 1024;

/** Gives a verified temporary file, synced if durable, its final name and its row. */
export type Publish = (
  path: string,
  blob: { digest: Digest; sizeBytes: number },
  options: { readonly durable: boolean },
) => Promise<BlobInfo>;

/** Opens the file of an ingest, at its end. `onClose` is called once. */
export async function openIngestFile(options: {
  readonly ref: string;
  readonly path: string;
  readonly hasher: Hasher;
  readonly publish: Publish;
  readonly onClose: () => void;
}): Promise<Ingest> {
  // 'a+' would ignore positions; the file is created when missing and kept when there.
  const handle = await open(options.path, 'r+').catch((error: unknown) => {
    if (isSystemError(error, 'ENOENT')) return open(options.path, 'wx+', 0o600);
    throw error;
  });
  const { size } = await handle.stat();
  return new IngestFile(handle, size, options);
}

class IngestFile implements Ingest {
  readonly ref: string;
  readonly #handle: FileHandle;
  readonly #path: string;
  readonly #hasher: Hasher;
  readonly #publish: Publish;
  readonly #onClose: () => void;
  #written: number;
  #batch: Uint8Array[] = [];
  #batchBytes = 0;
  /** Hash of everything so far while that is small and was written by this ingest. */
  #inline: Hash | undefined;
  #followed: FileHash | undefined;
  #closed = false;

  constructor(
    handle: FileHandle,
    size: number,
    options: { ref: string; path: string; hasher: Hasher; publish: Publish; onClose: () => void },
  ) {
    this.ref = options.ref;
    this.#handle = handle;
    this.#path = options.path;
    this.#hasher = options.hasher;
    this.#publish = options.publish;
    this.#onClose = options.onClose;
    this.#written = size;
    this.#inline = size === 0 ? createHash('sha256') : undefined;
  }

  get offset(): number {
    return this.#written + this.#batchBytes;
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#assertOpen();
    if (chunk.byteLength === 0) return;
    if (this.#batchBytes === 0 && chunk.byteLength >= BATCH_BYTES / 4)
      return this.#append([chunk], chunk.byteLength);
    this.#batch.push(Buffer.from(chunk)); // the caller may reuse its buffer after this call
    this.#batchBytes += chunk.byteLength;
    if (this.#batchBytes >= BATCH_BYTES) await this.#flush();
  }

  async truncate(): Promise<void> {
    this.#assertOpen();
    this.#batch = [];
    this.#batchBytes = 0;
    this.#followed?.drop();
    this.#followed = undefined;
    await this.#handle.truncate(0);
    this.#written = 0;
    this.#inline = createHash('sha256');
  }

  async commit(
    expected: { readonly digest: Digest; readonly sizeBytes?: number },
    { durable = true }: { readonly durable?: boolean } = {},
  ): Promise<BlobInfo> {
    this.#assertOpen();
    await this.#flush();
    const size = this.#written;
    if (expected.sizeBytes !== undefined && expected.sizeBytes !== size) {
      await this.#discard();
      throw new DigestMismatchError({
        expected: `${expected.digest} of ${expected.sizeBytes} bytes`,
        actual: `${size} bytes`,
        readBytes: size,
      });
    }
    const actual = await this.#digest(expected.digest);
    if (actual !== expected.digest) {
      await this.#discard();
      throw new DigestMismatchError({ expected: expected.digest, actual, readBytes: size });
    }
    try {
      if (durable) await this.#handle.sync();
      return await this.#publish(this.#path, { digest: expected.digest, sizeBytes: size }, { durable });
    } catch (error) {
      throw diskError(error, `cannot store blob ${expected.digest}`);
    } finally {
      await this.#close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    await this.#flush().catch(() => undefined); // what did not fit is sent again by whoever resumes
    await this.#close();
  }

  async #flush(): Promise<void> {
    if (this.#batchBytes === 0) return;
    const [batch, bytes] = [this.#batch, this.#batchBytes];
    this.#batch = [];
    this.#batchBytes = 0;
    await this.#append(batch, bytes);
  }

  async #append(chunks: readonly Uint8Array[], bytes: number): Promise<void> {
    const start = this.#written;
    try {
      const { bytesWritten } = await this.#handle.writev(chunks, start);
      if (bytesWritten !== bytes)
        throw new CodedError('resource_exhausted', 'the disk took only a part of the bytes');
    } catch (error) {
      await this.#handle.truncate(start).catch(() => undefined); // a torn write must not count as received
      throw diskError(error, `cannot write ingest "${this.ref}"`);
    }
    this.#written += bytes;
    if (this.#inline !== undefined && this.#written <= INLINE_LIMIT_BYTES) {
      for (const chunk of chunks) this.#inline.update(chunk);
      return;
    }
    this.#inline = undefined;
    this.#followed ??= this.#hasher.followFile(this.#path, 'sha256');
    this.#followed.advance(this.#written);
  }

  async #digest(expected: Digest): Promise<Digest> {
    const algorithm = algorithmOf(expected);
    if (algorithm === 'sha256' && this.#inline !== undefined) return digestFromHash(this.#inline);
    if (algorithm === 'sha256' && this.#followed !== undefined) return this.#followed.finish(this.#written);
    return this.#hasher.hashFile(this.#path, this.#written, algorithm);
  }

  async #discard(): Promise<void> {
    await rm(this.#path, { force: true });
    await this.#close();
  }

  async #close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#followed?.drop();
    await this.#handle.close().catch(() => undefined);
    this.#onClose();
  }

  #assertOpen(): void {
    if (this.#closed) throw new CodedError('failed_precondition', `ingest "${this.ref}" is closed`);
  }
}

/** Adds what was being done to a failure of the disk; a full disk says so in words. */
export function diskError(error: unknown, message: string): CodedError {
  if (!isSystemError(error, 'ENOSPC') && !isSystemError(error, 'EDQUOT')) return wrapError(error, message);
  return new CodedError('resource_exhausted', `${message}: no space left on device`, {
    cause: error,
    help: {
      id: 'disk/full',
      cause: 'the file system that holds the data root is full',
      fix: ['slipway system df', 'slipway system prune', 'give the data root more space'],
    },
  });
}
