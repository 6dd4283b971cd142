import fs from 'node:fs';
import { checkGrowth } from '#base/bytes/index.ts';
import { CodedError } from '#base/errors/index.ts';
import {
  hardLink,
  makeDevice,
  makeFifo,
  makeNode,
  setTimes,
  setXattr,
  UTIME_OMIT,
} from '#base/posix/index.ts';
import { decodeName, type FoundTarHeader, systemPath, TarDecoder, type TarSink } from '#base/tar/index.ts';
import { ENTRY_LETTERS, hostileLayer, splitEntryPath, whiteoutOf } from '#oci/layer/index.ts';
import { FileBody, writeAll } from './file-body.ts';
import { Ground } from './ground.ts';
import type { HashRing } from './hash-ring.ts';
import { IndexWriter } from './index-writer.ts';
import type { Jail } from './jail.ts';
import { LowerTree, OPAQUE_XATTRS } from './lower.ts';
import type { ChildFacts, UnpackRequest } from './protocol.ts';
import { openFileSource, openFramedSource, type TarSource } from './source.ts';
import {
  checkKind,
  dressDirectory,
  dressFd,
  dressPath,
  placeDirectory,
  placeWhiteout,
  placing,
  refusedEntry,
  removeLeaf,
} from './tree.ts';

const PROGRESS_STEP_BYTES = 4 * 1024 * 1024;

/** Tools that outlive a job. */
export interface JobTools {
  readonly jail: Jail;
  readonly ring: HashRing;
  readonly progress: (bytes: number) => void;
}

/**
 * Unpacks one layer: everything that needs a path of the host is opened first, then the target becomes the root.
 * @throws {CodedError} `invalid_argument` for a hostile or damaged layer, `resource_exhausted` beyond a limit.
 */
export function unpack(request: UnpackRequest, tools: JobTools): ChildFacts {
  const index = new IndexWriter(request.indexPath);
  const lower = request.lowerDirs.length === 0 ? undefined : new LowerTree(request.lowerDirs);
  const source =
    request.sourcePath === undefined
      ? openFramedSource()
      : openFileSource(request.sourcePath, request.compression);
  const ground = new Ground(lower);
  const writer = new LayerWriter(request, index, ground);
  const isLayer = request.whiteouts !== 'literal';
  let tarSizeBytes = 0;
  tools.jail.enter(request.targetDir);
  try {
    tarSizeBytes = feed(source, writer, tools, isLayer);
    writer.finish();
  } finally {
    tools.jail.leave();
  }
  source.close(tarSizeBytes);
  lower?.close();
  index.close();
  const { contentSizeBytes, entries } = writer;
  const facts = { tarSizeBytes, contentSizeBytes, entries, impliedDirs: ground.impliedDirs };
  return isLayer ? { ...facts, diffId: `sha256:${tools.ring.finish()}` } : facts;
}

function feed(
  source: TarSource,
  writer: LayerWriter,
  { ring, progress }: JobTools,
  isLayer: boolean,
): number {
  const decoder = new TarDecoder(writer);
  let total = 0;
  let told = 0;
  for (;;) {
    const slot = ring.next(); // the same one again, as long as nothing is pushed
    const length = source.read(slot);
    if (length === 0) break;
    if (isLayer) ring.push(length);
    total += length;
    decoder.write(slot.subarray(0, length));
    checkGrowth(Math.max(total, writer.fileBytes), source.storedBytes ?? total, 'the layer');
    if (total - told >= PROGRESS_STEP_BYTES) {
      told = total;
      progress(total);
    }
  }
  decoder.close();
  return total;
}

/** Makes the tree entry by entry, inside the jail. */
class LayerWriter implements TarSink {
  contentSizeBytes = 0;
  entries = 0;
  readonly #request: UnpackRequest;
  readonly #index: IndexWriter;
  readonly #ground: Ground;
  readonly #under: readonly string[];
  readonly #seen = new Set<string>();
  /** Directories that something of this layer lies in; kept only where whiteouts delete in place. */
  readonly #isAbove = new Set<string>();
  readonly #dirTimes: { readonly path: string; readonly header: FoundTarHeader }[] = [];
  #file: { readonly path: string; readonly header: FoundTarHeader; readonly body: FileBody } | undefined;
  /** Bytes of all files, holes included. */
  fileBytes = 0;

  constructor(request: UnpackRequest, index: IndexWriter, ground: Ground) {
    this.#request = request;
    this.#index = index;
    this.#ground = ground;
    this.#under = request.under === undefined ? [] : splitEntryPath(request.under);
  }

  entry(header: FoundTarHeader): void {
    try {
      this.#take(header);
    } catch (error) {
      throw refusedEntry(error, header.path);
    }
  }

