/** Unpacks the archive of `cp` on this machine: the archive comes from a container and is not trusted. */
import {
  chmodSync,
  closeSync,
  constants,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  rmSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { CodedError } from '#base/errors/index.ts';
import { readTar, type TarEntry } from '#base/tar/index.ts';

/** Where to. */
export interface ExtractOptions {
  readonly rootDir: string;
  /** Name that the top entry takes; `undefined`: its own. */
  readonly topName?: string;
  /** What is in the top entry goes straight into `rootDir`. */
  readonly contentOnly?: boolean;
  readonly keepOwners: boolean;
}

/**
 * Unpacks below `rootDir` and returns the bytes written. No name leaves it, and no link on the way is followed.
 * @throws {CodedError} `invalid_argument` for a name or link that would.
 */
export async function extractTree(
  source: AsyncIterable<Uint8Array>,
  options: ExtractOptions,
): Promise<number> {
  const directories: { path: string; entry: TarEntry }[] = [];
  let bytes = 0;
  let naming: Naming | undefined;
  if (options.contentOnly) makeDirectory(options.rootDir);
  for await (const entry of readTar(source)) {
    naming ??= namingOf(entry.path, options);
    const parts = partsOf(entry.path, naming);
    if (parts.length === 0) continue;
    const path = [options.rootDir, ...parts].join('/');
    checkParents(options.rootDir, parts);
    if (entry.type === 'directory') {
      makeDirectory(path);
      directories.push({ path, entry });
    } else bytes += await writeEntry(path, entry, options, naming);
  }
  // A directory's mode may forbid writing and its time changes while it is filled: last, deepest first.
  for (const { path, entry } of directories.reverse()) finish(path, entry, options.keepOwners);
  return bytes;
}

/** How names in the archive become names below the root. */
interface Naming {
  readonly dropped: number;
  readonly prefix: readonly string[];
}

/** The archive of `DIR/.` has `.` as its top entry in Docker, and may have the directory's name elsewhere. */
function namingOf(first: string, { topName, contentOnly }: ExtractOptions): Naming {
  const isDot = first.split('/').every((part) => part === '' || part === '.');
  if (contentOnly) return { dropped: isDot ? 0 : 1, prefix: [] };
  return topName === undefined ? { dropped: 0, prefix: [] } : { dropped: isDot ? 0 : 1, prefix: [topName] };
}

function partsOf(name: string, naming: Naming): string[] {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..') || name.includes('\0'))
    throw new CodedError(
      'invalid_argument',
      `refused archive entry ${JSON.stringify(name)}: it leaves the target`,
    );
  return [...naming.prefix, ...parts.slice(naming.dropped)];
}

/** Directories on the way are made when missing; anything else but a directory there is refused. */
function checkParents(rootDir: string, parts: readonly string[]): void {
  let path = rootDir;
  for (const part of parts.slice(0, -1)) {
    path = `${path}/${part}`;
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat === undefined) mkdirSync(path);
    else if (!stat.isDirectory())
      throw new CodedError(
        'invalid_argument',
        `refused archive entry below ${JSON.stringify(path)}: it is no directory`,
      );
  }
}

function makeDirectory(path: string): void {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat?.isDirectory()) return;
  if (stat !== undefined)
    throw new CodedError(
      'invalid_argument',
      `cannot overwrite non-directory ${JSON.stringify(path)} with a directory`,
    );
  mkdirSync(path);
}

async function writeEntry(
  path: string,
  entry: TarEntry,
  options: ExtractOptions,
  naming: Naming,
): Promise<number> {
  const present = lstatSync(path, { throwIfNoEntry: false });
  if (present?.isDirectory())
    throw new CodedError(
      'invalid_argument',
      `cannot overwrite directory ${JSON.stringify(path)} with a non-directory`,
    );
  if (present !== undefined) rmSync(path);
  if (entry.type === 'symlink') symlinkSync(entry.linkTarget, path);
  else if (entry.type === 'hardlink') {
    const target = partsOf(entry.linkTarget, naming);
    checkParents(options.rootDir, target);
    linkSync([options.rootDir, ...target].join('/'), path);
    return 0;
  } else if (entry.type === 'file') {
    const written = await writeFile(path, entry);
    finish(path, entry, options.keepOwners);
    return written;
  }
  // Devices and fifos of a container have no use here and are left out.
  return 0;
}

async function writeFile(path: string, entry: TarEntry): Promise<number> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const fd = openSync(path, flags, 0o600);
  let written = 0;
  try {
    for await (const chunk of entry.body) {
      for (let at = 0; at < chunk.byteLength; ) at += writeSync(fd, chunk, at);
      written += chunk.byteLength;
    }
  } finally {
    closeSync(fd);
  }
  return written;
}

function finish(path: string, entry: TarEntry, keepOwners: boolean): void {
  if (keepOwners) lchownSync(path, entry.uid, entry.gid);
  // Set-user bits of a container's files mean nothing good on this machine.
  chmodSync(path, entry.mode & 0o1777);
  const seconds = entry.modified.seconds + entry.modified.nanoseconds / 1e9;
  lutimesSync(path, seconds, seconds);
}
