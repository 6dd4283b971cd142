import { randomBytes } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncFileSystem } from '#base/posix/index.ts';

/**
 * Replaces the file at `path` with `data`, whole and durable: a temporary file in the same directory is written, synced,
 * renamed, and the directory is synced. After a crash the old or the new content is there, never a part.
 */
export async function writeFileAtomic(
  path: string,
  data: string | Uint8Array,
  options: { readonly mode?: number } = {},
): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const file = await open(temporary, 'wx', options.mode ?? 0o600);
    await using _ = closing(file);
    await file.writeFile(data);
    await file.datasync();
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** Renames and makes the new name durable; the content must have been synced before. */
export async function renameDurably(from: string, to: string): Promise<void> {
  await rename(from, to);
  await syncDirectory(dirname(to));
}

/** Makes the names in a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  await syncFile(path);
}

/** Makes the bytes of a file durable. */
export async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r');
  await using _ = closing(file);
  await file.sync();
}

/** Makes everything durable on the file system that holds `path`: cheaper than a sync per file after a layer was unpacked. Blocks this thread while the disk works. */
export async function syncTree(path: string): Promise<void> {
  const file = await open(path, 'r');
  await using _ = closing(file);
  syncFileSystem(file.fd);
}

function closing(file: FileHandle): AsyncDisposable {
  return { [Symbol.asyncDispose]: () => file.close() };
}