  #take(header: FoundTarHeader): void {
    const parts = [...this.#under, ...splitEntryPath(header.path)];
    this.entries++;
    this.#checkLimits(header);
    if (this.#request.whiteouts !== 'literal' && this.#whiteout(parts, header)) return;
    const path = parts.join('/');
    this.#checkUnseen(path, header);
    if (this.#request.keepKinds) checkKind(path, header);
    switch (header.type) {
      case 'file':
        this.#openFile(parts, path, header);
        return;
      case 'directory':
        this.#directory(parts, path, header);
        break;
      case 'symlink':
        if (header.linkTarget === '') throw hostileLayer(header.path, 'it is a link to nothing');
        this.#place(parts, (target) => fs.symlinkSync(systemPath(header.linkTarget), target), header);
        break;
      case 'hardlink':
        this.#hardLink(parts, header);
        break;
      case 'fifo':
        this.#place(parts, (target) => makeFifo(target, 0o600), header);
        break;
      case 'char':
      case 'block':
        this.#device(parts, header);
    }
    this.#addToIndex(path, header);
  }

  data(bytes: Buffer): void {
    this.#file?.body.write(bytes);
  }

  end(): void {
    const file = this.#file;
    if (file === undefined) return;
    this.#file = undefined;
    const { header, path, body } = file;
    const contentDigest = body.finish(this.#request.owner);
    this.contentSizeBytes += header.sizeBytes;
    this.#index.add({
      path,
      type: 'f',
      sizeBytes: header.sizeBytes,
      mode: header.mode,
      offset: header.dataOffset,
      ...(contentDigest === undefined ? {} : { contentDigest }),
    });
  }

  /** Times of directories, deepest last written first: everything in them is there now. */
  finish(): void {
    for (const { path, header } of this.#dirTimes.reverse()) {
      const target = systemPath(path || '.');
      if (fs.lstatSync(target, { throwIfNoEntry: false })?.isDirectory())
        setTimes(target, UTIME_OMIT, header.modified);
    }
  }

  #checkLimits(header: FoundTarHeader): void {
    this.fileBytes += header.type === 'file' ? header.sizeBytes : 0;
    const { maxBytes, maxInodes } = this.#request;
    if (maxBytes !== undefined && this.fileBytes > maxBytes) {
      throw new CodedError('resource_exhausted', `the archive holds more than ${maxBytes} bytes of files`);
    }
    if (maxInodes !== undefined && this.entries > maxInodes) {
      throw new CodedError('resource_exhausted', `the archive holds more than ${maxInodes} entries`);
    }
  }

  /**
   * Spec: image-spec v1.1, layer.md: a layer must not have duplicate entries. An archive of files may, and a directory that is
   * named again only says its owner and mode again.
   */
  #checkUnseen(path: string, { type }: FoundTarHeader): void {
    const isDirectory = type === 'directory';
    if (path === '' && !isDirectory) throw hostileLayer('/', 'the root is not a directory');
    if (this.#request.whiteouts === 'literal') return;
    if (this.#seen.has(path) || (!isDirectory && this.#seen.has(`${path}/`)))
      throw hostileLayer(path, 'it is in the layer twice');
    if (!isDirectory) this.#seen.add(path);
    if (this.#request.whiteouts !== 'apply') return;
    for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) {
      if (this.#isAbove.has(path.slice(0, end))) return;
      this.#isAbove.add(path.slice(0, end));
    }
  }

  #whiteout(parts: readonly string[], header: FoundTarHeader): boolean {
    const found = whiteoutOf(parts, header.path);
    if (found.kind === 'none') return false;
    if (found.kind === 'ignored') return true;
    const above = parts.slice(0, -1);
    if (found.kind === 'opaque') this.#opaque(above);
    else if (this.#request.whiteouts === 'overlay') placeWhiteout([...above, found.name], this.#ground);
    else this.#removeOlder([...above, found.name].join('/'));
    const path = found.kind === 'opaque' ? above.join('/') : [...above, found.name].join('/');
    this.#index.add({
      path,
      type: found.kind === 'opaque' ? 'o' : 'w',
      sizeBytes: 0,
      mode: header.mode,
      offset: header.dataOffset,
    });
    return true;
  }

  #opaque(parts: readonly string[]): void {
    const path = systemPath(parts.join('/') || '.');
    if (parts.length > 0) placeDirectory(parts, this.#ground);
    if (this.#request.whiteouts === 'overlay') {
      setXattr(path, OPAQUE_XATTRS[0], Buffer.from('y'));
      return;
    }
    this.#removeOlderBelow(parts.join('/'));
  }

