import { lstat, opendir } from 'node:fs/promises';
import { join } from 'node:path';
import { isSystemError } from '#base/errors/index.ts';
import { findXattr } from '#base/posix/index.ts';
import type { ActiveSnapshot } from '#store/snapshot/types.ts';
import type { Context } from './context.ts';
import { changesetOf, listCopiedChanges } from './copied-changes.ts';
import type { PathChange } from './types.ts';

/**
 * What a container changed against its image, parents before children. Mount points that were made for it (`stubs`) are
 * left out while they are empty.
 */
export async function listChanges(
  { snapshots, changesets }: Pick<Context, 'snapshots' | 'changesets'>,
  key: string,
  stubs: readonly string[],
): Promise<readonly PathChange[]> {
  const snapshot = snapshots.getActive(key);
  const source = changesetOf(snapshots, snapshot);
  if (source.kind === 'plain') {
    const before = source.against === undefined ? [] : [source.against];
    const isBelow = (path: string): Promise<boolean> => existsBelow(before, path);
    return listCopiedChanges(changesets, source, { stubs: new Set(stubs), isBelow });
  }
  const changes: PathChange[] = [];
  await walk(snapshot, '', new Set(stubs), changes);
  // A directory that only holds stubs has not changed either.
  const kept = changes.filter((change) => !isStubParent(change, changes, stubs));
  return kept;
}

async function walk(
  snapshot: ActiveSnapshot,
  dir: string,
  stubs: ReadonlySet<string>,
  changes: PathChange[],
): Promise<void> {
  const names: string[] = [];
  for await (const entry of await opendir(join(snapshot.upperDir, dir))) names.push(entry.name);
  for (const name of names.sort()) {
    const path = `${dir}/${name}`;
    const host = join(snapshot.upperDir, path);
    const stat = await lstat(host);
    if (stat.isCharacterDevice() && stat.rdev === 0) {
      changes.push({ path, kind: 'deleted' });
      continue;
    }
    const isStub = stubs.has(path);
    if (isStub && (stat.isFile() ? stat.size === 0 : stat.isSymbolicLink() || (await isEmpty(host))))
      continue;
    const below = await existsBelow(snapshot.lowerDirs, path);
    if (!isStub || !stat.isDirectory()) changes.push({ path, kind: below ? 'modified' : 'added' });
    if (stat.isDirectory()) {
      if (below && findXattr(host, 'trusted.overlay.opaque') !== undefined)
        await listHidden(snapshot, path, changes);
      await walk(snapshot, path, stubs, changes);
    }
  }
}

/** Everything a directory held before it was replaced, and has not again. */
async function listHidden(snapshot: ActiveSnapshot, path: string, changes: PathChange[]): Promise<void> {
  const hidden = new Set<string>();
  for (const lower of snapshot.lowerDirs) {
    try {
      for await (const entry of await opendir(join(lower, path))) hidden.add(entry.name);
    } catch (error) {
      if (!isSystemError(error, 'ENOENT') && !isSystemError(error, 'ENOTDIR')) throw error;
    }
  }
  for (const name of [...hidden].sort()) {
    const again = await exists(join(snapshot.upperDir, path, name));
    if (!again) changes.push({ path: `${path}/${name}`, kind: 'deleted' });
  }
}

function isStubParent(change: PathChange, all: readonly PathChange[], stubs: readonly string[]): boolean {
  if (change.kind !== 'modified') return false;
  const prefix = `${change.path}/`;
  return stubs.some((stub) => stub.startsWith(prefix)) && !all.some(({ path }) => path.startsWith(prefix));
}

async function existsBelow(lowerDirs: readonly string[], path: string): Promise<boolean> {
  for (const lower of lowerDirs) {
    const stat = await lstatMaybe(join(lower, path));
    if (stat !== undefined) return !(stat.isCharacterDevice() && stat.rdev === 0);
  }
  return false;
}

async function exists(path: string): Promise<boolean> {
  return (await lstatMaybe(path)) !== undefined;
}

async function lstatMaybe(path: string): Promise<Awaited<ReturnType<typeof lstat>> | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (isSystemError(error, 'ENOENT') || isSystemError(error, 'ENOTDIR')) return undefined;
    throw error;
  }
}

async function isEmpty(dir: string): Promise<boolean> {
  for await (const _ of await opendir(dir)) return false;
  return true;
}
