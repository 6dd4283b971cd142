import { closeSync, constants, fstatSync, type Stats } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { isSystemError } from '#base/errors/index.ts';
import { findXattr, O_PATH, openFile, openInRoot, RESOLVE } from '#base/posix/index.ts';
import type { ActiveSnapshot } from '#store/snapshot/types.ts';
import type { Context } from './context.ts';
import { changesetOf, listCopiedChanges } from './copied-changes.ts';
import type { PathChange } from './types.ts';

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY;

/** The directories of a container by descriptor: paths of theirs are never paths of the host. */
interface Trees {
  readonly upper: number;
  /** Topmost first. */
  readonly lowers: readonly number[];
}

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
    const before = source.against === undefined ? [] : [openTree(source.against)];
    const isBelow = (path: string): Promise<boolean> => Promise.resolve(existsBelow(before, path));
    try {
      const copied = await listCopiedChanges(changesets, source, { stubs: new Set(stubs), isBelow });
      return copied.filter((change) => !isStubParent(change, copied, stubs));
    } finally {
      for (const tree of before) closeSync(tree);
    }
  }
  const changes: PathChange[] = [];
  const trees = openTrees(snapshot);
  try {
    await walk(trees, '', new Set(stubs), changes);
  } finally {
    for (const tree of [trees.upper, ...trees.lowers]) closeSync(tree);
  }
  // A directory that only holds stubs has not changed either.
  const kept = changes.filter((change) => !isStubParent(change, changes, stubs));
  return kept;
}

async function walk(
  trees: Trees,
  dir: string,
  stubs: ReadonlySet<string>,
  changes: PathChange[],
): Promise<void> {
  const names = await listNames(trees.upper, dir);
  for (const name of names) {
    const path = `${dir}/${name}`;
    const stat = statOf(trees.upper, path);
    if (stat === undefined) continue; // a container that runs has removed it meanwhile
    if (stat.isCharacterDevice() && stat.rdev === 0) {
      changes.push({ path, kind: 'deleted' });
      continue;
    }
    const isStub = stubs.has(path);
    if (
      isStub &&
      (stat.isFile()
        ? stat.size === 0
        : stat.isSymbolicLink() || (await listNames(trees.upper, path)).length === 0)
    )
      continue;
    const below = existsBelow(trees.lowers, path);
    if (!isStub || !stat.isDirectory()) changes.push({ path, kind: below ? 'modified' : 'added' });
    if (stat.isDirectory()) {
      if (below && isOpaque(trees.upper, path)) await listHidden(trees, path, changes);
      await walk(trees, path, stubs, changes);
    }
  }
}

/** Everything a directory held before it was replaced, and has not again. */
async function listHidden(trees: Trees, path: string, changes: PathChange[]): Promise<void> {
  const hidden = new Set<string>();
  for (const lower of trees.lowers) for (const name of await listNames(lower, path)) hidden.add(name);
  for (const name of [...hidden].sort())
    if (statOf(trees.upper, `${path}/${name}`) === undefined)
      changes.push({ path: `${path}/${name}`, kind: 'deleted' });
}

function isStubParent(change: PathChange, all: readonly PathChange[], stubs: readonly string[]): boolean {
  if (change.kind !== 'modified') return false;
  const prefix = `${change.path}/`;
  return stubs.some((stub) => stub.startsWith(prefix)) && !all.some(({ path }) => path.startsWith(prefix));
}

function existsBelow(lowers: readonly number[], path: string): boolean {
  for (const lower of lowers) {
    const stat = statOf(lower, path);
    if (stat !== undefined) return !(stat.isCharacterDevice() && stat.rdev === 0);
  }
  return false;
}

function openTrees({ upperDir, lowerDirs }: ActiveSnapshot): Trees {
  return { upper: openTree(upperDir), lowers: lowerDirs.map(openTree) };
}

function openTree(dir: string): number {
  return openFile(dir, O_PATH | constants.O_DIRECTORY);
}

/** Opens what is at `path` itself; no link is followed, also none that a running container lays now. */
function openExactly(tree: number, path: string, flags: number): number | undefined {
  const resolve = RESOLVE.IN_ROOT | RESOLVE.NO_SYMLINKS;
  try {
    return openInRoot(tree, path || '.', { flags: flags | constants.O_NOFOLLOW, resolve });
  } catch (error) {
    if (isSystemError(error) && ['ENOENT', 'ENOTDIR', 'ELOOP'].includes(error.code)) return undefined;
    throw error;
  }
}

function statOf(tree: number, path: string): Stats | undefined {
  const fd = openExactly(tree, path, O_PATH);
  if (fd === undefined) return undefined;
  try {
    return fstatSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Sorted; none where there is no directory. */
async function listNames(tree: number, path: string): Promise<readonly string[]> {
  const fd = openExactly(tree, path, DIRECTORY);
  if (fd === undefined) return [];
  try {
    return (await readdir(`/proc/self/fd/${fd}`)).sort();
  } finally {
    closeSync(fd);
  }
}

function isOpaque(tree: number, path: string): boolean {
  const fd = openExactly(tree, path, DIRECTORY);
  if (fd === undefined) return false;
  try {
    return findXattr(fd, 'trusted.overlay.opaque') !== undefined;
  } finally {
    closeSync(fd);
  }
}
