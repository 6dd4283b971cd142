import { closeSync, fsyncSync, openSync, statSync, truncateSync, writeSync } from 'node:fs';

const RESERVE_BYTES = 4 * 1024 * 1024;
const REFILL_EVERY_MS = 10_000;

/**
 * Room kept for the day the disk is full: taking things away needs a few rows to be written first, and with no room for
 * those nothing could ever be freed. It is given up when the database cannot grow, and filled again when there is room.
 */
export class DiskReserve {
  readonly #path: string;
  #isHeld = false;
  #triedAt = Number.NEGATIVE_INFINITY;

  constructor(path: string) {
    this.#path = path;
    this.fill();
  }

  /** Gives the room up; false when there was none left. */
  release(): boolean {
    if (!this.#isHeld) return false;
    truncateSync(this.#path, 0);
    this.#isHeld = false;
    this.#triedAt = performance.now();
    return true;
  }

  /** Takes the room again, at most every ten seconds; a disk that is still full is no failure. */
  fill(): void {
    if (this.#isHeld || performance.now() - this.#triedAt < REFILL_EVERY_MS) return;
    this.#triedAt = performance.now();
    if (statSync(this.#path, { throwIfNoEntry: false })?.size === RESERVE_BYTES) {
      this.#isHeld = true;
      return;
    }
    try {
      const fd = openSync(this.#path, 'w', 0o600);
      try {
        const zeros = Buffer.alloc(1024 * 1024);
        for (let written = 0; written < RESERVE_BYTES; ) written += writeSync(fd, zeros);
        fsyncSync(fd);
        this.#isHeld = true;
      } finally {
        closeSync(fd);
        if (!this.#isHeld) truncateSync(this.#path, 0);
      }
    } catch {
      // Full already: what can be freed is freed without it, and it is tried again later.
    }
  }
}
