/** Making files inside the jail: a leaf is never opened through a link, parents resolve below the root. */
import fs from 'node:fs';
import { isSystemError } from '#base/errors/index.ts';
import { changeOwner, makeNode, setFdTimes, setTimes, setXattr, UTIME_OMIT } from '#base/posix/index.ts';
import { type FoundTarHeader, systemPath } from '#base/tar/index.ts';
import type { LowerTree } from './lower.ts';

const NEW_DIR_MODE = 0o755;
const OVERLAY_XATTR = /^(?:trusted|user)\.overlay\./;

/** Who owns what is made, when the archive is not to decide. */
export type Owner = { readonly uid: number; readonly gid: number } | undefined;

/** Runs `make`; when the leaf is in the way it is removed, when a parent is missing it is made, then once more. */
export function placing<T>(
  parts: readonly string[],
  lower: LowerTree | undefined,
  make: (path: string | Buffer) => T,
): T {
  const path = systemPath(parts.join('/'));
  for (let attempt = 0; ; attempt++) {
    try {
      return make(path);
    } catch (error) {
      if (attempt === 2) throw error;
      if (isSystemError(error, 'EEXIST') || isSystemError(error, 'EISDIR') || isSystemError(error, 'ELOOP'))
        removeLeaf(path);
      else if (isSystemError(error, 'ENOENT') || isSystemError(error, 'ENOTDIR')) makeParents(parts, lower);
      else throw error;
    }
  }
}

/** Removes a file, link or whole directory; a link is removed itself. */
export function removeLeaf(path: string | Buffer): void {
  fs.rmSync(path as string, { recursive: true, force: true });
}

/** Makes the directories above a leaf. One that only the layers below have is made as it is there. */
function makeParents(parts: readonly string[], lower: LowerTree | undefined): void {
  for (let depth = 1; depth < parts.length; depth++) {
    const above = parts.slice(0, depth);
    const path = systemPath(above.join('/'));
    try {
      fs.mkdirSync(path, NEW_DIR_MODE);
    } catch (error) {
      if (!isSystemError(error, 'EEXIST')) throw error;
      if (!isDirectory(path)) {
        removeLeaf(path);
        fs.mkdirSync(path, NEW_DIR_MODE);
      }
      continue;
    }
    const below = lower?.find(above);
    if (below?.stats.isDirectory()) {
      changeOwner(path, Number(below.stats.uid), Number(below.stats.gid));
      fs.chmodSync(path, Number(below.stats.mode & 0o7777n));
    }
  }
}

/** Whether a path leads to a directory, over links below the root too. */
function isDirectory(path: string | Buffer): boolean {
  return fs.statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** Makes a directory; one that exists stays with its content. */
export function placeDirectory(parts: readonly string[], lower: LowerTree | undefined): void {
  placing(parts, lower, (path) => {
    const found = fs.lstatSync(path, { throwIfNoEntry: false });
    if (found?.isDirectory()) return;
    fs.mkdirSync(path, NEW_DIR_MODE);
  });
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

/** A whiteout as overlay keeps it. Something of this layer at the same place wins: a whiteout speaks of the layers below. */
export function placeWhiteout(parts: readonly string[], lower: LowerTree | undefined): void {
  const path = systemPath(parts.join('/'));
  if (fs.lstatSync(path, { throwIfNoEntry: false }) !== undefined) return;
  placing(parts, lower, (target) => makeNode(target, fs.constants.S_IFCHR, 0n));
}

/** Attributes of overlay itself are never taken from a layer; those the file system cannot keep are left out. */
function setOptionalXattr(target: number | string | Buffer, name: string, value: Uint8Array): void {
  if (OVERLAY_XATTR.test(name)) return;
  try {
    setXattr(target, name, value);
  } catch (error) {
    if (!isSystemError(error, 'ENOTSUP') && !isSystemError(error, 'EPERM')) throw error;
  }
}
