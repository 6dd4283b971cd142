/**
 * Group commit for SQLite in WAL mode. The connection runs with synchronous=NORMAL: COMMIT appends to the log without a
 * sync, so it never blocks the event loop. What makes a commit durable is a later fdatasync of the log, done on a
 * thread of the pool and shared by every commit that was appended before it began. SQLite syncs the log by itself
 * before it moves pages into the database, so nothing else is needed: this is synchronous=FULL with one sync for many.
 */
import { fdatasync, openSync } from 'node:fs';

/** Makes everything committed so far durable; concurrent callers share syncs. */
export class LogSync {
  readonly #fd: number;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  /** `path` is the log (`<database>-wal`); it must exist. */
  constructor(path: string) {
    this.#fd = openSync(path, 'r+');
  }

  /** The descriptor to close when the database is closed. */
  get fd(): number {
    return this.#fd;
  }

  /** Resolves when all that was committed before the call is on disk. */
  sync(): Promise<void> {
    if (this.#running === undefined) {
      this.#running = this.#run();
      return this.#running;
    }
    // A sync that has begun may miss our commit: the one after it is ours, and everyone's who comes until it begins.
    this.#next ??= this.#running.then(
      () => this.#startNext(),
      () => this.#startNext(),
    );
    return this.#next;
  }

  #startNext(): Promise<void> {
    this.#next = undefined;
    this.#running = this.#run();
    return this.#running;
  }

  #run(): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      fdatasync(this.#fd, (error) => {
        this.#running = undefined;
        if (error) reject(error);
        else resolve();
      });
    });
  }
}
