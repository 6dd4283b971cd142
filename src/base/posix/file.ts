/** Files by path and by descriptor: what node:fs lacks or follows links in. */
import { constants } from 'node:fs';
import { check, cPath, lastErrno, native, type PosixPath, posixError } from './library.ts';

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;

/** `openat2` resolve flags: how a path may be walked. */
export const RESOLVE = {
  NO_XDEV: 1,
  NO_MAGICLINKS: 2,
  NO_SYMLINKS: 4,
  BENEATH: 8,
  IN_ROOT: 16,
} as const;

/** Open flags that `fs.constants` lacks. */
export const O_PATH = 0o10000000;
/** Close the descriptor on exec. */
export const O_CLOEXEC = 0o2000000;

/** File type bits of a mode. */
export const S_IFMT = 0o170000;

const syscallOpenat2 = native(
  'long syscall(long number, int dirfd, const char *path, const uint8_t *how, size_t size)',
);
const openCall = native('int open(const char *path, int flags, unsigned int mode)');
const utimensatCall = native('int utimensat(int dirfd, const char *path, const uint8_t *times, int flags)');
const futimensCall = native('int futimens(int fd, const uint8_t *times)');
const mknodCall = native('int mknod(const char *path, unsigned int mode, uint64_t device)');
const lchownCall = native('int lchown(const char *path, unsigned int uid, unsigned int gid)');
const linkatCall = native('int linkat(int fromDir, const char *from, int toDir, const char *to, int flags)');
const renameat2Call = native(
  'int renameat2(int fromDir, const char *from, int toDir, const char *to, unsigned int flags)',
);
const syncfsCall = native('int syncfs(int fd)');
const flockCall = native('int flock(int fd, int operation)');
const fcntlCall = native('int fcntl(int fd, int command, int64_t argument)');
const lseekCall = native('int64_t lseek(int fd, int64_t offset, int whence)');
const fchdirCall = native('int fchdir(int fd)');
const readlinkatCall = native('int64_t readlinkat(int fd, const char *path, uint8_t *target, size_t size)');
const sendfileCall = native('int64_t sendfile(int to, int from, int64_t *offset, size_t count)');

/**
 * Opens `path` relative to the directory open at `dirFd`, resolved as if that directory were the root: links and `..`
 * cannot leave it, magic links are refused. Add `O_PATH` for a handle only. The kernel may answer EAGAIN when a rename
 * races; it is tried again.
 */
export function openInRoot(
  dirFd: number,
  path: PosixPath,
  options: { readonly flags: number; readonly mode?: number; readonly resolve?: number },
): number {
  const how = Buffer.alloc(24);
  how.writeBigUInt64LE(BigInt(options.flags | O_CLOEXEC), 0);
  how.writeBigUInt64LE(BigInt(options.mode ?? 0), 8);
  how.writeBigUInt64LE(BigInt(options.resolve ?? RESOLVE.IN_ROOT | RESOLVE.NO_MAGICLINKS), 16);
  for (let attempt = 0; ; attempt++) {
    const fd = Number(syscallOpenat2(437, dirFd, cPath(path), how, 24));
    if (fd >= 0) return fd;
    const errno = lastErrno();
    if (errno !== 11 || attempt === 64) throw posixError('openat2', errno, path);
  }
}

/** `open(2)` with any flags, close-on-exec. */
export function openFile(path: PosixPath, flags: number, mode = 0o600): number {
  return check(openCall(cPath(path), flags | O_CLOEXEC, mode), 'open', path);
}

/** Nanoseconds since the epoch, split so that no precision is lost. */
export interface TimeSpec {
  readonly seconds: number;
  readonly nanoseconds: number;
}

/** `utimensat` value that leaves a time as it is. */
export const UTIME_OMIT: TimeSpec = { seconds: 0, nanoseconds: 0x3ffffffe };

function timesOf(accessed: TimeSpec, modified: TimeSpec): Buffer {
  const times = Buffer.allocUnsafe(32);
  writeInt64(times, accessed.seconds, 0);
  writeInt64(times, accessed.nanoseconds, 8);
  writeInt64(times, modified.seconds, 16);
  writeInt64(times, modified.nanoseconds, 24);
  return times;
}

function writeInt64(target: Buffer, value: number, offset: number): void {
  const high = Math.floor(value / 0x1_0000_0000);
  target.writeInt32LE(high, offset + 4);
  target.writeUInt32LE(value - high * 0x1_0000_0000, offset);
}

