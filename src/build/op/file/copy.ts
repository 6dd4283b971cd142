import {
  type BigIntStats,
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  lstatSync,
  openSync,
  readSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { CodedError, isSystemError } from '#base/errors/index.ts';
import {
  changeOwner,
  hardLink,
  listXattrs,
  makeNode,
  setFdTimes,
  setTimes,
  type TimeSpec,
  UTIME_OMIT,
} from '#base/posix/index.ts';
import { resolvePath, type Tree, type TreeEntry } from '#build/context/index.ts';
import type { Excluded } from './digest.ts';
import type { ModeChange } from './mode.ts';
import type { Owner } from './owner.ts';
import type { Source } from './sources.ts';
import { copyAttributes, parentOf, setOwnerAndMode, type Target } from './target.ts';

/** How one COPY or ADD writes. */
export interface CopyOptions {
  /** Absolute, or relative to the root. */
  readonly destination: string;
  readonly destinationIsDirectory: boolean;
  /** `undefined`: as the tree has it. */
  readonly owner: Owner | undefined;
  readonly mode: ModeChange | undefined;
  /** Keep the directories of the source path below the destination. */
  readonly parents: boolean;
  readonly excluded: Excluded;
}

const DIRECTORY_MODE = 0o755;
const SMALL_BYTES = 256 * 1024;

/** Copies sources into a target by the rules of COPY: a directory's contents, a file under its name or the destination's. */
export class Copier {
  readonly #tree: Tree;
  readonly #target: Target;
  readonly #options: CopyOptions;
  readonly #newDirectory: { readonly mode: number; readonly owner: Owner };
  /** Source files already shared with this layer: a second link would make them one file in the image. */
  readonly #linked = new Set<string>();
  /** First copy of a file that has several names in the source. */
  readonly #copied = new Map<string, string>();

  constructor(tree: Tree, target: Target, options: CopyOptions) {
    this.#tree = tree;
    this.#target = target;
    this.#options = options;
    this.#newDirectory = { mode: DIRECTORY_MODE, owner: options.owner ?? { uid: 0, gid: 0 } };
  }

  copy(sources: readonly Source[]): void {
    for (const source of sources) this.#copyOne(source);
  }

  #copyOne(source: Source): void {
    const written = this.#options.parents
      ? join(this.#options.destination, pivoted(source.written, source.path))
      : this.#options.destination;
    const destination = resolvePath(this.#target, written, { followLast: true });
    if (source.isDirectory) {
      if (destination.entry !== undefined && destination.entry.type !== 'd') throw overFile(destination.path);
      this.#target.ensureDirectory(destination.path, this.#newDirectory);
      if (destination.entry === undefined) this.#changeMode(destination.path);
      this.#copyContents(source.path, source.path, destination.path);
      return;
    }
    const inside =
      (this.#options.destinationIsDirectory && !this.#options.parents) || destination.entry?.type === 'd';
    const path = inside ? `${destination.path}/${source.name}`.replace(/^\//, '') : destination.path;
    this.#target.ensureDirectory(parentOf(path), this.#newDirectory);
    const entry = this.#tree.find(source.path);
    if (entry !== undefined) this.#copyEntry(source.path, entry, path);
  }

  #changeMode(path: string): void {
    const { mode } = this.#options;
    if (mode !== undefined) chmodSync(join(this.#target.upper, path), mode(DIRECTORY_MODE, true));
  }

  #copyContents(from: string, top: string, to: string): void {
    for (const name of this.#tree.list(from)) {
      const path = from === '' ? name : `${from}/${name}`;
      const entry = this.#tree.find(path);
      if (entry === undefined || this.#options.excluded(path)) continue;
      this.#copyEntry(path, entry, to === '' ? name : `${to}/${name}`, top);
    }
  }

  #copyEntry(from: string, entry: TreeEntry, to: string, top = from): void {
    if (entry.type === 'd') this.#copyDirectory(from, entry, to, top);
    else if (entry.type === 'f') this.#copyFile(from, entry, to);
    // A socket cannot be in a layer; Docker leaves it out without a word.
    else if (entry.type !== 's') this.#copySpecial(from, entry, to);
  }

  #copyDirectory(from: string, entry: TreeEntry, to: string, top: string): void {
    const existing = this.#target.find(to);
    if (existing !== undefined && existing.type !== 'd') this.#target.clear(to);
    this.#target.ensureDirectory(to, this.#newDirectory);
    this.#copyContents(from, top, to);
    const at = join(this.#target.upper, to);
    setOwnerAndMode(at, this.#ownerOf(entry), this.#modeOf(entry));
    this.#copyFacts(from, at);
  }

  #copyFile(from: string, entry: TreeEntry, to: string): void {
    const at = join(this.#target.upper, to);
    if (this.#mayLink(from, entry) && this.#link(from, to)) return;
    const fd = this.#tree.openFile(from);
    try {
      const stat = fstatSync(fd, { bigint: true });
      if (!stat.isFile())
        throw new CodedError('failed_precondition', `"${from}" changed its kind while it was copied`);
      if (this.#linkToFirstCopy(stat, to)) return;
      const facts = { owner: this.#ownerOf(entry), mode: this.#modeOf(entry), stat };
      this.#place(to, () => (stat.size <= SMALL_BYTES ? copySmall(fd, at, facts) : copyLarge(fd, at, facts)));
    } finally {
      closeSync(fd);
    }
  }

  /** Puts something new at `to`; whatever this layer has there goes first. What layers below have is hidden by it. */
  #place(to: string, make: () => void): void {
    try {
      make();
    } catch (error) {
      if (!isSystemError(error, 'EEXIST')) throw error;
      this.#target.clear(to);
      make();
    }
  }

  /** A file that never changes may become the layer's file when owner and mode are as wanted. */
  #mayLink(from: string, entry: TreeEntry): boolean {
    const owner = this.#ownerOf(entry);
    return (
      owner.uid === entry.uid &&
      owner.gid === entry.gid &&
      this.#modeOf(entry) === entry.mode &&
      !this.#linked.has(from)
    );
  }

  #link(from: string, to: string): boolean {
    const source = this.#tree.findLinkable(from);
    if (source === undefined) return false;
    try {
      this.#place(to, () => hardLink(source, join(this.#target.upper, to)));
      this.#linked.add(from);
      return true;
    } catch (error) {
      if (isSystemError(error) && ['EXDEV', 'EMLINK', 'EPERM'].includes(error.code)) return false;
      throw error;
    }
  }

  #linkToFirstCopy(stat: BigIntStats, to: string): boolean {
    if (stat.nlink < 2n) return false;
    const key = `${stat.dev}:${stat.ino}`;
    const first = this.#copied.get(key);
    if (first === undefined) {
      this.#copied.set(key, to);
      return false;
    }
    const path = (name: string): string => join(this.#target.upper, name);
    if (first === to || lstatSync(path(first), { throwIfNoEntry: false }) === undefined) return false;
    this.#place(to, () => hardLink(path(first), path(to)));
    return true;
  }

  #copySpecial(from: string, entry: TreeEntry, to: string): void {
    if (this.#target.find(to) !== undefined) this.#target.clear(to);
    const at = join(this.#target.upper, to);
    const owner = this.#ownerOf(entry);
    if (entry.type === 'l') {
      symlinkSync(entry.linkTarget ?? '', at);
      changeOwner(at, owner.uid, owner.gid);
    } else {
      const kind = { c: constants.S_IFCHR, b: constants.S_IFBLK, p: constants.S_IFIFO }[
        entry.type as 'c' | 'b' | 'p'
      ];
      makeNode(at, kind | 0o600, BigInt(entry.device ?? 0));
      changeOwner(at, owner.uid, owner.gid);
      chmodSync(at, this.#modeOf(entry));
    }
    this.#copyFacts(from, at);
  }

  /** Times and attributes; the source may be gone from an untrusted directory by now. */
  #copyFacts(from: string, at: string): void {
    const path = join(this.#tree.root, from);
    const stat = lstatSync(path, { throwIfNoEntry: false, bigint: true });
    if (stat === undefined) return;
    if (this.#tree.owner === undefined) copyAttributes(path, at);
    copyTimes(stat, at);
  }

  #ownerOf(entry: TreeEntry): Owner {
    return this.#options.owner ?? entry;
  }

  #modeOf(entry: TreeEntry): number {
    return this.#options.mode?.(entry.mode, entry.type === 'd') ?? entry.mode;
  }
}

interface FileFacts {
  readonly owner: Owner;
  readonly mode: number;
  readonly stat: BigIntStats;
}

/** Through memory, by descriptors: for many small files the calls are what costs. */
function copySmall(from: number, at: string, { owner, mode, stat }: FileFacts): void {
  const bytes = Buffer.allocUnsafe(Number(stat.size));
  const to = openSync(
    at,
    constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
    0o600,
  );
  try {
    let length = 0;
    for (let count = 1; count > 0 && length < bytes.length; length += count)
      count = readSync(from, bytes, length, bytes.length - length, length);
    if (length > 0) writeFileSync(to, bytes.subarray(0, length));
    fchownSync(to, owner.uid, owner.gid);
    fchmodSync(to, mode);
    if (listXattrs(from).length > 0) copyAttributes(from, at);
    const modified = modifiedOf(stat);
    setFdTimes(to, modified, modified);
  } finally {
    closeSync(to);
  }
}

/** Inside the kernel, sharing blocks where the file system can. */
function copyLarge(from: number, at: string, { owner, mode, stat }: FileFacts): void {
  copyFileSync(`/proc/self/fd/${from}`, at, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  setOwnerAndMode(at, owner, mode);
  if (listXattrs(from).length > 0) copyAttributes(from, at);
  copyTimes(stat, at);
}

/** Writes a file from text, such as a heredoc of COPY. */
export function writeText(
  target: Target,
  file: {
    readonly path: string;
    readonly content: string;
    readonly mode: number;
    readonly owner: Owner;
    readonly time?: Date;
  },
): void {
  const resolved = resolvePath(target, file.path, { followLast: true });
  if (resolved.entry?.type === 'd')
    throw new CodedError('invalid_argument', `cannot write file: "/${resolved.path}" is a directory`);
  target.ensureDirectory(parentOf(resolved.path), { mode: DIRECTORY_MODE, owner: file.owner });
  if (resolved.entry !== undefined) target.clear(resolved.path);
  const at = join(target.upper, resolved.path);
  writeFileSync(at, file.content, { flag: 'wx', mode: 0o600 });
  setOwnerAndMode(at, file.owner, file.mode);
  if (file.time !== undefined) {
    const seconds = Math.floor(file.time.getTime() / 1000);
    setTimes(at, UTIME_OMIT, { seconds, nanoseconds: 0 });
  }
}

/** Makes a directory, as WORKDIR does. One that exists is left as it is. */
export function makeDirectory(
  target: Target,
  directory: {
    readonly path: string;
    readonly mode: number;
    readonly owner: Owner;
    readonly parents: boolean;
  },
): void {
  const resolved = resolvePath(target, directory.path, { followLast: true });
  if (resolved.entry?.type === 'd') return;
  if (resolved.entry !== undefined)
    throw new CodedError('invalid_argument', `Cannot mkdir: /${resolved.path} is not a directory`);
  if (!directory.parents && resolved.missing.length > 1)
    throw new CodedError('not_found', `cannot mkdir: "/${parentOf(resolved.path)}" does not exist`);
  target.ensureDirectory(resolved.path, { mode: directory.mode, owner: directory.owner });
}

/** With `--parents`: what stays of the source path; a `/./` in it marks where that begins. */
function pivoted(written: string, path: string): string {
  const pivot = written.lastIndexOf('/./');
  const names = path.split('/');
  if (pivot < 0) return path;
  const dropped = written
    .slice(0, pivot)
    .split('/')
    .filter((name) => name !== '' && name !== '.').length;
  return names.slice(dropped).join('/');
}

function copyTimes(stat: BigIntStats, at: string): void {
  const modified = modifiedOf(stat);
  setTimes(at, modified, modified);
}

function modifiedOf(stat: BigIntStats): TimeSpec {
  let seconds = stat.mtimeNs / 1_000_000_000n;
  let nanoseconds = stat.mtimeNs % 1_000_000_000n;
  if (nanoseconds < 0n) {
    seconds -= 1n;
    nanoseconds += 1_000_000_000n;
  }
  return { seconds: Number(seconds), nanoseconds: Number(nanoseconds) };
}

function overFile(path: string): CodedError {
  return new CodedError('invalid_argument', `cannot copy to non-directory: /${path}`, {
    subject: { kind: 'path', name: `/${path}` },
  });
}
