import fs from 'node:fs';
import { changeDirectory, chroot, loadPosix } from '#base/posix/index.ts';

/**
 * Roots for one job after another. While inside, every path (and every link that a path crosses) resolves below the
 * job's directory. The way back is a descriptor that no path can name: there is no /proc inside a layer.
 */
export class Jail {
  readonly #outside: number;

  /** Call it in the outside world; it loads what could not be found from inside. */
  constructor() {
    loadPosix();
    this.#outside = fs.openSync('/', fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  }

  /** Makes `dir` the root and the working directory. */
  enter(dir: string): void {
    process.chdir(dir);
    chroot('.');
  }

  /** Back to the outside world. */
  leave(): void {
    changeDirectory(this.#outside);
    chroot('.');
  }
}
