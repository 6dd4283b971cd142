import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { CodedError } from '#base/errors/index.ts';
import type { Digest, DigestAlgorithm } from '#oci/digest/index.ts';
import type { UploadHash } from '../types.ts';
import type { HashReply, HashRequest } from './hash-worker.ts';

const WORKER_LIMIT = 2;

interface Waiting {
  readonly resolve: (hex: string) => void;
  readonly reject: (error: Error) => void;
}

/** Threads that hash uploads while they are written; started by the first upload that needs one. */
export class HashPool {
  readonly #workers: Worker[] = [];
  readonly #waiting = new Map<number, Waiting & { readonly worker: Worker }>();
  #next = 0;
  #replies = 0;

  /** A running hash of the file at `path`; `key` tells uploads apart. */
  follow(key: string, path: string, algorithm: DigestAlgorithm): UploadHash {
    let worker: Worker | undefined;
    const send = (request: HashRequest): Worker => {
      worker ??= this.#pick();
      worker.postMessage(request);
      return worker;
    };
    return {
      algorithm,
      advance: (offset) => {
        send({ kind: 'advance', key, path, algorithm, offset });
      },
      digest: async (sizeBytes) => {
        const hex = await this.#ask((replyTo) =>
          send({ kind: 'advance', key, path, algorithm, offset: sizeBytes, replyTo }),
        );
        return `${algorithm}:${hex}` as Digest;
      },
      drop: () => worker?.postMessage({ kind: 'drop', key } satisfies HashRequest),
    };
  }

  /** Ends the threads. */
  async close(): Promise<void> {
    await Promise.all(this.#workers.splice(0).map((worker) => worker.terminate()));
  }

  #ask(send: (replyTo: number) => Worker): Promise<string> {
    return new Promise((resolve, reject) => {
      const replyTo = ++this.#replies;
      const worker = send(replyTo);
      worker.ref();
      this.#waiting.set(replyTo, { resolve, reject, worker });
    });
  }

  #pick(): Worker {
    const limit = Math.min(WORKER_LIMIT, availableParallelism());
    const index = this.#next++ % limit;
    const known = this.#workers[index];
    if (known !== undefined) return known;
    const started = this.#start();
    this.#workers[index] = started;
    return started;
  }

  #start(): Worker {
    const worker = new Worker(new URL('./hash-worker.ts', import.meta.url), { name: 'registry-hash' });
    worker.unref();
    worker.on('message', (reply: HashReply) => {
      const waiting = this.#waiting.get(reply.replyTo);
      this.#waiting.delete(reply.replyTo);
      if (waiting === undefined) return;
      if (reply.hex !== undefined) waiting.resolve(reply.hex);
      else waiting.reject(new CodedError('data_loss', `cannot hash upload: ${reply.error ?? 'no answer'}`));
      if (![...this.#waiting.values()].some((other) => other.worker === worker)) worker.unref();
    });
    worker.on('error', (error: unknown) =>
      this.#lose(worker, error instanceof Error ? error : new Error(String(error))),
    );
    worker.on('exit', () => this.#lose(worker, new Error('the thread ended')));
    return worker;
  }

  /** A thread that died is replaced by the next upload; whoever waited for it is told. */
  #lose(worker: Worker, error: Error): void {
    const index = this.#workers.indexOf(worker);
    if (index >= 0) delete this.#workers[index];
    for (const [replyTo, waiting] of this.#waiting) {
      if (waiting.worker !== worker) continue;
      this.#waiting.delete(replyTo);
      waiting.reject(new CodedError('internal', `cannot hash upload: ${error.message}`, { cause: error }));
    }
  }
}
