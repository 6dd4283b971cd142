/** The one place that loads koffi: libc functions by their C declaration, resolved at the first call. */
import { createRequire } from 'node:module';
import { constants } from 'node:os';

type Koffi = typeof import('koffi');

/** A path of a system call: text (sent as UTF-8) or raw bytes; bytes need no NUL at their end. */
export type PosixPath = string | Uint8Array;

/** What may cross into C: numbers, text, bytes in place, and no pointer. */
export type NativeArgument = number | bigint | string | Uint8Array | null;

let loaded: { readonly koffi: Koffi; readonly libc: ReturnType<Koffi['load']> } | undefined;

/**
 * Loads koffi and libc now instead of at the first call: what enters a chroot calls this before, since the
 * libraries cannot be found from inside.
 */
export function loadPosix(): void {
  open();
}

/** The koffi module, for what a plain call cannot do (addresses, polls). Only for files of this folder. */
export function koffiModule(): Koffi {
  return open().koffi;
}

function open(): NonNullable<typeof loaded> {
  if (loaded === undefined) {
    const koffi = createRequire(import.meta.url)('koffi') as Koffi;
    loaded = { koffi, libc: loadLibc(koffi) };
  }
  return loaded;
}

function loadLibc(koffi: Koffi): ReturnType<Koffi['load']> {
  try {
    return koffi.load('libc.so.6');
  } catch {
    return koffi.load(null); // musl: libc is part of the running program
  }
}

/** Declares a libc function, such as `int umount2(const char *target, int flags)`; nothing is loaded before its first call. */
export function native(declaration: string): (...args: NativeArgument[]) => number {
  let target: ((...args: NativeArgument[]) => number) | undefined;
  return (...args) => {
    target ??= open().libc.func(declaration);
    return target(...args);
  };
}

/** `errno` of the last failed native call. */
export function lastErrno(): number {
  return open().koffi.errno();
}

/** Text or bytes as a C string; refuses a NUL inside, which would cut the path short. */
export function cPath(path: PosixPath): string | Uint8Array {
  if (typeof path === 'string') {
    if (path.includes('\0')) throw posixError('path', constants.errno.EINVAL, path);
    return path;
  }
  if (path.indexOf(0) !== -1) throw posixError('path', constants.errno.EINVAL, path);
  const bytes = new Uint8Array(path.length + 1);
  bytes.set(path);
  return bytes;
}

/** A failed system call, shaped like Node's own system errors. */
export class PosixError extends Error {
  /** `ENOENT`, `EPERM`, … */
  readonly code: string;
  /** Negative, as in Node. */
  readonly errno: number;
  readonly syscall: string;
  readonly path: string | undefined;

  constructor(syscall: string, errno: number, path?: PosixPath) {
    const code = errnoName(errno);
    const shown = path === undefined ? undefined : showPath(path);
    super(`${code}: ${describe(code)}, ${syscall}${shown === undefined ? '' : ` '${shown}'`}`);
    this.name = 'PosixError';
    this.code = code;
    this.errno = -errno;
    this.syscall = syscall;
    this.path = shown;
  }
}

/** Makes the error of `errno`. */
export function posixError(syscall: string, errno: number, path?: PosixPath): PosixError {
  return new PosixError(syscall, errno, path);
}

/** Passes `result` on, or throws the error of the call just made when it is -1. */
export function check(result: number, syscall: string, path?: PosixPath): number {
  if (result === -1) throw new PosixError(syscall, lastErrno(), path);
  return result;
}

function showPath(path: PosixPath): string {
  return typeof path === 'string' ? path : Buffer.from(path).toString('utf8').replace(/\0$/, '');
}

let names: ReadonlyMap<number, string> | undefined;

function errnoName(errno: number): string {
  if (names === undefined) {
    const found = new Map<number, string>();
    for (const [name, value] of Object.entries(constants.errno)) {
      if (!found.has(value)) found.set(value, name);
    }
    names = found.set(constants.errno.EOPNOTSUPP, 'ENOTSUP').set(constants.errno.EAGAIN, 'EAGAIN');
  }
  return names.get(errno) ?? `E${errno}`;
}

const DESCRIPTIONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EBADF: 'bad file descriptor',
  EBUSY: 'device or resource busy',
  EEXIST: 'file already exists',
  EINVAL: 'invalid argument',
  EIO: 'input/output error',
  ELOOP: 'too many levels of symbolic links',
  EMFILE: 'too many open files',
  ENAMETOOLONG: 'file name too long',
  ENODATA: 'no data available',
  ENODEV: 'no such device',
  ENOENT: 'no such file or directory',
  ENOSPC: 'no space left on device',
  ENOSYS: 'function not implemented',
  ENOTDIR: 'not a directory',
  ENOTEMPTY: 'directory not empty',
  ENOTSUP: 'operation not supported',
  EPERM: 'operation not permitted',
  EROFS: 'read-only file system',
  ESRCH: 'no such process',
  EXDEV: 'cross-device link',
};

function describe(code: string): string {
  return DESCRIPTIONS[code] ?? 'system call failed';
}
