import fs from 'node:fs';
import { isSystemError } from '#base/errors/index.ts';
import { changeDirectory, O_PATH, openFile, openInRoot, RESOLVE } from '#base/posix/index.ts';
import { encodeName } from '#base/tar/index.ts';

const ABSENT = ['ENOENT', 'ENOTDIR', 'ELOOP', 'EXDEV'];
const DIRECTORY = fs.constants.O_RDONLY | fs.constants.O_DIRECTORY;

/**
 * The tree that a changeset is taken against. Open it before the jail; read it from inside. No link of either tree is followed:
 * what was only reached through one was not there.
 */
export class BeforeTree {
  readonly #root: number;

  constructor(dir: string) {
    this.#root = openFile(dir, O_PATH | fs.constants.O_DIRECTORY);
  }

  /** What was at `path`. */
  find(path: string): fs.Stats | undefined {
    return this.#with(path, O_PATH, (fd) => fs.fstatSync(fd));
  }

  /** The names in a directory, in byte order; none where no directory was. */
  list(path: string): readonly Buffer[] {
    return this.#with(path, DIRECTORY, listFd) ?? [];
  }

  close(): void {
    fs.closeSync(this.#root);
  }

  #with<T>(path: string, flags: number, use: (fd: number) => T): T | undefined {
    const resolve = RESOLVE.IN_ROOT | RESOLVE.NO_SYMLINKS;
    let fd: number;
    try {
      fd = openInRoot(this.#root, encodeName(path || '.'), {
        flags: flags | fs.constants.O_NOFOLLOW,
        resolve,
      });
    } catch (error) {
      if (isSystemError(error) && ABSENT.includes(error.code)) return undefined;
      throw error;
    }
    try {
      return use(fd);
    } finally {
      fs.closeSync(fd);
    }
  }
}

/** Node lists paths only, and there is no /proc in the jail: the directory becomes the working one for a moment. */
function listFd(fd: number): readonly Buffer[] {
  const here = fs.openSync('/', DIRECTORY);
  try {
    changeDirectory(fd);
    return fs.readdirSync('.', { encoding: 'buffer' }).sort(Buffer.compare);
  } finally {
    changeDirectory(here);
    fs.closeSync(here);
  }
}
