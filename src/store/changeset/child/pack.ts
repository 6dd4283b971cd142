import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { CodedError } from '#base/errors/index.ts';
import { findXattr, listXattrs, splitDevice } from '#base/posix/index.ts';
import {
  decodeName,
  encodeTarHeader,
  paddingOf,
  systemPath,
  TAR_END,
  type TarEntryType,
  type TarHeaderInput,
} from '#base/tar/index.ts';
import type { Digest } from '#oci/digest/index.ts';
import { ENTRY_LETTERS } from '#oci/layer/index.ts';
import { BeforeTree } from './before.ts';
import type { HashRing } from './hash-ring.ts';
import { IndexWriter } from './index-writer.ts';
import { OPAQUE_XATTRS } from './lower.ts';
import type { ChildFacts, PackRequest } from './protocol.ts';
import { openTarSink, type TarOutput } from './sink.ts';
import type { JobTools } from './unpack.ts';

const PROGRESS_STEP_BYTES = 4 * 1024 * 1024;
const KEPT_XATTR = /^(?:security\.capability$|user\.(?!overlay\.))/;
/** Marks of mounts with `redirect_dir` or `metacopy`: ours are made without, and their trees cannot be read as they lie. */
const ELSEWHERE_XATTR = /^(?:trusted|user)\.overlay\.(?:redirect|metacopy)$/;
const DEFAULT_ROOT_MODE = 0o755;
const PADDING = Buffer.alloc(512);

/**
 * Reads a directory of changes as a tar, in byte order of the names, so that the same directory always gives the same bytes.
 * Hashes them (diffID) and each file (content digest), writes the layer index, and sends the bytes where the request says.
 */
export function pack(request: PackRequest, { jail, ring, progress }: JobTools): ChildFacts {
  const index = new IndexWriter(request.indexPath);
  const output = openTarSink(request.to);
  const stream = new TarStream(ring, output, progress);
  const before = request.against === undefined ? undefined : new BeforeTree(request.against);
  const packer = new Packer(request, stream, index, before);
  // A live tree may be changed while it is read: a link laid in the way must not lead out of it.
  jail.enter(request.dir);
  try {
    packer.run();
  } finally {
    jail.leave();
  }
  before?.close();
  stream.write(TAR_END);
  stream.flush();
  const diffId = `sha256:${ring.finish()}`;
  const blob = output.finish();
  index.close();
  return {
    diffId,
    tarSizeBytes: stream.offset,
    contentSizeBytes: packer.contentSizeBytes,
    entries: packer.entries,
    ...(blob === undefined ? {} : { blob }),
  };
}

/** The tar being written: bytes go into slots that a second thread hashes, and on to the output. */
class TarStream {
  offset = 0;
  readonly #ring: HashRing;
  readonly #output: TarOutput;
  readonly #progress: (bytes: number) => void;
  #slot: Buffer;
  #fill = 0;
  #told = 0;

  constructor(ring: HashRing, output: TarOutput, progress: (bytes: number) => void) {
    this.#ring = ring;
    this.#output = output;
    this.#progress = progress;
    this.#slot = ring.next();
  }

  write(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      const room = this.#room();
      const length = Math.min(room.length, bytes.length - at);
      bytes.copy(room, 0, at, at + length);
      this.#take(length);
      at += length;
    }
  }

  /** Reads up to `limit` bytes of a file straight into the slot; the bytes are readable until the next call. */
  readFrom(fd: number, limit: number): Buffer {
    const room = this.#room();
    const length = fs.readSync(fd, room, 0, Math.min(room.length, limit), null);
    const bytes = room.subarray(0, length);
    this.#take(length);
    return bytes;
  }

  flush(): void {
    if (this.#fill === 0) return;
    this.#output.write(this.#slot.subarray(0, this.#fill));
    this.#ring.push(this.#fill);
    this.#fill = 0;
  }

  /** Free bytes of the current slot; a full one is handed on first. */
  #room(): Buffer {
    if (this.#fill === this.#slot.length) {
      this.flush();
      this.#slot = this.#ring.next();
      if (this.offset - this.#told >= PROGRESS_STEP_BYTES) {
        this.#told = this.offset;
        this.#progress(this.offset);
      }
    }
    return this.#slot.subarray(this.#fill);
  }

  #take(length: number): void {
    this.#fill += length;
    this.offset += length;
  }
}

/** A directory whose own entry is written when it is known that one is needed. */
interface PendingDir {
  readonly path: string;
  readonly header: TarHeaderInput;
  isWritten: boolean;
}

