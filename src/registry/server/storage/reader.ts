import { type FileHandle, open } from 'node:fs/promises';
import { CodedError, isSystemError } from '#base/errors/index.ts';
import type { ByteRange } from '#registry/protocol/index.ts';

const CHUNK_BYTES = 1024 * 1024;
/** Buffers kept for the next download; more are made when more run at once. */
const POOL_LIMIT = 16;

/** Buffers of 1 MiB that downloads share. */
export class ReadBuffers {
  readonly #free: Buffer[] = [];

  take(wanted: number): Buffer {
    if (wanted < CHUNK_BYTES) return Buffer.allocUnsafeSlow(Math.max(wanted, 1));
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(CHUNK_BYTES);
  }

  give(buffer: Buffer): void {
    if (buffer.byteLength === CHUNK_BYTES && this.#free.length < POOL_LIMIT) this.#free.push(buffer);
  }
}

/**
 * Reads a range of a file in chunks of 1 MiB, one ahead of the consumer. A chunk is overwritten when the one after the
 * next is read, so it must be out of use when the consumer asks for the next.
 * @throws {CodedError} `data_loss` when the file is not there or is shorter than the range.
 */
export async function* readRange(
  path: string,
  { start, end }: ByteRange,
  pool: ReadBuffers,
): AsyncGenerator<Uint8Array> {
  const handle = await openFile(path);
  const buffers: [Buffer, Buffer] = [pool.take(end - start), pool.take(end - start)];
  let ahead: Promise<number> | undefined;
  try {
    let position = start;
    let turn: 0 | 1 = 0;
    ahead = fill(handle, buffers[turn], position, end);
    while (position < end) {
      const length = (await ahead) ?? 0;
      if (length === 0)
        throw new CodedError('data_loss', `blob file "${path}" ends at ${position} of ${end} bytes`);
      const chunk = buffers[turn].subarray(0, length);
      position += length;
      turn = turn === 0 ? 1 : 0;
      ahead = position < end ? fill(handle, buffers[turn], position, end) : undefined;
      // If the consumer stops here, the read ahead may fail unseen; finally waits for it.
      ahead?.catch(() => undefined);
      yield chunk;
    }
  } finally {
    await ahead?.catch(() => undefined);
    await handle.close();
    for (const buffer of buffers) pool.give(buffer);
  }
}

async function fill(handle: FileHandle, buffer: Buffer, position: number, end: number): Promise<number> {
  const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.byteLength, end - position), position);
  return bytesRead;
}

async function openFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r');
  } catch (error) {
    if (!isSystemError(error, 'ENOENT')) throw error;
    throw new CodedError('data_loss', `blob file "${path}" is missing`, { cause: error });
  }
}
