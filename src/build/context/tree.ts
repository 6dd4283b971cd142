import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  type Stats,
} from 'node:fs';
import { join } from 'node:path';
import { CodedError, isSystemError } from '#base/errors/index.ts';
import { O_PATH, openInRoot, RESOLVE } from '#base/posix/index.ts';
import type { Digest } from '#oci/digest/index.ts';
import { createMatcher, type Matcher } from './ignore.ts';
import type { EntryType, IgnoreLine, Tree, TreeEntry, TreeSpec } from './types.ts';

const ROOT_OWNER = { uid: 0, gid: 0 };

/** Opens a tree. @throws {CodedError} for an ignore file with a broken pattern. */
export function openTree(spec: TreeSpec): Tree {
  const matcher = spec.ignore === undefined ? undefined : createMatcher(spec.ignore);
  if (spec.kind === 'disk') return new DiskTree(spec, matcher);
  const lines = readIndex(spec.indexPath);
  if (!crossesLinks(lines)) return new IndexTree(spec.root, lines, matcher);
  // The index has names as they came; where a link is in the way, only the disk says what became of them.
  return new DiskTree({ kind: 'disk', root: spec.root, fixedDirs: [spec.root], rootOwned: true }, matcher);
}

function readIndex(path: string): readonly IndexLine[] {
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as IndexLine);
}

/** Whether an entry, or what it is a hard link to, lies below a name that is or was a link at any time. */
function crossesLinks(lines: readonly IndexLine[]): boolean {
  const links = new Set<string>();
  for (const [path, type] of lines) if (type === 'l') links.add(clean(path));
  if (links.size === 0) return false;
  const known = new Set<string>();
  const crosses = (path: string): boolean => {
    const slash = path.lastIndexOf('/');
    if (slash === -1) return false;
    const parent = path.slice(0, slash);
    if (known.has(parent)) return false;
    if (links.has(parent) || crosses(parent)) return true;
    known.add(parent);
    return false;
  };
  return lines.some(
    ([path, type, , , , , target]) => crosses(clean(path)) || (type === 'h' && crosses(clean(target ?? ''))),
  );
}

interface Node {
  entry: TreeEntry;
  /** Where the bytes are, when the entry is a hard link. */
  file: string;
  children: Map<string, Node> | undefined;
  sorted: readonly string[] | undefined;
}

/** A tree known from the index its unpacking wrote: no system call until a file is read. */
class IndexTree implements Tree {
  readonly root: string;
  readonly owner = ROOT_OWNER;
  readonly #top: Node = newNode(directoryEntry(0o755), '');
  readonly #hidden = new Map<string, IgnoreLine>();
  readonly #matcher: Matcher | undefined;

  constructor(root: string, lines: readonly IndexLine[], matcher: Matcher | undefined) {
    this.root = root;
    this.#matcher = matcher;
    const modes = new Map<string, number>();
    const files = new Map<string, Node>();
    for (const line of lines) this.#add(line, matcher, { modes, files });
  }

