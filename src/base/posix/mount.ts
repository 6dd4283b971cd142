/** mount(2) and what belongs to it: roots, namespaces. */
import { check, cPath, native, type PosixPath } from './library.ts';

/** Flags of `mount` (linux/mount.h). */
export const MS = {
  RDONLY: 1,
  NOSUID: 2,
  NODEV: 4,
  NOEXEC: 8,
  SYNCHRONOUS: 16,
  REMOUNT: 32,
  NOSYMFOLLOW: 256,
  NOATIME: 1024,
  NODIRATIME: 2048,
  BIND: 4096,
  MOVE: 8192,
  REC: 16384,
  UNBINDABLE: 1 << 17,
  PRIVATE: 1 << 18,
  SLAVE: 1 << 19,
  SHARED: 1 << 20,
  RELATIME: 1 << 21,
  STRICTATIME: 1 << 24,
} as const;

/** Flags of `unmount`. */
export const MNT = { FORCE: 1, DETACH: 2, EXPIRE: 4, NOFOLLOW: 8 } as const;

/** Namespaces, for `unshare` and `setNamespace`. */
export const CLONE = {
  NEWNS: 0x00020000,
  NEWCGROUP: 0x02000000,
  NEWUTS: 0x04000000,
  NEWIPC: 0x08000000,
  NEWUSER: 0x10000000,
  NEWPID: 0x20000000,
  NEWNET: 0x40000000,
} as const;

const mountCall = native(
  'int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)',
);
const umountCall = native('int umount2(const char *target, int flags)');
const chrootCall = native('int chroot(const char *path)');
const syscallPivot = native('long syscall(long number, const char *newRoot, const char *putOld)');
const unshareCall = native('int unshare(int flags)');
const setnsCall = native('int setns(int fd, int type)');

/**
 * Mounts. `data` over 4095 bytes is refused with a clear error (the kernel would cut it and fail with a misleading one).
 * A propagation change (`MS.PRIVATE` and so on) and a remount take no source and no type.
 */
export function mount(options: {
  readonly source?: string;
  readonly target: string;
  readonly type?: string;
  readonly flags?: number;
  readonly data?: string;
}): void {
  const { source = null, target, type = null, flags = 0, data = null } = options;
  if (data !== null && Buffer.byteLength(data) > 4095) {
    throw new RangeError(
      `cannot mount "${target}": options of ${Buffer.byteLength(data)} bytes, the limit is 4095`,
    );
  }
  check(mountCall(source ?? 'none', cPath(target), type, flags, data), 'mount', target);
}

/** Unmounts; `MNT.DETACH` for a lazy unmount. */
export function unmount(target: PosixPath, flags = 0): void {
  check(umountCall(cPath(target), flags), 'umount2', target);
}

/** Changes the root of the whole process (every thread); the working directory stays where it was. */
export function chroot(path: PosixPath): void {
  check(chrootCall(cPath(path)), 'chroot', path);
}

/** Swaps the root mount of this mount namespace; `pivotRoot('.', '.')` then `unmount('.', MNT.DETACH)` needs no extra directory. */
export function pivotRoot(newRoot: PosixPath, putOld: PosixPath): void {
  const number = process.arch === 'x64' ? 155 : 41;
  check(syscallPivot(number, cPath(newRoot), cPath(putOld)), 'pivot_root', newRoot);
}

/** Gives the calling thread namespaces of its own. Node has several threads: NEWUSER and NEWNS fail or surprise outside a fresh child. */
export function unshare(flags: number): void {
  check(unshareCall(flags), 'unshare');
}

/** Moves the calling thread into the namespace (or a process's, by pidfd) open at `fd`. `type` 0 accepts any. */
export function setNamespace(fd: number, type = 0): void {
  check(setnsCall(fd, type), 'setns');
}
