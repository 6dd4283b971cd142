import { type FileHandle, open, rm } from 'node:fs/promises';
import { decompress } from '#base/bytes/index.ts';
import type { ByteStream } from '#base/bytes/types.ts';
import { readTar, type TarEntry } from '#base/tar/index.ts';
import { diskError } from '#store/content/index.ts';
import type { ContentStore } from '#store/content/types.ts';
import { cleanMemberPath, invalidArchive, linkTargetOf, Members } from './members.ts';

const MEMBERS_LIMIT = 65_536;
/** Members up to this stay in memory, as long as all of them together do not take more than `MEMORY_LIMIT_BYTES`. */
const SMALL_BYTES = 256 * 1024;
const MEMORY_LIMIT_BYTES = 32 * 1024 * 1024;
const BUFFER_BYTES = 1024 * 1024;

/**
 * Reads a whole archive, plain or compressed: large members go to files of the content store's ingest folder, from where
 * they can become blobs without being copied. On failure nothing is left.
 * @throws {CodedError} `invalid_argument` for a member that is neither file, link nor directory, or leads outside.
 */
export async function spoolArchive(
  archive: ByteStream,
  content: Pick<ContentStore, 'reserveFile'>,
  signal: AbortSignal | undefined,
): Promise<Members> {
  const members = new Members();
  let memoryBytes = 0;
  try {
    for await (const entry of readTar(decompress(archive, 'auto', signal === undefined ? {} : { signal }))) {
      signal?.throwIfAborted();
      const path = cleanMemberPath(entry.path);
      if (entry.type === 'directory') continue;
      if (members.size >= MEMBERS_LIMIT) throw invalidArchive(`it has more than ${MEMBERS_LIMIT} members`);
      if (entry.type === 'symlink')
        members.add(path, { kind: 'link', target: linkTargetOf(path, entry.linkTarget) });
      else if (entry.type === 'hardlink') members.add(path, { kind: 'link', target: entry.linkTarget });
      else if (entry.type !== 'file' || entry.sparse !== undefined) {
        throw invalidArchive(
          `"${path}" is a ${entry.sparse === undefined ? entry.type : 'sparse file'}, not a file`,
        );
      } else if (entry.sizeBytes <= SMALL_BYTES && memoryBytes + entry.sizeBytes <= MEMORY_LIMIT_BYTES) {
        memoryBytes += entry.sizeBytes;
        members.add(path, { kind: 'bytes', bytes: await gather(entry), sizeBytes: entry.sizeBytes });
      } else {
        const file = content.reserveFile();
        members.add(path, { kind: 'file', path: file, sizeBytes: entry.sizeBytes });
        await writeMember(entry, file);
      }
    }
    if (members.size === 0) throw invalidArchive('it is empty');
    return members;
  } catch (error) {
    await dropFiles(members);
    throw error;
  }
}

/** Removes the files of members that nobody took over. */
export async function dropFiles(members: Members): Promise<void> {
  await Promise.all(Array.from(members.listFiles(), (path) => rm(path, { force: true })));
}

async function gather(entry: TarEntry): Promise<Uint8Array> {
  const bytes = Buffer.alloc(entry.sizeBytes);
  let at = 0;
  for await (const chunk of entry.body) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return bytes;
}

async function writeMember(entry: TarEntry, path: string): Promise<void> {
  const handle = await open(path, 'wx', 0o600);
  try {
    const writer = new BufferedWriter(handle);
    for await (const chunk of entry.body) await writer.write(chunk);
    await writer.finish();
  } catch (error) {
    throw diskError(error, `cannot unpack "${entry.path}" of the archive`);
  } finally {
    await handle.close();
  }
}

/** Gathers small chunks and writes one buffer while the next one fills. */
class BufferedWriter {
  readonly #handle: FileHandle;
  #filling = Buffer.allocUnsafe(BUFFER_BYTES);
  #spare = Buffer.allocUnsafe(BUFFER_BYTES);
  #used = 0;
  #position = 0;
  #writing: Promise<void> = Promise.resolve();

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  async write(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.byteLength; ) {
      const count = Math.min(BUFFER_BYTES - this.#used, chunk.byteLength - at);
      this.#filling.set(chunk.subarray(at, at + count), this.#used);
      this.#used += count;
      at += count;
      if (this.#used === BUFFER_BYTES) await this.#swap();
    }
  }

  async finish(): Promise<void> {
    await this.#swap();
    await this.#writing;
  }

  async #swap(): Promise<void> {
    await this.#writing;
    const bytes = this.#filling.subarray(0, this.#used);
    const position = this.#position;
    this.#position += this.#used;
    [this.#filling, this.#spare] = [this.#spare, this.#filling];
    this.#used = 0;
    this.#writing = this.#writeAll(bytes, position);
    this.#writing.catch(() => undefined); // told by the next write or by `finish`
  }

  async #writeAll(bytes: Buffer, position: number): Promise<void> {
    for (let at = 0; at < bytes.byteLength; ) {
      const { bytesWritten } = await this.#handle.write(bytes, at, bytes.byteLength - at, position + at);
      at += bytesWritten;
    }
  }
}