  #add(
    [rawPath, type, sizeBytes, modeOctal, , digest, linkTarget]: IndexLine,
    matcher: Matcher | undefined,
    known: { readonly modes: Map<string, number>; readonly files: Map<string, Node> },
  ): void {
    const path = clean(rawPath);
    const mode = Number.parseInt(modeOctal, 8);
    if (path === '' || type === 'w' || type === 'o') return;
    if (type === 'd') known.modes.set(path, mode);
    const hidden = matcher?.match(path);
    const shared = type === 'h' ? known.files.get(clean(linkTarget ?? '')) : undefined;
    if (type === 'h' && shared === undefined) return;
    const node =
      shared === undefined
        ? newNode(
            {
              type: type as EntryType,
              mode,
              ...ROOT_OWNER,
              sizeBytes,
              ...(digest ? { contentDigest: digest as Digest } : {}),
              ...(type === 'l' ? { linkTarget: linkTarget ?? '' } : {}),
            },
            path,
          )
        : newNode(shared.entry, shared.file);
    if (type !== 'd') known.files.set(path, node);
    if (hidden !== undefined) {
      this.#hidden.set(path, hidden);
      return;
    }
    this.#insert(path, node, known.modes);
  }

  #insert(path: string, node: Node, modes: ReadonlyMap<string, number>): void {
    const names = path.split('/');
    let at = this.#top;
    for (const [i, name] of names.entries()) {
      at.children ??= new Map();
      let next = at.children.get(name);
      const isLast = i === names.length - 1;
      if (isLast && (next === undefined || node.entry.type !== 'd' || next.entry.type !== 'd')) {
        at.children.set(name, node);
        at.sorted = undefined;
        return;
      }
      if (isLast && next !== undefined) {
        next.entry = node.entry;
        return;
      }
      if (next === undefined || next.entry.type !== 'd') {
        next = newNode(directoryEntry(modes.get(names.slice(0, i + 1).join('/')) ?? 0o755), '');
        at.children.set(name, next);
        at.sorted = undefined;
      }
      at = next;
    }
  }

  #node(path: string): Node | undefined {
    if (path === '') return this.#top;
    let at: Node | undefined = this.#top;
    for (const name of path.split('/')) {
      at = at.children?.get(name);
      if (at === undefined) return undefined;
    }
    return at;
  }

  find(path: string): TreeEntry | undefined {
    return this.#node(path)?.entry;
  }

  list(path: string): readonly string[] {
    const node = this.#node(path);
    if (node?.children === undefined) return [];
    node.sorted ??= [...node.children.keys()].sort();
    return node.sorted;
  }

  findLinkable(path: string): string {
    return join(this.root, path);
  }

  openFile(path: string): number {
    const node = this.#node(path);
    return openRegular(join(this.root, node?.file ?? path));
  }

  hiddenBy(path: string): IgnoreLine | undefined {
    return this.#hidden.get(path);
  }

  leftOutBy(path: string): IgnoreLine | undefined {
    return this.#node(path) === undefined ? this.#matcher?.match(path) : undefined;
  }

  close(): void {}
}

type IndexLine = [
  path: string,
  type: string,
  sizeBytes: number,
  modeOctal: string,
  offset: number,
  contentDigest?: string | null,
  linkTarget?: string | null,
];

function newNode(entry: TreeEntry, file: string): Node {
  return { entry, file, children: undefined, sorted: undefined };
}

function directoryEntry(mode: number): TreeEntry {
  return { type: 'd', mode, ...ROOT_OWNER, sizeBytes: 0 };
}

/** Index paths, and targets of hard links above all, may be written as in the tar: `./a`, `a/`, `a//b`. */
function clean(path: string): string {
  if (!/^\.?\/|\/\.?(?:\/|$)/.test(path)) return path;
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  return parts.join('/');
}

/**
 * A tree read from disk when needed. Every step goes through a descriptor resolved inside the root, so that a link laid
 * while the build runs leads nowhere else.
 */
class DiskTree implements Tree {
  readonly root: string;
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  readonly #fixedDirs: readonly string[];
  readonly #matcher: Matcher | undefined;
  readonly #rootFd: number;
  /** The directory looked at last: names are looked up in bunches. */
  #directory: { readonly path: string; readonly fd: number } | undefined;

  constructor(spec: Extract<TreeSpec, { readonly kind: 'disk' }>, matcher: Matcher | undefined) {
    this.root = spec.root;
    this.owner = spec.rootOwned ? ROOT_OWNER : undefined;
    this.#fixedDirs = spec.fixedDirs;
    this.#matcher = matcher;
    this.#rootFd = openSync(spec.root, constants.O_RDONLY | constants.O_DIRECTORY);
  }