/** Walks the tree. Paths are relative to the working directory, which is its root. */
class Packer {
  contentSizeBytes = 0;
  entries = 0;
  readonly #request: PackRequest;
  readonly #stream: TarStream;
  readonly #index: IndexWriter;
  readonly #before: BeforeTree | undefined;
  /** First path of each inode that has several. */
  readonly #linked = new Map<string, string>();
  readonly #above: PendingDir[] = [];

  constructor(request: PackRequest, stream: TarStream, index: IndexWriter, before: BeforeTree | undefined) {
    this.#request = request;
    this.#stream = stream;
    this.#index = index;
    this.#before = before;
  }

  run(): void {
    this.#root();
    this.#directory('');
  }

  /** The root has no entry of its own unless something about it is not as usual. */
  #root(): void {
    const stats = fs.statSync('.');
    const header = headerOf('./', 'directory', stats, readXattrs('.'));
    const isUsual =
      (stats.mode & 0o7777) === DEFAULT_ROOT_MODE &&
      stats.uid === 0 &&
      stats.gid === 0 &&
      header.xattrs === undefined;
    if (!isUsual && this.#before === undefined) this.#emit('', header);
    if (this.#request.changes === 'overlay' && isOpaque('.')) this.#emitMark('.wh..wh..opq', '', 'o', stats);
  }

  #directory(path: string): void {
    const names = fs.readdirSync(systemPath(path || '.'), { encoding: 'buffer' }).sort(Buffer.compare);
    for (const bytes of names) {
      const name = decodeName(bytes);
      this.#entry(path === '' ? name : `${path}/${name}`);
    }
    if (this.#before !== undefined) this.#removed(path, names, this.#before);
  }

  #entry(path: string): void {
    const target = systemPath(path);
    const stats = fs.lstatSync(target);
    const type = typeOf(stats);
    if (type === undefined) return; // sockets are not kept in a layer
    if (type === 'char' && stats.rdev === 0 && this.#request.changes === 'overlay') {
      this.#whiteout(path, stats);
      return;
    }
    const isChanged = this.#isChanged(path, stats, type);
    if (type === 'directory') {
      this.#subtree(path, stats, isChanged);
      return;
    }
    if (!isChanged) return;
    this.#writeAbove();
    const first = this.#firstPath(path, stats);
    if (first !== undefined)
      this.#emit(path, { ...headerOf(path, 'hardlink', stats, undefined), linkTarget: first });
    else if (type === 'file') this.#file(path, target, stats);
    else if (type === 'symlink') {
      const linkTarget = decodeName(fs.readlinkSync(target, { encoding: 'buffer' }));
      this.#emit(path, { ...headerOf(path, type, stats, readXattrs(target)), linkTarget });
    } else this.#emit(path, headerOf(path, type, stats, readXattrs(target)));
  }

