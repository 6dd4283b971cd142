import { Worker } from 'node:worker_threads';
import type { ByteStream } from '#base/bytes/types.ts';
import { CodedError } from '#base/errors/index.ts';
import type { Digest, DigestAlgorithm } from '#oci/digest/index.ts';

/** Chunks handed to the thread before it has hashed them: what a slow disk or CPU may hold in memory. */
const AHEAD_LIMIT_BYTES = 8 * 1024 * 1024;

/** A thread takes a tenth of an engine's memory: without work it goes. */
const IDLE_MS = 10_000;

/** The running hash of a file that is being written. */
export interface FileHash {
  /** The first `end` bytes of the file are written. */
  advance(end: number): void;
  /** The digest of the first `end` bytes. */
  finish(end: number): Promise<Digest>;
  drop(): void;
}

interface Answer {
  readonly id: number;
  readonly hex?: string;
  readonly taken?: number;
  readonly error?: string;
}

/** One hash in the thread, seen from here. */
class Job {
  readonly answer = Promise.withResolvers<string>();
  ahead = 0;
  onTaken: (() => void) | undefined;

  constructor() {
    this.answer.promise.catch(() => undefined); // told when somebody asks for the digest
  }
}

/** Hashes off the event loop, in one thread that starts with the first work and ends when there has been none for a while. */
export class Hasher {
  readonly #jobs = new Map<number, Job>();
  #worker: Worker | undefined;
  #idleTimer: NodeJS.Timeout | undefined;
  #nextId = 1;

  followFile(path: string, algorithm: DigestAlgorithm): FileHash {
    const { id, job } = this.#open({ algorithm, path });
    return {
      advance: (end) => this.#send({ id, end }),
      finish: async (end) => {
        this.#send({ id, end, finish: true });
        return this.#digest(id, job, algorithm);
      },
      drop: () => this.#drop(id),
    };
  }

  hashFile(path: string, sizeBytes: number, algorithm: DigestAlgorithm): Promise<Digest> {
    return this.followFile(path, algorithm).finish(sizeBytes);
  }

  /** Passes a stream on while it is hashed; at its end `onDigest` may throw. */
  async *watchStream(
    stream: ByteStream,
    algorithm: DigestAlgorithm,
    onDigest: (digest: Digest, sizeBytes: number) => void,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const { id, job } = this.#open({ algorithm });
    let sizeBytes = 0;
    try {
      for await (const chunk of stream) {
        sizeBytes += chunk.byteLength;
        const copy = new Uint8Array(chunk); // the reader may reuse its buffer, and a transfer takes the copy away
        job.ahead += copy.byteLength;
        this.#send({ id, chunk: copy }, [copy.buffer]);
        if (job.ahead > AHEAD_LIMIT_BYTES) await this.#caughtUp(job);
        yield chunk;
      }
      this.#send({ id, finish: true });
      onDigest(await this.#digest(id, job, algorithm), sizeBytes);
    } finally {
      this.#drop(id);
    }
  }

  async close(): Promise<void> {
    clearTimeout(this.#idleTimer);
    await this.#worker?.terminate();
  }

  #open(request: { algorithm: DigestAlgorithm; path?: string }): { id: number; job: Job } {
    const id = this.#nextId++;
    const job = new Job();
    clearTimeout(this.#idleTimer);
    this.#jobs.set(id, job);
    this.#send({ id, ...request });
    return { id, job };
  }

  async #digest(id: number, job: Job, algorithm: DigestAlgorithm): Promise<Digest> {
    this.#worker?.ref(); // a process must not end while somebody waits
    try {
      return `${algorithm}:${await job.answer.promise}` as Digest;
    } finally {
      this.#forget(id);
    }
  }

  #caughtUp(job: Job): Promise<void> {
    this.#worker?.ref();
    const taken = new Promise<void>((resolve) => {
      job.onTaken = () => {
        if (job.ahead <= AHEAD_LIMIT_BYTES / 2) resolve();
      };
    });
    return Promise.race([taken, job.answer.promise.then(() => undefined)]);
  }

  #drop(id: number): void {
    if (!this.#jobs.has(id)) return;
    this.#worker?.postMessage({ id, drop: true });
    this.#forget(id);
  }

  #forget(id: number): void {
    this.#jobs.delete(id);
    if (this.#jobs.size > 0) return;
    this.#worker?.unref();
    clearTimeout(this.#idleTimer);
    this.#idleTimer = setTimeout(() => this.#endThread(), IDLE_MS).unref();
  }

  #endThread(): void {
    const worker = this.#worker;
    this.#worker = undefined;
    void worker?.terminate();
  }

  #send(message: object, transfer: ArrayBuffer[] = []): void {
    this.#worker ??= this.#start();
    this.#worker.postMessage(message, transfer);
  }

  #start(): Worker {
    const worker = new Worker(new URL('./hash-worker.ts', import.meta.url));
    worker.unref();
    worker.on('message', (answer: Answer) => this.#take(answer));
    worker.on('error', (error) =>
      this.#fail(worker, new CodedError('internal', `the hash thread died: ${String(error)}`)),
    );
    worker.on('exit', () => this.#fail(worker, new CodedError('aborted', 'the hash thread was stopped')));
    return worker;
  }

  #take(answer: Answer): void {
    const job = this.#jobs.get(answer.id);
    if (job === undefined) return;
    if (answer.taken !== undefined) {
      job.ahead -= answer.taken;
      job.onTaken?.();
    }
    if (answer.hex !== undefined) job.answer.resolve(answer.hex);
    if (answer.error !== undefined)
      job.answer.reject(new CodedError('internal', `cannot hash: ${answer.error}`));
  }

  #fail(worker: Worker, error: Error): void {
    if (this.#worker !== worker) return; // it was idle; the jobs are those of the next one
    this.#worker = undefined;
    for (const job of this.#jobs.values()) job.answer.reject(error);
    this.#jobs.clear();
  }
}
