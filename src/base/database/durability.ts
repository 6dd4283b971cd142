/**
 * Group commit for SQLite in WAL mode. The connection runs with synchronous=NORMAL: COMMIT appends to the log without a
 * sync, so it never blocks the event loop. What makes a commit durable is a later fdatasync of the log, done on a
 * thread of the pool and shared by every commit that was appended before it began. SQLite syncs the log by itself
 * before it moves pages into the database, so nothing else is needed: this is synchronous=FULL with one sync for many.
 */
import { fdatasync, fstatSync, openSync } from 'node:fs';
import { Worker } from 'node:worker_threads';

/** Makes everything committed so far durable; concurrent callers share syncs. */
export class LogSync {
  readonly #fd: number;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  /** `path` is the log (`<database>-wal`); it must exist. */
  constructor(path: string) {
    this.#fd = openSync(path, 'r+');
  }

  /** Bytes of the log. */
  get sizeBytes(): number {
    return fstatSync(this.#fd).size;
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

/** A log below this is moved into the database by the connection itself, when it closes. */
const CHECKPOINT_FROM_BYTES = 4 * 1024 * 1024;
const CHECKPOINT_EVERY_MS = 500;

/** The thread: a connection of its own, and one passive checkpoint per message. Text, so that it needs no file beside us. */
const CHECKPOINT_THREAD = `
  const { DatabaseSync } = require('node:sqlite');
  const { parentPort, workerData } = require('node:worker_threads');
  const database = new DatabaseSync(workerData);
  const checkpoint = database.prepare('PRAGMA wal_checkpoint(PASSIVE)');
  parentPort.on('message', () => {
    try { checkpoint.get(); } catch { /* busy: the next one does it */ }
    parentPort.postMessage('done');
  });
`;

/**
 * Moves the log into the database on a thread, so that the syncs this takes do not block the event loop. The thread is
 * started by the first log that has grown; the connection's own checkpoint stays as the bound of the log's length.
 */
export class Checkpointer {
  readonly #path: string;
  readonly #log: LogSync;
  readonly #timer: NodeJS.Timeout;
  #worker: Worker | undefined;
  #isRunning = false;
  #seen = 0;

  /** `version` says whether anything was written since. */
  constructor(path: string, log: LogSync, version: () => number) {
    this.#path = path;
    this.#log = log;
    this.#timer = setInterval(() => {
      if (this.#isRunning || version() === this.#seen || this.#log.sizeBytes < CHECKPOINT_FROM_BYTES) return;
      this.#seen = version();
      this.#run();
    }, CHECKPOINT_EVERY_MS);
    this.#timer.unref();
  }

  /** Ends the thread. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#worker?.terminate();
  }

  #run(): void {
    this.#isRunning = true;
    this.#worker ??= this.#start();
    this.#worker.postMessage('checkpoint');
  }

  #start(): Worker {
    const worker = new Worker(CHECKPOINT_THREAD, { eval: true, workerData: this.#path, name: 'checkpoint' });
    worker.unref();
    worker.on('message', () => {
      this.#isRunning = false;
    });
    const lose = (): void => {
      this.#worker = undefined;
      this.#isRunning = false;
    };
    worker.on('error', lose);
    worker.on('exit', lose);
    return worker;
  }
}