/** Sets both times of `path`, a link itself if it is one. */
export function setTimes(path: PosixPath, accessed: TimeSpec, modified: TimeSpec): void {
  const times = timesOf(accessed, modified);
  check(utimensatCall(AT_FDCWD, cPath(path), times, AT_SYMLINK_NOFOLLOW), 'utimensat', path);
}

/** Sets both times of an open file. */
export function setFdTimes(fd: number, accessed: TimeSpec, modified: TimeSpec): void {
  check(futimensCall(fd, timesOf(accessed, modified)), 'futimens');
}

/** Packs a device number as the kernel does. */
export function makeDevice(major: number, minor: number): bigint {
  const [a, b] = [BigInt(major), BigInt(minor)];
  return ((a & 0xfffff000n) << 32n) | ((a & 0xfffn) << 8n) | ((b & 0xffffff00n) << 12n) | (b & 0xffn);
}

/** Splits a device number (`Stats.rdev`). */
export function splitDevice(device: number | bigint): { readonly major: number; readonly minor: number } {
  const value = BigInt(device);
  const major = ((value >> 32n) & 0xfffff000n) | ((value >> 8n) & 0xfffn);
  const minor = ((value >> 12n) & 0xffffff00n) | (value & 0xffn);
  return { major: Number(major), minor: Number(minor) };
}

/** Makes a node of any kind; `mode` carries the type (`constants.S_IFCHR` and so on). The umask applies. */
export function makeNode(path: PosixPath, mode: number, device: bigint = 0n): void {
  check(mknodCall(cPath(path), mode, device), 'mknod', path);
}

/** Makes a named pipe. The umask applies. */
export function makeFifo(path: PosixPath, mode: number): void {
  makeNode(path, constants.S_IFIFO | (mode & 0o7777));
}

/** Changes the owner of `path`, a link itself if it is one. Ids over 2^31 work. */
export function changeOwner(path: PosixPath, uid: number, gid: number): void {
  check(lchownCall(cPath(path), uid, gid), 'lchown', path);
}

/** Makes a hard link; a `from` that is a symbolic link is linked itself, never followed. */
export function hardLink(from: PosixPath, to: PosixPath): void {
  check(linkatCall(AT_FDCWD, cPath(from), AT_FDCWD, cPath(to), 0), 'linkat', to);
}

/** How `renameExtended` treats a target that exists. */
export const RENAME = { NOREPLACE: 1, EXCHANGE: 2, WHITEOUT: 4 } as const;

/** `renameat2`: refuses to replace, or swaps two names at once. */
export function renameExtended(from: PosixPath, to: PosixPath, flags: number): void {
  check(renameat2Call(AT_FDCWD, cPath(from), AT_FDCWD, cPath(to), flags), 'renameat2', to);
}

/** Writes everything of the file system that `fd` is on to the disk. */
export function syncFileSystem(fd: number): void {
  check(syncfsCall(fd), 'syncfs');
}

/** Tries to take a lock on an open file; false when another process holds it. Released when the last descriptor closes. */
export function tryLock(fd: number, kind: 'shared' | 'exclusive'): boolean {
  const result = flockCall(fd, (kind === 'shared' ? 1 : 2) | 4);
  if (result === -1 && lastErrno() === 11) return false;
  check(result, 'flock');
  return true;
}

/** Gives a lock back. */
export function unlock(fd: number): void {
  check(flockCall(fd, 8), 'flock');
}

/** Size of a pipe's buffer after asking for `bytes`; the kernel may give less than asked to an unprivileged user (EPERM). */
export function setPipeSize(fd: number, bytes: number): number {
  return check(fcntlCall(fd, 1031, bytes), 'fcntl');
}

/** Moves up to `count` bytes from a file to a socket or pipe inside the kernel; returns how many were moved (0: end of file). */
export function sendFile(to: number, from: number, offset: number, count: number): number {
  const at = Buffer.alloc(8);
  writeInt64(at, offset, 0);
  return check(Number(sendfileCall(to, from, at, count)), 'sendfile');
}

/** Where the next read or write of `fd` begins; shared with every process that inherited it. */
export function filePosition(fd: number): number {
  return check(Number(lseekCall(fd, 0, 1)), 'lseek');
}

/** Makes the directory open at `fd` the working directory. */
export function changeDirectory(fd: number): void {
  check(fchdirCall(fd), 'fchdir');
}

/** Target of the symbolic link open at `fd` (`O_PATH | O_NOFOLLOW`). */
export function readLinkFd(fd: number): Buffer {
  const room = Buffer.allocUnsafe(4096);
  return room.subarray(0, check(Number(readlinkatCall(fd, '', room, room.length)), 'readlinkat'));
}