  /** In place: takes away what was at `path` before this layer, and leaves what the layer has brought there. */
  #removeOlder(path: string): void {
    if (this.#seen.has(path)) return;
    if (!this.#seen.has(`${path}/`) && !this.#isAbove.has(path)) removeLeaf(systemPath(path));
    else if (fs.lstatSync(systemPath(path), { throwIfNoEntry: false })?.isDirectory())
      this.#removeOlderBelow(path);
  }

  #removeOlderBelow(path: string): void {
    const names = fs.readdirSync(systemPath(path || '.'), { encoding: 'buffer' });
    for (const name of names.map((bytes) => decodeName(bytes)))
      this.#removeOlder(path === '' ? name : `${path}/${name}`);
  }

  #openFile(parts: readonly string[], path: string, header: FoundTarHeader): void {
    const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = fs.constants;
    const fd = placing(parts, this.#ground, (target) =>
      fs.openSync(target, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600),
    );
    const body = new FileBody(fd, header, { isHashed: this.#request.indexPath !== undefined });
    this.#file = { path, header, body };
  }

  #directory(parts: readonly string[], path: string, header: FoundTarHeader): void {
    if (parts.length > 0) placeDirectory(parts, this.#ground);
    dressDirectory(systemPath(path || '.'), header, this.#request.owner);
    this.#ground.describe(path);
    this.#dirTimes.push({ path, header });
    this.#seen.add(`${path}/`);
  }

  #place(parts: readonly string[], make: (path: string | Buffer) => void, header: FoundTarHeader): void {
    placing(parts, this.#ground, make);
    dressPath(systemPath(parts.join('/')), header, this.#request.owner);
  }

  #device(parts: readonly string[], header: FoundTarHeader): void {
    const device = makeDevice(header.deviceMajor, header.deviceMinor);
    if (header.type === 'char' && device === 0n)
      throw hostileLayer(header.path, 'device 0:0 is a whiteout of overlay');
    const kind = header.type === 'char' ? fs.constants.S_IFCHR : fs.constants.S_IFBLK;
    this.#place(parts, (target) => makeNode(target, kind | 0o600, device), header);
  }

  /** A hard link joins a file of this root; one that only the layers below have is copied up first. */
  #hardLink(parts: readonly string[], header: FoundTarHeader): void {
    const target = [...this.#under, ...splitEntryPath(header.linkTarget)];
    if (target.length === 0) throw hostileLayer(header.path, 'a hard link to the root');
    const from = systemPath(target.join('/'));
    const found = fs.lstatSync(from, { throwIfNoEntry: false });
    if (found === undefined) this.#copyUp(target, header);
    else if (found.isDirectory())
      throw hostileLayer(header.path, `it is a hard link to the directory "${header.linkTarget}"`);
    placing(parts, this.#ground, (path) => hardLink(from, path));
  }

  #copyUp(parts: readonly string[], header: FoundTarHeader): void {
    const below = this.#ground.find(parts);
    if (below === undefined || below.stats.isDirectory()) {
      throw hostileLayer(header.path, `its hard link target "${header.linkTarget}" does not exist`);
    }
    const { stats } = below;
    const modified = {
      seconds: Number(stats.mtimeNs / 1_000_000_000n),
      nanoseconds: Number(stats.mtimeNs % 1_000_000_000n),
    };
    const like: FoundTarHeader = {
      ...header,
      type: 'file',
      uid: Number(stats.uid),
      gid: Number(stats.gid),
      mode: Number(stats.mode & 0o7777n),
      modified,
    };
    if (below.linkTarget !== undefined) {
      this.#place(parts, (path) => fs.symlinkSync(systemPath(below.linkTarget ?? ''), path), {
        ...like,
        type: 'symlink',
      });
      return;
    }
    if (!stats.isFile())
      throw hostileLayer(header.path, `its hard link target "${header.linkTarget}" is not a file`);
    const source = below.open();
    const copy = placing(parts, this.#ground, (path) => fs.openSync(path, 'wx', 0o600));
    try {
      const room = Buffer.allocUnsafe(256 * 1024);
      for (let length = fs.readSync(source, room); length > 0; length = fs.readSync(source, room))
        writeAll(copy, room.subarray(0, length), null);
      dressFd(copy, like, undefined);
    } finally {
      fs.closeSync(source);
      fs.closeSync(copy);
    }
  }

  #addToIndex(path: string, header: FoundTarHeader): void {
    const { type, sizeBytes, mode, dataOffset: offset, linkTarget } = header;
    this.#index.add({
      path,
      type: ENTRY_LETTERS[type],
      sizeBytes: type === 'hardlink' ? 0 : sizeBytes,
      mode,
      offset,
      ...(linkTarget === '' ? {} : { linkTarget }),
    });
  }
}
