import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { CodedError, messageOf } from '#base/errors/index.ts';
import type { NamesAnswer, NamesChange, NamesEntry } from './types.ts';

/** What the thread is asked. */
export interface WorkerRequest {
  readonly number: number;
  readonly change: NamesChange;
  readonly port: number;
}

/** What it answers. */
export type WorkerAnswer =
  | { readonly number: number; readonly ok: NamesAnswer }
  | { readonly number: number; readonly error: string };

interface Waiting {
  readonly resolve: (answer: NamesAnswer) => void;
  readonly reject: (error: Error) => void;
}

/** A thread without a namespace to serve ends after this. */
const IDLE_MS = 60_000;
const RESTART_MS = 1000;
/** Far more than the names of thousands of containers take; a runaway ends the thread, not the process. */
const MEMORY_MB = 128;

/**
 * Answers queries in a thread of its own, which is started at the first change. Should it ever end by a fault, another one takes
 * over on the same ports.
 */
export class NamesService {
  readonly #onError: (message: string) => void;
  readonly #memoryMb: number;
  readonly #entries = new Map<string, { readonly entry: NamesEntry; readonly port: number }>();
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | undefined;
  #idle: NodeJS.Timeout | undefined;
  #number = 0;
  #closed = false;

  constructor(options: { readonly onError: (message: string) => void; readonly memoryMb?: number }) {
    this.#onError = options.onError;
    this.#memoryMb = options.memoryMb ?? MEMORY_MB;
  }

  /** Carries out a change. @throws {CodedError} `internal` when a namespace's sockets cannot be opened. */
  async change(change: NamesChange): Promise<NamesAnswer> {
    const isIdle = this.#worker === undefined && this.#entries.size === 0;
    if (isIdle && (change.kind === 'drop' || change.kind === 'keep')) return { port: 0, isNew: false };
    const answer = await this.#ask(change, 0);
    if (change.kind === 'put') {
      this.#entries.set(change.entry.sandboxId, { entry: change.entry, port: answer.port });
    } else if (change.kind === 'drop') {
      this.#entries.delete(change.sandboxId);
    } else if (change.kind === 'keep') {
      for (const id of this.#entries.keys()) if (!change.sandboxIds.includes(id)) this.#entries.delete(id);
    }
    this.#watchIdle();
    return answer;
  }

  /** Ends the thread. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#idle);
    await this.#worker?.terminate();
  }

  #ask(change: NamesChange, port: number): Promise<NamesAnswer> {
    this.#worker ??= this.#start();
    const number = ++this.#number;
    const { promise, resolve, reject } = Promise.withResolvers<NamesAnswer>();
    this.#waiting.set(number, { resolve, reject });
    this.#worker.postMessage({ number, change, port } satisfies WorkerRequest);
    return promise;
  }

  #start(): Worker {
    const worker = new Worker(new URL('./worker.ts', import.meta.url), {
      name: 'names',
      resourceLimits: { maxOldGenerationSizeMb: this.#memoryMb, maxYoungGenerationSizeMb: 4, stackSizeMb: 2 },
      trackUnmanagedFds: false,
    });
    worker.unref();
    worker.on('message', (answer: WorkerAnswer) => {
      const waiting = this.#waiting.get(answer.number);
      this.#waiting.delete(answer.number);
      if ('ok' in answer) waiting?.resolve(answer.ok);
      else waiting?.reject(new CodedError('internal', `cannot open a resolver: ${answer.error}`));
    });
    worker.on('error', (error) =>
      this.#onError(`the thread that answers for names failed: ${messageOf(error)}`),
    );
    worker.once('exit', () => this.#ended(worker));
    return worker;
  }

  #ended(worker: Worker): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    const left = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of left)
      reject(new CodedError('internal', 'the thread that answers for names ended'));
    if (this.#closed || this.#entries.size === 0) return;
    void this.#takeOver();
  }

  async #takeOver(): Promise<void> {
    await delay(RESTART_MS, undefined, { ref: false });
    for (const [id, { entry, port }] of this.#entries) {
      if (this.#closed) return;
      try {
        await this.#ask({ kind: 'put', entry }, port);
      } catch (error) {
        this.#onError(`cannot answer for names of ${id} again: ${messageOf(error)}`);
      }
    }
  }

  #watchIdle(): void {
    clearTimeout(this.#idle);
    if (this.#entries.size > 0) return;
    this.#idle = setTimeout(() => {
      const worker = this.#worker;
      this.#worker = undefined;
      void worker?.terminate();
    }, IDLE_MS);
    this.#idle.unref();
  }
}
