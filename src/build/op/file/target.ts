import {
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  readlinkSync,
  readSync,
  rmSync,
  utimesSync,
} from 'node:fs';
import { join } from 'node:path';
import { CodedError, isSystemError } from '#base/errors/index.ts';
import { changeOwner, findXattr, listXattrs, makeNode, openFile, setXattr } from '#base/posix/index.ts';
import { entryOf, resolvePath, type TreeEntry } from '#build/context/index.ts';
import { ACCOUNT_FILE_LIMIT, type Owner } from './owner.ts';

/**
 * The root a file op writes to, seen as one tree: `upper` holds this layer's changes and is written directly (it is not
 * mounted meanwhile, so nothing inside an image can race), `view` shows the layers below, read-only. Writing past the
 * mount is what makes hard links from the build context possible. Without `view`, `upper` is the whole tree.
 */
export class Target {
  readonly upper: string;
  readonly #view: string | undefined;
  /** Directories of `upper` that hide what the view has at their place. */
  readonly #fresh = new Set<string>();
  readonly #inUpper = new Set<string>(['']);
  /** The kernel wrote here too (an archive was unpacked through the mount): its opaque marks count. */
  #mounted = false;

  constructor(upper: string, view: string | undefined) {
    this.upper = upper;
    this.#view = view;
  }

  find(path: string): TreeEntry | undefined {
    return readEntry(join(this.upper, path)) ?? this.#below(path);
  }

  #below(path: string): TreeEntry | undefined {
    if (this.#view === undefined || this.#isFresh(path)) return undefined;
    const found = readEntry(join(this.#view, path));
    // A file of the upper directory at a parent hides everything below it.
    return found !== undefined && this.#hiddenByParent(path) ? undefined : found;
  }

  #isFresh(path: string): boolean {
    if (this.#fresh.size === 0 && !this.#mounted) return false;
    for (let at = path; at !== ''; at = parentOf(at)) {
      if (this.#fresh.has(at) || (this.#mounted && isOpaque(join(this.upper, at)))) return true;
    }
    return false;
  }

  /** Says that something was written through a mount of this root, which is unmounted again. */
  noteMounted(): void {
    this.#mounted = true;
    this.#inUpper.clear();
    this.#inUpper.add('');
  }

  #hiddenByParent(path: string): boolean {
    for (let at = parentOf(path); at !== ''; at = parentOf(at)) {
      if (this.#inUpper.has(at)) return false;
      const entry = readEntry(join(this.upper, at));
      if (entry !== undefined) return entry.type !== 'd';
    }
    return false;
  }

  /** Text of a file of the root, links followed inside it; `undefined` when there is no such regular file. */
  readText(path: string): string | undefined {
    const resolved = resolvePath(this, path, { followLast: true });
    if (resolved.entry?.type !== 'f') return undefined;
    const inUpper = join(this.upper, resolved.path);
    const file = existsSync(inUpper) || this.#view === undefined ? inUpper : join(this.#view, resolved.path);
    return readLimited(file);
  }

  /**
   * Makes sure the directory is in `upper`: one that the layers below have keeps its mode, owner, times and attributes, a new one
   * gets `mode` and `owner`. Parents likewise. The path must be resolved.
   */
  ensureDirectory(path: string, made: { readonly mode: number; readonly owner: Owner }): void {
    if (this.#inUpper.has(path)) return;
    this.ensureDirectory(parentOf(path), made);
    const at = join(this.upper, path);
    const upper = readEntry(at);
    if (upper !== undefined && upper.type !== 'd') throw notDirectory(path);
    if (upper === undefined) {
      const below = this.#below(path);
      if (below !== undefined && below.type !== 'd') throw notDirectory(path);
      mkdirSync(at, { mode: 0o700 });
      if (below === undefined) setOwnerAndMode(at, made.owner, made.mode);
      else copyDirectoryFacts(join(this.#view as string, path), at);
    }
    this.#inUpper.add(path);
  }

  /** Clears the way for something that is no directory at `path`; its parent must be in `upper`. */
  clear(path: string): void {
    const at = join(this.upper, path);
    if (lstatSync(at, { throwIfNoEntry: false }) !== undefined) {
      rmSync(at, { recursive: true, force: true });
      this.#forget(path);
    }
    // Whatever the layers below have here is hidden by what is put in its place.
    if (this.#view !== undefined) this.#fresh.add(path);
  }

  /** Removes `path` from the tree, so that it is gone in the image. */
  remove(path: string): void {
    const below = this.#below(path);
    const at = join(this.upper, path);
    rmSync(at, { recursive: true, force: true });
    this.#forget(path);
    if (below === undefined) return;
    this.ensureDirectory(parentOf(path), { mode: 0o755, owner: { uid: 0, gid: 0 } });
    makeNode(at, constants.S_IFCHR, 0n);
    this.#fresh.add(path);
  }

  #forget(path: string): void {
    for (const known of this.#inUpper) {
      if (known === path || known.startsWith(`${path}/`)) this.#inUpper.delete(known);
    }
  }
}

/** The directory part of a resolved path; `''` is the root. */
export function parentOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf('/'), 0));
}

/** Sets owner first: a change of owner drops special bits. */
export function setOwnerAndMode(path: string, owner: Owner, mode: number): void {
  changeOwner(path, owner.uid, owner.gid);
  chmodNoFollow(path, mode);
}

function chmodNoFollow(path: string, mode: number): void {
  const fd = openFile(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    fchmodSync(fd, mode);
  } finally {
    closeSync(fd);
  }
}

function readEntry(path: string): TreeEntry | undefined {
  let stat: ReturnType<typeof lstatSync>;
  try {
    stat = lstatSync(path, { throwIfNoEntry: false });
  } catch (error) {
    if (isSystemError(error, 'ENOTDIR')) return undefined;
    throw error;
  }
  if (stat === undefined) return undefined;
  const entry = entryOf(stat);
  if (entry.type === 'c' && entry.device === 0) return undefined;
  return entry.type === 'l' ? { ...entry, linkTarget: readlinkSync(path) } : entry;
}

function isOpaque(path: string): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return false;
  if (stat.isCharacterDevice() && stat.rdev === 0) return true;
  return stat.isDirectory() && findXattr(path, 'trusted.overlay.opaque') !== undefined;
}

function copyDirectoryFacts(from: string, to: string): void {
  const stat = lstatSync(from);
  setOwnerAndMode(to, stat, stat.mode & 0o7777);
  copyAttributes(from, to);
  utimesSync(to, stat.atime, stat.mtime);
}

/** Copies extended attributes, except those of the overlay itself. */
export function copyAttributes(from: string | number, to: string): void {
  for (const name of listXattrs(from)) {
    if (name.startsWith('trusted.overlay.') || name.startsWith('user.overlay.')) continue;
    const value = findXattr(from, name);
    if (value !== undefined) setXattr(to, name, value);
  }
}

function readLimited(path: string): string | undefined {
  const fd = openFile(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const size = Math.min(fstatSync(fd).size, ACCOUNT_FILE_LIMIT);
    const bytes = Buffer.alloc(size);
    const count = readSync(fd, bytes, 0, size, 0);
    return bytes.toString('utf8', 0, count);
  } finally {
    closeSync(fd);
  }
}

function notDirectory(path: string): CodedError {
  return new CodedError('invalid_argument', `cannot copy to non-directory: /${path}`, {
    subject: { kind: 'path', name: `/${path}` },
  });
}
