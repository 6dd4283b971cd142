import { Worker } from 'node:worker_threads';
import { CodedError, type CodedErrorOptions, type ErrorCode } from '#base/errors/index.ts';
import type { FileSession } from './session.ts';

type Method = {
  [Key in keyof FileSession]: FileSession[Key] extends (...args: never[]) => unknown ? Key : never;
}[keyof FileSession];

/** One call to the worker. */
export interface CallMessage {
  readonly id: number;
  readonly method: Method;
  readonly argument: unknown;
}

/** Its answer. */
export type ReplyMessage =
  | { readonly id: number; readonly value: unknown }
  | {
      readonly id: number;
      readonly error: CodedErrorOptions & { readonly code: ErrorCode; readonly message: string };
    };

/** The calls of `FileSession`, answered by a thread. */
export interface FileClient {
  call<Name extends Method>(
    method: Name,
    argument: Parameters<FileSession[Name]>[0],
  ): Promise<ReturnType<FileSession[Name]>>;
}

/** A thread takes a third of an engine's memory: it waits this long for the next build. */
const IDLE_MS = 10_000;

/** Threads that do the file work of builds, so that the daemon's loop never walks a tree. Started at first use, kept warm. */
export class FileWorkers {
  readonly #size: number;
  readonly #threads: FileThread[] = [];

  constructor(options: { readonly size: number }) {
    this.#size = options.size;
  }

  /** A thread for one build, until it is disposed: what is opened there is known by handles of that thread. */
  acquire(): FileClient & AsyncDisposable {
    const thread = this.#choose();
    thread.users++;
    clearTimeout(thread.idleTimer);
    let isReleased = false;
    return {
      call: (method, argument) => thread.call(method, argument),
      [Symbol.asyncDispose]: async () => {
        if (isReleased) return;
        isReleased = true;
        thread.users--;
        if (thread.users === 0) thread.idleTimer = setTimeout(() => this.#end(thread), IDLE_MS).unref();
      },
    };
  }

  #choose(): FileThread {
    const idle = this.#threads.toSorted((a, b) => a.pending - b.pending)[0];
    if (idle !== undefined && (idle.pending === 0 || this.#threads.length >= this.#size)) return idle;
    const thread = new FileThread(() => this.#forget(thread));
    this.#threads.push(thread);
    return thread;
  }

  #forget(thread: FileThread): void {
    const at = this.#threads.indexOf(thread);
    if (at >= 0) this.#threads.splice(at, 1);
  }

  #end(thread: FileThread): void {
    this.#forget(thread);
    void thread.close();
  }

  async close(): Promise<void> {
    await Promise.all(
      this.#threads.map((thread) => {
        clearTimeout(thread.idleTimer);
        return thread.close();
      }),
    );
  }
}

interface Pending {
  readonly resolve: (value: never) => void;
  readonly reject: (error: unknown) => void;
}

class FileThread implements FileClient {
  /** Builds that have it. */
  users = 0;
  idleTimer: NodeJS.Timeout | undefined;
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #next = 1;

  constructor(onExit: () => void) {
    this.#worker = new Worker(new URL('./worker.ts', import.meta.url), {
      // Descriptors opened by system calls of our own are closed by us.
      trackUnmanagedFds: false,
    });
    this.#worker.unref();
    this.#worker.on('message', (reply: ReplyMessage) => this.#settle(reply));
    this.#worker.on('error', (error) => this.#fail(error));
    this.#worker.on('exit', () => {
      onExit();
      this.#fail(new CodedError('aborted', 'the file worker ended'));
    });
  }

  get pending(): number {
    return this.#pending.size;
  }

  call<Name extends Method>(
    method: Name,
    argument: Parameters<FileSession[Name]>[0],
  ): Promise<ReturnType<FileSession[Name]>> {
    const id = this.#next++;
    const { promise, resolve, reject } = Promise.withResolvers<ReturnType<FileSession[Name]>>();
    this.#pending.set(id, { resolve: resolve as Pending['resolve'], reject });
    // Referenced only while a call runs: an idle thread must not keep the process.
    this.#worker.ref();
    const message: CallMessage = { id, method, argument };
    this.#worker.postMessage(message);
    return promise;
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #settle(reply: ReplyMessage): void {
    const pending = this.#pending.get(reply.id);
    this.#pending.delete(reply.id);
    if (this.#pending.size === 0) this.#worker.unref();
    if (pending === undefined) return;
    if ('error' in reply) pending.reject(new CodedError(reply.error.code, reply.error.message, reply.error));
    else pending.resolve(reply.value as never);
  }

  #fail(error: unknown): void {
    for (const pending of this.#pending.values()) pending.reject(error);
    this.#pending.clear();
  }
}