  #subtree(path: string, stats: fs.Stats, isChanged: boolean): void {
    const header = headerOf(path, 'directory', stats, readXattrs(systemPath(path)));
    const pending: PendingDir = { path, header, isWritten: false };
    this.#above.push(pending);
    if (isChanged) this.#writeAbove();
    if (this.#request.changes === 'overlay' && isOpaque(systemPath(path))) {
      this.#emitMark(`${path}/.wh..wh..opq`, path, 'o', stats);
    }
    this.#directory(path);
    this.#above.pop();
  }

  /** Directories on the way down come before what is in them. */
  #writeAbove(): void {
    for (const pending of this.#above) {
      if (pending.isWritten) continue;
      pending.isWritten = true;
      this.#emit(pending.path, pending.header);
    }
  }

  #whiteout(path: string, stats: fs.Stats): void {
    this.#writeAbove();
    const slash = path.lastIndexOf('/') + 1;
    this.#emitMark(`${path.slice(0, slash)}.wh.${path.slice(slash)}`, path, 'w', stats);
  }

  /** With `against`: what is there and not here any more. */
  #removed(path: string, names: readonly Buffer[], tree: BeforeTree): void {
    const here = new Set(names.map((name) => name.toString('latin1')));
    for (const bytes of tree.list(path)) {
      if (here.has(bytes.toString('latin1'))) continue;
      const name = decodeName(bytes);
      const removed = path === '' ? name : `${path}/${name}`;
      this.#whiteout(removed, fs.statSync(systemPath(path || '.')));
    }
  }

  #isChanged(path: string, stats: fs.Stats, type: TarEntryType): boolean {
    if (this.#before === undefined) return true;
    const before = this.#before.find(path);
    if (before === undefined || typeOf(before) !== type) return true;
    const isSame =
      before.mode === stats.mode &&
      before.uid === stats.uid &&
      before.gid === stats.gid &&
      before.rdev === stats.rdev;
    if (type === 'directory') return !isSame;
    return !isSame || before.size !== stats.size || before.mtimeMs !== stats.mtimeMs;
  }

  #firstPath(path: string, stats: fs.Stats): string | undefined {
    if (stats.nlink < 2) return undefined;
    const key = `${stats.dev}:${stats.ino}`;
    const first = this.#linked.get(key);
    if (first === undefined) this.#linked.set(key, path);
    return first;
  }

  #file(path: string, target: string | Buffer, stats: fs.Stats): void {
    const fd = fs.openSync(target, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK);
    try {
      const header = { ...headerOf(path, 'file', stats, readXattrs(fd)), sizeBytes: stats.size };
      this.#stream.write(encodeTarHeader(header));
      const offset = this.#stream.offset;
      // Only the index wants it; a layer that is packed again has one already.
      const hash = this.#request.indexPath === undefined ? undefined : createHash('sha256');
      for (let left = stats.size; left > 0; ) {
        const bytes = this.#stream.readFrom(fd, left);
        if (bytes.length === 0) throw new Error(`"${path}" became shorter while it was read`);
        hash?.update(bytes);
        left -= bytes.length;
      }
      const padding = paddingOf(stats.size);
      if (padding > 0) this.#stream.write(PADDING.subarray(0, padding));
      if (hash !== undefined) {
        const contentDigest = `sha256:${hash.digest('hex')}` as Digest;
        this.#index.add({
          path,
          type: 'f',
          sizeBytes: stats.size,
          mode: stats.mode & 0o7777,
          offset,
          contentDigest,
        });
      }
    } finally {
      fs.closeSync(fd);
    }
    this.entries++;
    this.contentSizeBytes += stats.size;
  }

  #emit(path: string, header: TarHeaderInput): void {
    this.#stream.write(encodeTarHeader(header));
    this.entries++;
    this.#index.add({
      path,
      type: ENTRY_LETTERS[header.type],
      sizeBytes: 0,
      mode: header.mode,
      offset: this.#stream.offset,
      ...(header.linkTarget ? { linkTarget: header.linkTarget } : {}),
    });
  }

  /** An empty file whose name says what to remove. */
  #emitMark(name: string, path: string, type: 'w' | 'o', stats: fs.Stats): void {
    this.#writeAbove();
    const modified = { seconds: Math.floor(stats.mtimeMs / 1000), nanoseconds: 0 };
    this.#stream.write(encodeTarHeader({ path: name, type: 'file', mode: 0o600, modified }));
    this.entries++;
    this.#index.add({ path, type, sizeBytes: 0, mode: 0, offset: this.#stream.offset });
  }
}

function headerOf(
  path: string,
  type: TarEntryType,
  stats: fs.Stats,
  xattrs: ReadonlyMap<string, Uint8Array> | undefined,
): TarHeaderInput {
  const device = type === 'char' || type === 'block' ? splitDevice(stats.rdev) : undefined;
  return {
    path,
    type,
    mode: stats.mode & 0o7777,
    uid: stats.uid,
    gid: stats.gid,
    modified: { seconds: Math.floor(stats.mtimeMs / 1000), nanoseconds: 0 },
    ...(device === undefined ? {} : { deviceMajor: device.major, deviceMinor: device.minor }),
    ...(xattrs === undefined ? {} : { xattrs }),
  };
}

function typeOf(stats: fs.Stats): TarEntryType | undefined {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  if (stats.isSymbolicLink()) return 'symlink';
  if (stats.isCharacterDevice()) return 'char';
  if (stats.isBlockDevice()) return 'block';
  if (stats.isFIFO()) return 'fifo';
  return undefined;
}

/** Attributes that belong to the content; most files have none. */
function readXattrs(target: string | Buffer | number): ReadonlyMap<string, Uint8Array> | undefined {
  const all = listXattrs(target);
  if (all.length === 0) return undefined;
  const elsewhere = all.find((name) => ELSEWHERE_XATTR.test(name));
  if (elsewhere !== undefined) {
    throw new CodedError(
      'failed_precondition',
      `cannot read the changes: overlay's mark "${elsewhere}" says that the content of a file or directory is elsewhere`,
    );
  }
  const names = all.filter((name) => KEPT_XATTR.test(name));
  if (names.length === 0) return undefined;
  const found = new Map<string, Uint8Array>();
  for (const name of names.sort()) {
    const value = findXattr(target, name);
    if (value !== undefined) found.set(name, Buffer.from(value));
  }
  return found;
}

function isOpaque(path: string | Buffer): boolean {
  return OPAQUE_XATTRS.some((name) => findXattr(path, name)?.toString() === 'y');
}
