/** The tree of a build context as a tar stream, honouring its ignore file. */
import {
  closeSync,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  type Stats,
} from 'node:fs';
import { CodedError, messageOf } from '#base/errors/index.ts';
import {
  decodeName,
  encodeName,
  encodeTarHeader,
  paddingOf,
  systemPath,
  TAR_END,
  type TarHeaderInput,
} from '#base/tar/index.ts';
import { type DirectoryState, IgnoreMatcher } from '#dockerfile/ignore/index.ts';

/** A file to be put in beside the tree, such as a Dockerfile from elsewhere. */
export interface ExtraFile {
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** What is sent. */
export interface ContextOptions {
  readonly rootDir: string;
  readonly ignore: readonly string[];
  readonly extra: readonly ExtraFile[];
  /** Keep owners (`cp -a`); a build context belongs to root. */
  readonly keepOwners?: boolean;
  /** Only this entry of `rootDir`, under another name. */
  readonly only?: { readonly name: string; readonly as: string };
}

const BATCH_BYTES = 256 * 1024;
const READ_BYTES = 1024 * 1024;
const EPOCH = { seconds: 0, nanoseconds: 0 };

/**
 * Walks and packs the tree. Small entries are gathered, so that a chunk is worth sending.
 * @throws {CodedError} `permission_denied` or `failed_precondition`, naming the file.
 */
export async function* packContext(options: ContextOptions): AsyncGenerator<Uint8Array> {
  let batch: Buffer[] = [];
  let bytes = 0;
  const flush = (): Buffer => {
    const whole = Buffer.concat(batch, bytes);
    batch = [];
    bytes = 0;
    return whole;
  };
  for (const piece of packEntries(options)) {
    if (piece.byteLength >= BATCH_BYTES) {
      if (bytes > 0) yield flush();
      yield piece;
      continue;
    }
    batch.push(piece);
    bytes += piece.byteLength;
    if (bytes >= BATCH_BYTES) yield flush();
  }
  batch.push(TAR_END);
  bytes += TAR_END.byteLength;
  yield flush();
}

function* packEntries({ rootDir, ignore, extra, keepOwners, only }: ContextOptions): Generator<Buffer> {
  const links = new Map<string, string>();
  if (only !== undefined) {
    yield* packOnly(rootDir, only, links, keepOwners === true);
    return;
  }
  const replaced = new Set(extra.map(({ path }) => path));
  for (const { path, stat } of walk(rootDir, '', undefined, new IgnoreMatcher(ignore))) {
    if (!replaced.has(path)) yield* packEntry(rootDir, path, stat, links, keepOwners === true);
  }
  for (const { path, bytes } of extra) {
    const header = { path, type: 'file', mode: 0o600, sizeBytes: bytes.byteLength, modified: EPOCH } as const;
    yield encodeTarHeader(header);
    yield Buffer.from(bytes);
    yield Buffer.alloc(paddingOf(bytes.byteLength));
  }
}

function* packOnly(
  rootDir: string,
  only: { readonly name: string; readonly as: string },
  links: Map<string, string>,
  keepOwners: boolean,
): Generator<Buffer> {
  const rename = (path: string): string => only.as + path.slice(only.name.length);
  const stat = statOf(rootDir, only.name);
  if (stat === undefined) return;
  yield* packEntry(rootDir, only.name, stat, links, keepOwners, rename);
  if (!stat.isDirectory()) return;
  for (const found of walk(rootDir, only.name, undefined, new IgnoreMatcher([])))
    yield* packEntry(rootDir, found.path, found.stat, links, keepOwners, rename);
}

interface Found {
  readonly path: string;
  readonly stat: Stats;
}

/**
 * Entries in the order of their names, a directory before what it holds. An ignored directory is entered only when a
 * pattern makes exceptions, and is sent when one applies below it.
 */
function* walk(
  rootDir: string,
  dir: string,
  parent: DirectoryState | undefined,
  matcher: IgnoreMatcher,
): Generator<Found> {
  for (const name of listNames(rootDir, dir)) {
    const path = dir === '' ? name : `${dir}/${name}`;
    const { ignored, state } = matcher.matchBelow(path, parent);
    if (ignored && !matcher.hasExceptions) continue;
    const stat = statOf(rootDir, path);
    if (stat === undefined) continue;
    let isSent = !ignored;
    if (isSent) yield { path, stat };
    if (!stat.isDirectory()) continue;
    for (const found of walk(rootDir, path, state, matcher)) {
      if (!isSent) yield { path, stat };
      isSent = true;
      yield found;
    }
  }
}

function listNames(rootDir: string, dir: string): string[] {
  const path = diskPath(rootDir, dir);
  try {
    return readdirSync(path, { encoding: 'buffer' })
      .map((name) => decodeName(name))
      .sort();
  } catch (error) {
    throw readFailure(error, dir);
  }
}

/** `undefined` for what went away since its directory was read. */
function statOf(rootDir: string, path: string): Stats | undefined {
  return lstatSync(diskPath(rootDir, path), { throwIfNoEntry: false });
}

/** Names that are no UTF-8 keep their bytes. */
function diskPath(rootDir: string, path: string): string | Buffer {
  if (path === '') return rootDir;
  const whole = systemPath(path);
  return typeof whole === 'string'
    ? `${rootDir}/${whole}`
    : Buffer.concat([Buffer.from(`${rootDir}/`), encodeName(path)]);
}

function* packEntry(
  rootDir: string,
  path: string,
  stat: Stats,
  links: Map<string, string>,
  keepOwners: boolean,
  rename: (path: string) => string = (same) => same,
): Generator<Buffer> {
  const base = {
    path: rename(path),
    mode: stat.mode & 0o7777,
    modified: { seconds: Math.floor(stat.mtimeMs / 1000), nanoseconds: 0 },
    ...(keepOwners ? { uid: stat.uid, gid: stat.gid } : {}),
  };
  if (stat.isFile()) {
    const key = `${stat.dev}:${stat.ino}`;
    const first = stat.nlink > 1 ? links.get(key) : undefined;
    if (first !== undefined) yield encodeTarHeader({ ...base, type: 'hardlink', linkTarget: first });
    else {
      if (stat.nlink > 1) links.set(key, base.path);
      yield* packFile(rootDir, path, { ...base, type: 'file' });
    }
  } else if (stat.isDirectory()) yield encodeTarHeader({ ...base, type: 'directory' });
  else if (stat.isSymbolicLink()) {
    const target = decodeName(readlinkSync(diskPath(rootDir, path), { encoding: 'buffer' }));
    yield encodeTarHeader({ ...base, type: 'symlink', linkTarget: target });
  } else if (stat.isFIFO()) yield encodeTarHeader({ ...base, type: 'fifo' });
  else if (stat.isCharacterDevice() || stat.isBlockDevice()) {
    const type = stat.isCharacterDevice() ? 'char' : 'block';
    yield encodeTarHeader({ ...base, type, ...deviceOf(stat.rdev) });
  }
  // A socket cannot be in an archive: it is left out, as tar does.
}

function deviceOf(rdev: number): { deviceMajor: number; deviceMinor: number } {
  return { deviceMajor: (rdev >> 8) & 0xfff, deviceMinor: (rdev & 0xff) | ((rdev >> 12) & 0xfff00) };
}

function* packFile(rootDir: string, path: string, header: TarHeaderInput): Generator<Buffer> {
  let fd: number;
  try {
    fd = openSync(diskPath(rootDir, path), 'r');
  } catch (error) {
    throw readFailure(error, path);
  }
  try {
    // The size of the file that is open, not of the one that was there when the directory was read.
    const { size } = fstatSync(fd);
    yield encodeTarHeader({ ...header, sizeBytes: size });
    let left = size;
    while (left > 0) {
      const buffer = Buffer.allocUnsafe(Math.min(left, READ_BYTES));
      const count = readSync(fd, buffer, 0, buffer.byteLength, null);
      if (count === 0)
        throw new CodedError(
          'failed_precondition',
          `file ${JSON.stringify(path)} became shorter while it was read`,
        );
      yield buffer.subarray(0, count);
      left -= count;
    }
    const padding = paddingOf(size);
    if (padding > 0) yield Buffer.alloc(padding);
  } finally {
    closeSync(fd);
  }
}

function readFailure(error: unknown, path: string): CodedError {
  return new CodedError(
    'permission_denied',
    `error checking context: can't read '${path || '.'}': ${messageOf(error)}`,
    {
      cause: error,
      help: {
        id: 'build/context-unreadable',
        cause: `${path || 'the context'} cannot be read by this user`,
        fix: [`echo '${path}' >> .dockerignore`],
      },
    },
  );
}
