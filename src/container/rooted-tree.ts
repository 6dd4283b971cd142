import { randomBytes } from 'node:crypto';
import { type BigIntStats, closeSync, constants, fstatSync, openSync, readdirSync, rmdirSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { CodedError, isSystemError } from '#base/errors/index.ts';
import { findXattr, O_PATH, openInRoot, readLinkFd, splitDevice } from '#base/posix/index.ts';
import {
  decodeName,
  encodeTarHeader,
  TAR_END,
  type TarEntryType,
  type TarHeaderInput,
} from '#base/tar/index.ts';
import { ACCOUNT_FILE_LIMIT_BYTES, readLimited, resolveInRoot } from '#runtime/spec/index.ts';
import { type Context, isRunning, rootfsOf, snapshotKey } from './context.ts';
import { mountVolumes } from './stopped-root.ts';
import type { ContainerRecord, PathStat } from './types.ts';
import { acquireVolumes, releaseVolumes } from './volume-use.ts';

const READ_BYTES = 512 * 1024;
const BLOCK = 512;
const MAX_LINKS = 255;
/** Small members are gathered into chunks of about this size. */
const CHUNK_BYTES = 256 * 1024;

/**
 * Calls `body` with a descriptor of the container's root: that of its process while it runs (mounts included), else the
 * snapshot mounted for the time being, with its volumes in it. Paths are then resolved by the kernel inside that root.
 */
export async function withRoot<T>(
  context: Context,
  record: ContainerRecord,
  body: (rootFd: number) => Promise<T>,
): Promise<T> {
  const root = await openRoot(context, record, { volumes: true });
  try {
    return await body(root.fd);
  } finally {
    await root.close();
  }
}

/** A container's root, open. */
export interface OpenRoot {
  readonly fd: number;
  close(): Promise<void>;
}

/** See `withRoot`; close it. Without `volumes`, a container that does not run shows only its own files. */
export async function openRoot(
  context: Context,
  record: ContainerRecord,
  { volumes }: { readonly volumes: boolean },
): Promise<OpenRoot> {
  const flags = constants.O_RDONLY | constants.O_DIRECTORY;
  if (isRunning(record)) {
    const fd = openSync(`/proc/${record.state.pid}/root`, flags);
    return { fd, close: async () => closeSync(fd) };
  }
  const target = join(context.execRoot, 'views', randomBytes(6).toString('hex'));
  await using undo = new AsyncDisposableStack();
  context.snapshots.mountAt(snapshotKey(record.id), target);
  undo.defer(async () => {
    await context.snapshots.unmountInBackground(target);
    rmdirSync(target);
  });
  if (volumes && record.mounts.length > 0) {
    const purpose = `view ${target}`;
    await acquireVolumes(context, record, purpose);
    undo.defer(() => releaseVolumes(context, record, purpose));
    const mounted = mountVolumes(target, record.mounts);
    undo.defer(() => mounted.close());
    keepStubs(context, record.id, mounted.stubs);
  }
  const fd = openSync(target, flags);
  undo.defer(() => closeSync(fd));
  const close = undo.move();
  return { fd, close: () => close.disposeAsync() };
}

/** What had to be made for a mount is no change that `diff` and `commit` see. */
function keepStubs(context: Context, id: string, made: readonly string[]): void {
  const stubs = context.records.byId(id)?.stubs;
  if (stubs !== undefined && made.length > 0)
    context.records.change(id, { stubs: [...new Set([...stubs, ...made])] });
}

/** The path of a running container's mounted root, or `undefined`. */
export function mountedRoot(context: Context, record: ContainerRecord): string | undefined {
  return isRunning(record) ? rootfsOf(context, record.id) : undefined;
}

/**
 * Opens `path` in the root as a handle; the last part is not followed. `called` is the container's name in messages.
 * @throws {CodedError} `not_found` with Docker's text.
 */
export function openPath(rootFd: number, path: string, called: string): number {
  const inside = path.startsWith('/') ? path : `/${path}`;
  try {
    return openInRoot(rootFd, inside, { flags: O_PATH | constants.O_NOFOLLOW });
  } catch (error) {
    if (isSystemError(error, 'ENOENT') || isSystemError(error, 'ENOTDIR')) {
      throw new CodedError('not_found', `Could not find the file ${path} in container ${called}`, {
        subject: { kind: 'path', name: path },
      });
    }
    throw error;
  }
}

/** Whether `path` is a directory in a root that is mounted; for what is said about it only. */
export function isDirectoryIn(root: string, path: string): boolean {
  try {
    return resolveInRoot(root, path).stat?.isDirectory() === true;
  } catch {
    return false;
  }
}

/** A small file of the root, as text; `undefined` when it is not there. @throws {CodedError} `resource_exhausted` for a large one. */
export function readAccountFile(root: number, path: string): string | undefined {
  let fd: number;
  try {
    fd = openInRoot(root, path, { flags: constants.O_RDONLY | constants.O_NONBLOCK });
  } catch {
    return undefined;
  }
  try {
    return readLimited(fd, path, ACCOUNT_FILE_LIMIT_BYTES);
  } finally {
    closeSync(fd);
  }
}

/** What `HEAD archive` tells of an open path in the root. */
export function statOpenPath(rootFd: number, fd: number, path: string): PathStat {
  const stat = fstatSync(fd, { bigint: true });
  const name = baseName(path);
  return {
    name: name === '.' ? baseName(path.replace(/\/\.?$/, '')) : name,
    size: Number(stat.size),
    mode: goMode(Number(stat.mode)),
    mtime: nanoTime(stat.mtimeNs),
    // As Docker: not what the link says, but where it ends in the container.
    linkTarget: stat.isSymbolicLink() ? followLinks(rootFd, path) : '',
  };
}

/** Where a path leads in the root with all its links followed; the end need not exist. */
export function followLinks(rootFd: number, path: string): string {
  const done: string[] = [];
  const todo = path.split('/');
  for (let links = 0; todo.length > 0; ) {
    const part = todo.shift() ?? '';
    if (part === '' || part === '.') continue;
    if (part === '..') {
      done.pop();
      continue;
    }
    const target = findLink(rootFd, `/${[...done, part].join('/')}`);
    if (target === undefined) done.push(part);
    else {
      if (++links > MAX_LINKS)
        throw new CodedError('invalid_argument', `cannot follow "${path}": too many links`);
      if (target.startsWith('/')) done.length = 0;
      todo.unshift(...target.split('/'));
    }
  }
  return `/${done.join('/')}`;
}

function findLink(rootFd: number, path: string): string | undefined {
  let fd: number;
  try {
    fd = openInRoot(rootFd, path, { flags: O_PATH | constants.O_NOFOLLOW });
  } catch {
    return undefined;
  }
  try {
    return fstatSync(fd).isSymbolicLink() ? decodeName(readLinkFd(fd)) : undefined;
  } finally {
    closeSync(fd);
  }
}

function nanoTime(ns: bigint): string {
  const seconds = ns / 1_000_000_000n;
  return `${new Date(Number(seconds) * 1000).toISOString().slice(0, 19)}.${(ns % 1_000_000_000n).toString().padStart(9, '0')}Z`;
}

/** Go's `os.FileMode` of a Unix mode. */
export function goMode(mode: number): number {
  const type = mode & constants.S_IFMT;
  const bits: Readonly<Record<number, number>> = {
    [constants.S_IFDIR]: 2 ** 31,
    [constants.S_IFLNK]: 2 ** 27,
    [constants.S_IFBLK]: 2 ** 26,
    [constants.S_IFCHR]: 2 ** 26 + 2 ** 21,
    [constants.S_IFIFO]: 2 ** 25,
    [constants.S_IFSOCK]: 2 ** 24,
  };
  return (
    (bits[type] ?? 0) +
    (mode & 0o777) +
    (mode & 0o4000 ? 2 ** 23 : 0) +
    (mode & 0o2000 ? 2 ** 22 : 0) +
    (mode & 0o1000 ? 2 ** 20 : 0)
  );
}

/** Last part of a path as `docker cp` names its archive: `.` for `x/.` and for the root. */
export function baseName(path: string): string {
  if (/(^|\/)\.$/.test(path)) return '.';
  const parts = path.split('/').filter((part) => part !== '');
  return parts.at(-1) ?? '.';
}

/**
 * The tree at an open path as a tar whose entries begin with `name`. Every step is made from a directory's descriptor and
 * follows no link, so that a running container cannot lead it astray.
 */
export async function* packTree(fd: number, name: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const links = new Map<string, string>();
  let held: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of packEntry(fd, name, links)) {
    signal.throwIfAborted();
    held.push(chunk);
    bytes += chunk.length;
    if (bytes < CHUNK_BYTES) continue;
    yield Buffer.concat(held);
    held = [];
    bytes = 0;
  }
  yield Buffer.concat([...held, TAR_END]);
}

