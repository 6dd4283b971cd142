import type { Dir, Stats } from 'node:fs';
import { lstat, opendir } from 'node:fs/promises';
import { join } from 'node:path';
import { isSystemError } from '#base/errors/index.ts';

/** Bytes of regular files and number of inodes below a directory. */
export interface TreeUsage {
  readonly sizeBytes: number;
  readonly inodes: number;
}

/**
 * Counts what is below `dir`; a hard-linked file counts once. With `against`, what is there in the same form (type,
 * size, mode, modification time) does not count.
 */
export async function measureTree(dir: string, against?: string): Promise<TreeUsage> {
  const seen = new Set<number>();
  let sizeBytes = 0;
  let inodes = 0;
  const pending = [''];
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    const directory = await openPresent(join(dir, path));
    if (directory === undefined) continue;
    for await (const entry of directory) {
      const below = join(path, entry.name);
      if (entry.isDirectory()) pending.push(below);
      const found = await lstat(join(dir, below)).catch(() => undefined);
      if (found === undefined) continue; // went away meanwhile: a running container writes here
      if (found.nlink > 1 && !found.isDirectory()) {
        if (seen.has(found.ino)) continue;
        seen.add(found.ino);
      }
      if (against !== undefined && (await isSame(join(against, below), found))) continue;
      inodes++;
      if (found.isFile()) sizeBytes += found.size;
    }
  }
  return { sizeBytes, inodes };
}

/** A directory that is gone, meanwhile or for good, holds nothing. */
async function openPresent(path: string): Promise<Dir | undefined> {
  try {
    return await opendir(path, { bufferSize: 256 });
  } catch (error) {
    if (isSystemError(error, 'ENOENT') || isSystemError(error, 'ENOTDIR')) return undefined;
    throw error;
  }
}

async function isSame(path: string, found: Stats): Promise<boolean> {
  const other = await lstat(path).catch(() => undefined);
  return (
    other !== undefined &&
    other.mode === found.mode &&
    (found.isDirectory() || (other.size === found.size && other.mtimeMs === found.mtimeMs))
  );
}
