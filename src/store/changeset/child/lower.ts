import fs from 'node:fs';
import { isSystemError } from '#base/errors/index.ts';
import { findXattr, O_PATH, openFile, openInRoot, RESOLVE, readLinkFd } from '#base/posix/index.ts';
import { decodeName, encodeName } from '#base/tar/index.ts';

/** A file of the layers below. `fd` is a handle only (`O_PATH`). */
export interface LowerFile {
  readonly stats: fs.BigIntStats;
  readonly linkTarget: string | undefined;
  /** Opens the content; only for regular files and directories. */
  open(): number;
}

/** The layers below the one being unpacked, as overlay would show them. Open it before the jail; read it from inside. */
export class LowerTree {
  readonly #fds: readonly number[];

  /** @param dirs topmost first. */
  constructor(dirs: readonly string[]) {
    this.#fds = dirs.map((dir) => openFile(dir, O_PATH | fs.constants.O_DIRECTORY));
  }

  /** The file at `parts`, whose parents hold no links; `undefined` when the layers below do not show one. */
  find(parts: readonly string[]): LowerFile | undefined {
    for (const fd of this.#fds) {
      const found = lookUp(fd, parts);
      if (found !== 'below') return found;
    }
    return undefined;
  }

  close(): void {
    for (const fd of this.#fds) fs.closeSync(fd);
  }
}

/** One layer's answer: the file, `undefined` when it hides whatever is below, or `'below'` when it says nothing. */
function lookUp(root: number, parts: readonly string[]): LowerFile | undefined | 'below' {
  let isOpaque = false;
  for (let depth = 1; depth <= parts.length; depth++) {
    const path = encodeName(parts.slice(0, depth).join('/'));
    let fd: number;
    try {
      fd = openHere(root, path, O_PATH);
    } catch (error) {
      if (isSystemError(error, 'ENOENT')) return isOpaque ? undefined : 'below';
      throw error;
    }
    try {
      const stats = fs.fstatSync(fd, { bigint: true });
      if (stats.isCharacterDevice() && stats.rdev === 0n) return undefined;
      if (depth === parts.length) {
        const linkTarget = stats.isSymbolicLink() ? decodeName(readLinkFd(fd)) : undefined;
        return {
          stats,
          linkTarget,
          open: () => openHere(root, path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK),
        };
      }
      if (!stats.isDirectory()) return undefined;
    } finally {
      fs.closeSync(fd);
    }
    isOpaque ||= isOpaqueAt(root, path);
  }
  return 'below';
}

function openHere(root: number, path: Buffer, flags: number): number {
  const resolve = RESOLVE.IN_ROOT | RESOLVE.NO_MAGICLINKS;
  return openInRoot(root, path, { flags: flags | fs.constants.O_NOFOLLOW, resolve });
}

function isOpaqueAt(root: number, path: Buffer): boolean {
  const fd = openHere(root, path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  try {
    return OPAQUE_XATTRS.some((name) => findXattr(fd, name)?.toString() === 'y');
  } finally {
    fs.closeSync(fd);
  }
}

/** Marks of an opaque directory; the second one is for mounts without privileges. */
export const OPAQUE_XATTRS = ['trusted.overlay.opaque', 'user.overlay.opaque'] as const;