async function* packEntry(fd: number, path: string, links: Map<string, string>): AsyncGenerator<Buffer> {
  const stat = fstatSync(fd, { bigint: true });
  const type = typeOf(stat);
  if (type === undefined) return;
  const linkKey = `${stat.dev}:${stat.ino}`;
  const first = stat.nlink > 1n && type !== 'directory' ? links.get(linkKey) : undefined;
  if (first !== undefined) {
    yield encodeTarHeader({ ...headerOf(stat, 'hardlink', path), linkTarget: first });
    return;
  }
  if (stat.nlink > 1n) links.set(linkKey, path);
  if (type === 'file') {
    yield* packFile(fd, stat, path);
    return;
  }
  const linkTarget = type === 'symlink' ? decodeName(readLinkFd(fd)) : '';
  yield encodeTarHeader({ ...headerOf(stat, type, path), linkTarget });
  if (type === 'directory') yield* packDirectory(fd, path, links);
}

async function* packDirectory(fd: number, path: string, links: Map<string, string>): AsyncGenerator<Buffer> {
  for (const name of readdirSync(`/proc/self/fd/${fd}`).sort()) {
    let child: number;
    try {
      child = openInRoot(fd, name, { flags: O_PATH | constants.O_NOFOLLOW });
    } catch (error) {
      // Removed while we read.
      if (isSystemError(error, 'ENOENT')) continue;
      throw error;
    }
    try {
      yield* packEntry(child, `${path}/${name}`, links);
    } finally {
      closeSync(child);
    }
  }
}

