/** Making files inside the jail: a leaf is never opened through a link, parents resolve below the root. */
import fs from 'node:fs';
import { CodedError, isSystemError } from '#base/errors/index.ts';
import { changeOwner, makeNode, setFdTimes, setTimes, setXattr, UTIME_OMIT } from '#base/posix/index.ts';
import { decodeName, type FoundTarHeader, systemPath } from '#base/tar/index.ts';
import { hostileLayer } from '#oci/layer/index.ts';
import type { Ground } from './ground.ts';
import { OPAQUE_XATTRS } from './lower.ts';

const NEW_DIR_MODE = 0o755;
const KEPT_XATTR = /^(?:security\.capability$|user\.(?!overlay\.))/;
const LINK_LIMIT = 40;

/** Who owns what is made, when the archive is not to decide. */
export type Owner = { readonly uid: number; readonly gid: number } | undefined;

/** Runs `make`; when the leaf is in the way it is removed, when a parent is missing it is made, then once more. */
export function placing<T>(parts: readonly string[], ground: Ground, make: (path: string | Buffer) => T): T {
  const path = systemPath(parts.join('/'));
  for (let attempt = 0; ; attempt++) {
    try {
      return make(path);
    } catch (error) {
      if (attempt === 2) throw error;
      if (isSystemError(error, 'EEXIST') || isSystemError(error, 'EISDIR')) removeLeaf(path);
      else if (isSystemError(error, 'ENOENT') || isSystemError(error, 'ENOTDIR')) makeParents(parts, ground);
      else throw error;
    }
  }
}

const REFUSALS: Readonly<Record<string, string>> = {
  ELOOP: 'too many links',
  EMLINK: 'too many hard links',
  ENAMETOOLONG: 'a name is too long',
  ENOTDIR: 'a file is where a directory is needed',
};

/** The error of an entry that the file system refuses for what it is; any other error is given back as it is. */
export function refusedEntry(error: unknown, path: string): unknown {
  const state = isSystemError(error) ? REFUSALS[error.code] : undefined;
  return state === undefined ? error : hostileLayer(path, state);
}

/** Removes a file, link or whole directory; a link is removed itself. */
export function removeLeaf(path: string | Buffer): void {
  fs.rmSync(path as string, { recursive: true, force: true });
}

/**
 * Makes the directories above a leaf. What only the layers below have is made as it is there: a directory with its owner and
 * mode, a link as a link, so that `lib/x` goes where `lib -> usr/lib` of a lower layer leads.
 * @throws `invalid_argument` when a file of this layer is in the way.
 */
function makeParents(parts: readonly string[], ground: Ground, linksLeft = LINK_LIMIT): void {
  for (let depth = 1; depth < parts.length; depth++) {
    const above = parts.slice(0, depth);
    const path = systemPath(above.join('/'));
    const found = fs.lstatSync(path, { throwIfNoEntry: false });
    if (found === undefined) makeParent(above, path, ground);
    else if (isWhiteout(found)) replaceWhiteout(path);
    const now = found?.isSymbolicLink() || found === undefined ? fs.lstatSync(path) : found;
    if (now.isSymbolicLink() && !isDirectory(path)) makeLinkTarget(above, path, ground, linksLeft);
    else if (!now.isDirectory() && !now.isSymbolicLink() && !isWhiteout(now)) {
      throw hostileLayer(parts.join('/'), `"${above.join('/')}" is not a directory`);
    }
  }
}

function makeParent(parts: readonly string[], path: string | Buffer, ground: Ground): void {
  const below = ground.find(parts);
  if (below?.linkTarget === undefined) makeImplied(parts, path, ground, below);
  else fs.symlinkSync(systemPath(below.linkTarget), path);
}

/** A directory without an entry of its own: as the one below, where there is one. */
function makeImplied(
  parts: readonly string[],
  path: string | Buffer,
  ground: Ground,
  below = ground.find(parts),
): void {
  fs.mkdirSync(path, NEW_DIR_MODE);
  ground.imply(parts);
  if (below?.stats.isDirectory()) {
    changeOwner(path, Number(below.stats.uid), Number(below.stats.gid));
    fs.chmodSync(path, Number(below.stats.mode & 0o7777n));
  }
}

/** A link whose target is not in this layer: the target's directories are made, below the root as everything here. */
function makeLinkTarget(
  parts: readonly string[],
  path: string | Buffer,
  ground: Ground,
  linksLeft: number,
): void {
  if (linksLeft === 0) throw hostileLayer(parts.join('/'), 'too many links');
  const target = decodeName(fs.readlinkSync(path, { encoding: 'buffer' }));
  const resolved: string[] = target.startsWith('/') ? [] : [...parts.slice(0, -1)];
  for (const part of target.split('/')) {
    if (part === '..') resolved.pop();
    else if (part !== '' && part !== '.') resolved.push(part);
  }
  // One more part than there is: all of the target counts as above it.
  makeParents([...resolved, ''], ground, linksLeft - 1);
}