  find(path: string): TreeEntry | undefined {
    const entry = this.#lstat(path);
    if (entry === undefined || path === '' || this.#matcher === undefined) return entry;
    if (this.#matcher.match(path) === undefined) return entry;
    // A hidden directory is still there when something below it is taken back in by a `!` line.
    return entry.type === 'd' && this.#matcher.hasExceptionBelow(path) && this.list(path).length > 0
      ? entry
      : undefined;
  }

  list(path: string): readonly string[] {
    const fd = this.#open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    if (fd === undefined) return [];
    let names: string[];
    try {
      names = readdirSync(`/proc/self/fd/${fd}`).sort();
    } finally {
      closeSync(fd);
    }
    if (this.#matcher === undefined) return names;
    const prefix = path === '' ? '' : `${path}/`;
    return names.filter((name) => this.find(`${prefix}${name}`) !== undefined);
  }

  findLinkable(path: string): string | undefined {
    if (this.#fixedDirs.length === 0) return undefined;
    const shown = this.#statExactly(path);
    if (shown?.isFile() !== true) return undefined;
    for (const dir of this.#fixedDirs) {
      const at = join(dir, path);
      const found = findStat(at);
      // An overlay shows a file under the inode of the layer that holds it.
      if (found !== undefined && found.ino === shown.ino && found.ctimeNs === shown.ctimeNs) return at;
    }
    return undefined;
  }

  openFile(path: string): number {
    const fd = this.#open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    if (fd === undefined) throw gone(path);
    return fd;
  }

  leftOutBy(): undefined {
    return undefined;
  }

  hiddenBy(path: string): IgnoreLine | undefined {
    return this.#lstat(path) === undefined ? undefined : this.#matcher?.match(path);
  }

  close(): void {
    if (this.#directory !== undefined) closeSync(this.#directory.fd);
    this.#directory = undefined;
    closeSync(this.#rootFd);
  }

  #open(path: string, flags: number): number | undefined {
    try {
      return openInRoot(this.#rootFd, path === '' ? '.' : path, { flags });
    } catch (error) {
      if (isSystemError(error) && ['ENOENT', 'ENOTDIR', 'ELOOP'].includes(error.code)) return undefined;
      throw error;
    }
  }

  /** What is at `path` itself, no link on the way to it followed: so it is the same for whoever uses the path. */
  #statExactly(path: string): BigIntStats | undefined {
    const resolve = RESOLVE.IN_ROOT | RESOLVE.NO_SYMLINKS;
    let fd: number;
    try {
      fd = openInRoot(this.#rootFd, path, { flags: O_PATH | constants.O_NOFOLLOW, resolve });
    } catch (error) {
      if (isSystemError(error) && ['ENOENT', 'ENOTDIR', 'ELOOP'].includes(error.code)) return undefined;
      throw error;
    }
    try {
      return fstatSync(fd, { bigint: true });
    } finally {
      closeSync(fd);
    }
  }

  #lstat(path: string): TreeEntry | undefined {
    const slash = path.lastIndexOf('/');
    const parent = path.slice(0, Math.max(slash, 0));
    if (this.#directory?.path !== parent || this.#directory === undefined) {
      const fd = this.#open(parent, O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW);
      if (fd === undefined) return undefined;
      if (this.#directory !== undefined) closeSync(this.#directory.fd);
      this.#directory = { path: parent, fd };
    }
    const name = path === '' ? '.' : path.slice(slash + 1);
    const at = `/proc/self/fd/${this.#directory.fd}/${name}`;
    const stat = lstatSync(at, { throwIfNoEntry: false });
    if (stat === undefined) return undefined;
    const entry = entryOf(stat, this.owner);
    return entry.type === 'l' ? { ...entry, linkTarget: readlinkSync(at) } : entry;
  }
}

/** What a stat says, in the words of a tree. */
export function entryOf(stat: Stats, owner?: { readonly uid: number; readonly gid: number }): TreeEntry {
  const type = typeOf(stat);
  return {
    type,
    mode: stat.mode & 0o7777,
    uid: owner?.uid ?? stat.uid,
    gid: owner?.gid ?? stat.gid,
    sizeBytes: type === 'f' ? stat.size : 0,
    ...(type === 'c' || type === 'b' ? { device: stat.rdev } : {}),
  };
}

function findStat(path: string): BigIntStats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false, bigint: true });
  } catch (error) {
    if (isSystemError(error, 'ENOTDIR')) return undefined;
    throw error;
  }
}

function typeOf(stat: Stats): EntryType {
  if (stat.isFile()) return 'f';
  if (stat.isDirectory()) return 'd';
  if (stat.isSymbolicLink()) return 'l';
  if (stat.isCharacterDevice()) return 'c';
  if (stat.isBlockDevice()) return 'b';
  return stat.isFIFO() ? 'p' : 's';
}

function openRegular(path: string): number {
  return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
}

function gone(path: string): CodedError {
  return new CodedError('failed_precondition', `"${path}" went away while the build ran`);
}