async function* packFile(fd: number, stat: BigIntStats, path: string): AsyncGenerator<Buffer> {
  const file = await open(`/proc/self/fd/${fd}`, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const capability = findXattr(file.fd, 'security.capability');
    const size = Number(stat.size);
    yield encodeTarHeader({
      ...headerOf(stat, 'file', path),
      sizeBytes: size,
      ...(capability === undefined ? {} : { xattrs: new Map([['security.capability', capability]]) }),
    });
    let left = size;
    while (left > 0) {
      const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, left));
      const { bytesRead } = await file.read(buffer, 0, buffer.length);
      // A file that shrinks while it is read: its promised size is filled up, as tar does.
      if (bytesRead === 0) yield Buffer.alloc(buffer.length);
      else yield buffer.subarray(0, bytesRead);
      left -= bytesRead === 0 ? buffer.length : bytesRead;
    }
    if (size % BLOCK !== 0) yield Buffer.alloc(BLOCK - (size % BLOCK));
  } finally {
    await file.close();
  }
}

function headerOf(stat: BigIntStats, type: TarEntryType, path: string): TarHeaderInput {
  const device = type === 'char' || type === 'block' ? splitDevice(stat.rdev) : undefined;
  return {
    path,
    type,
    mode: Number(stat.mode) & 0o7777,
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    modified: {
      seconds: Number(stat.mtimeNs / 1_000_000_000n),
      nanoseconds: Number(stat.mtimeNs % 1_000_000_000n),
    },
    ...(device === undefined ? {} : { deviceMajor: device.major, deviceMinor: device.minor }),
  };
}

function typeOf(stat: BigIntStats): TarEntryType | undefined {
  if (stat.isFile()) return 'file';
  if (stat.isDirectory()) return 'directory';
  if (stat.isSymbolicLink()) return 'symlink';
  if (stat.isCharacterDevice()) return 'char';
  if (stat.isBlockDevice()) return 'block';
  return stat.isFIFO() ? 'fifo' : undefined;
}
