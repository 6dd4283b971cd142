/** Extended attributes, never through a symbolic link. */
import { constants } from 'node:os';
import { check, cPath, lastErrno, native, type PosixPath, posixError } from './library.ts';

const lsetxattrCall = native(
  'int lsetxattr(const char *path, const char *name, const uint8_t *value, size_t size, int flags)',
);
const fsetxattrCall = native(
  'int fsetxattr(int fd, const char *name, const uint8_t *value, size_t size, int flags)',
);
const lgetxattrCall = native(
  'int64_t lgetxattr(const char *path, const char *name, uint8_t *value, size_t size)',
);
const fgetxattrCall = native('int64_t fgetxattr(int fd, const char *name, uint8_t *value, size_t size)');
const llistxattrCall = native('int64_t llistxattr(const char *path, uint8_t *list, size_t size)');
const flistxattrCall = native('int64_t flistxattr(int fd, uint8_t *list, size_t size)');
const lremovexattrCall = native('int lremovexattr(const char *path, const char *name)');

const MAX_BYTES = 65_536;

/** A file by path (a link itself, not what it points to) or an open descriptor. */
export type XattrTarget = PosixPath | number;

/** Sets an attribute, replacing it. */
export function setXattr(target: XattrTarget, name: PosixPath, value: Uint8Array): void {
  const bytes = value.length === 0 ? new Uint8Array(1) : value;
  if (typeof target === 'number') {
    check(fsetxattrCall(target, cPath(name), bytes, value.length, 0), 'fsetxattr');
  } else {
    check(lsetxattrCall(cPath(target), cPath(name), bytes, value.length, 0), 'lsetxattr', target);
  }
}

/** An attribute's value, or `undefined` when the file has none of that name or the file system has no attributes. */
export function findXattr(target: XattrTarget, name: PosixPath): Buffer | undefined {
  let room = Buffer.allocUnsafe(256);
  for (;;) {
    const size =
      typeof target === 'number'
        ? fgetxattrCall(target, cPath(name), room, room.length)
        : lgetxattrCall(cPath(target), cPath(name), room, room.length);
    if (Number(size) >= 0) return room.subarray(0, Number(size));
    const errno = lastErrno();
    if (errno === constants.errno.ENODATA || errno === constants.errno.ENOTSUP) return undefined;
    if (errno !== constants.errno.ERANGE || room.length === MAX_BYTES) {
      throw posixError('lgetxattr', errno, typeof target === 'number' ? undefined : target);
    }
    room = Buffer.allocUnsafe(MAX_BYTES);
  }
}

const NO_NAMES: readonly string[] = [];
const listRoom = { bytes: undefined as Buffer | undefined };

/** Names of all attributes in the kernel's order; none where the file system has no attributes. */
export function listXattrs(target: XattrTarget): readonly string[] {
  listRoom.bytes ??= Buffer.alloc(MAX_BYTES);
  const room = listRoom.bytes;
  const result =
    typeof target === 'number'
      ? flistxattrCall(target, room, room.length)
      : llistxattrCall(cPath(target), room, room.length);
  const size = Number(result);
  if (size === 0) return NO_NAMES;
  if (size < 0) {
    const errno = lastErrno();
    if (errno === constants.errno.ENOTSUP) return NO_NAMES;
    throw posixError('llistxattr', errno, typeof target === 'number' ? undefined : target);
  }
  return room.toString('utf8', 0, size - 1).split('\0');
}

/** Removes an attribute; no error when it is not there. */
export function removeXattr(path: PosixPath, name: PosixPath): void {
  const result = lremovexattrCall(cPath(path), cPath(name));
  if (result === -1 && lastErrno() !== constants.errno.ENODATA) check(result, 'lremovexattr', path);
}