/** Whether this is overlay's mark for something removed. */
function isWhiteout(stats: fs.Stats): boolean {
  return stats.isCharacterDevice() && stats.rdev === 0;
}

/** A directory in place of a whiteout hides what the layers below have there. */
function replaceWhiteout(path: string | Buffer): void {
  fs.unlinkSync(path);
  fs.mkdirSync(path, NEW_DIR_MODE);
  setXattr(path, OPAQUE_XATTRS[0], Buffer.from('y'));
}

/** Whether a path leads to a directory, over links below the root too. */
function isDirectory(path: string | Buffer): boolean {
  return fs.statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** Makes a directory, for now as an implied one; one that exists stays with its content. */
export function placeDirectory(parts: readonly string[], ground: Ground): void {
  placing(parts, ground, (path) => {
    const found = fs.lstatSync(path, { throwIfNoEntry: false });
    if (found?.isDirectory()) return;
    if (found !== undefined && isWhiteout(found)) replaceWhiteout(path);
    else makeImplied(parts, path, ground);
  });
}

/**
 * Lets an entry replace only what is of its kind: a file never a directory, nor a directory a file.
 * @throws {CodedError} `invalid_argument` in Docker's words.
 */
export function checkKind(path: string, { type }: FoundTarHeader): void {
  const found = fs.lstatSync(systemPath(path || '.'), { throwIfNoEntry: false });
  if (found === undefined || found.isDirectory() === (type === 'directory')) return;
  const [old, next] = found.isDirectory() ? ['directory', 'non-directory'] : ['non-directory', 'directory'];
  throw new CodedError('invalid_argument', `cannot overwrite ${old} "/${path}" with ${next} "/"`);
}

/** Owner, attributes and mode of an open file; owner first, because it takes capabilities and suid away. */
export function dressFd(fd: number, header: FoundTarHeader, owner: Owner): void {
  fs.fchownSync(fd, owner?.uid ?? header.uid, owner?.gid ?? header.gid);
  for (const [name, value] of header.xattrs ?? []) setOptionalXattr(fd, name, value);
  fs.fchmodSync(fd, header.mode & 0o7777);
  setFdTimes(fd, UTIME_OMIT, header.modified);
}

/** As `dressFd`, for what cannot be opened: links, devices, fifos. The path is the thing itself, never what it points to. */
export function dressPath(path: string | Buffer, header: FoundTarHeader, owner: Owner): void {
  changeOwner(path, owner?.uid ?? header.uid, owner?.gid ?? header.gid);
  for (const [name, value] of header.xattrs ?? []) setOptionalXattr(path, name, value);
  if (header.type !== 'symlink') fs.chmodSync(path, header.mode & 0o7777);
  setTimes(path, UTIME_OMIT, header.modified);
}

/** Owner, attributes and mode of a directory; its time is set when everything in it has been written. */
export function dressDirectory(path: string | Buffer, header: FoundTarHeader, owner: Owner): void {
  const fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY | fs.constants.O_NOFOLLOW);
  try {
    fs.fchownSync(fd, owner?.uid ?? header.uid, owner?.gid ?? header.gid);
    for (const [name, value] of header.xattrs ?? []) setOptionalXattr(fd, name, value);
    fs.fchmodSync(fd, header.mode & 0o7777);
  } finally {
    fs.closeSync(fd);
  }
}

/**
 * A whiteout as overlay keeps it. It speaks of the layers below: a file of this layer at the same place stays, a directory
 * becomes opaque.
 */
export function placeWhiteout(parts: readonly string[], ground: Ground): void {
  const path = systemPath(parts.join('/'));
  const found = fs.lstatSync(path, { throwIfNoEntry: false });
  if (found?.isDirectory()) setXattr(path, OPAQUE_XATTRS[0], Buffer.from('y'));
  else if (found === undefined)
    placing(parts, ground, (target) => makeNode(target, fs.constants.S_IFCHR, 0n));
}

/**
 * Capabilities and attributes of users are kept; labels of the machine that made the layer, and marks of overlay itself, are
 * never taken from it. What the file system cannot keep is left out.
 * @throws `invalid_argument` for a value that the kernel refuses.
 */
function setOptionalXattr(target: number | string | Buffer, name: string, value: Uint8Array): void {
  if (!KEPT_XATTR.test(name)) return;
  try {
    setXattr(target, name, value);
  } catch (error) {
    if (isSystemError(error, 'EINVAL')) throw hostileLayer(name, 'the kernel refuses the attribute');
    if (!isSystemError(error, 'ENOTSUP') && !(isSystemError(error, 'EPERM') && name.startsWith('user.')))
      throw error;
  }
}
