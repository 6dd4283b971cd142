import { Worker } from 'node:worker_threads';
import { CodedError } from '#base/errors/index.ts';
import type { Digest, DigestAlgorithm } from '#oci/digest/index.ts';

/** The running hash of a file that is being written. */
export interface FileHash {
  /** The first `end` bytes of the file are written. */
  advance(end: number): void;
  /** The digest of the first `end` bytes. */
  finish(end: number): Promise<Digest>;
  drop(): void;
}

/** Hashes files off the event loop. One thread, started at the first use; it does not keep the process alive when idle. */
export interface Hasher {
  followFile(path: string, algorithm: DigestAlgorithm): FileHash;
  hashFile(path: string, sizeBytes: number, algorithm: DigestAlgorithm): Promise<Digest>;
  close(): Promise<void>;
}

interface Waiting {
  readonly resolve: (hex: string) => void;
  readonly reject: (error: Error) => void;
}

/** Makes the hasher. */
export function createHasher(): Hasher {
  const waiting = new Map<number, Waiting>();
  const failed = new Map<number, Error>();
  let worker: Worker | undefined;
  let nextId = 1;

  function thread(): Worker {
    if (worker !== undefined) return worker;
    const started = new Worker(new URL('./hash-worker.ts', import.meta.url));
    started.unref();
    started.on('message', (answer: { id: number; hex?: string; error?: string }) => {
      const caller = waiting.get(answer.id);
      const error =
        answer.error === undefined ? undefined : new CodedError('internal', `cannot hash: ${answer.error}`);
      if (caller === undefined) {
        if (error !== undefined) failed.set(answer.id, error);
        return;
      }
      waiting.delete(answer.id);
      if (waiting.size === 0) started.unref();
      if (error === undefined) caller.resolve(answer.hex ?? '');
      else caller.reject(error);
    });
    started.on('error', (error) =>
      fail(new CodedError('internal', `the hash thread died: ${String(error)}`)),
    );
    started.on('exit', () => fail(new CodedError('aborted', 'the hash thread was stopped')));
    worker = started;
    return started;
  }

  function fail(error: Error): void {
    worker = undefined;
    for (const caller of waiting.values()) caller.reject(error);
    waiting.clear();
  }

  function followFile(path: string, algorithm: DigestAlgorithm): FileHash {
    const id = nextId++;
    thread().postMessage({ id, path, algorithm });
    return {
      advance: (end) => thread().postMessage({ id, end }),
      finish: async (end) => {
        const error = failed.get(id);
        failed.delete(id);
        if (error !== undefined) throw error;
        const hex = await new Promise<string>((resolve, reject) => {
          waiting.set(id, { resolve, reject });
          const target = thread();
          target.ref(); // a process must not end while somebody waits
          target.postMessage({ id, end, finish: true });
        });
        return `${algorithm}:${hex}` as Digest;
      },
      drop: () => {
        failed.delete(id);
        worker?.postMessage({ id, drop: true });
      },
    };
  }

  return {
    followFile,
    hashFile: (path, sizeBytes, algorithm) => followFile(path, algorithm).finish(sizeBytes),
    close: async () => {
      await worker?.terminate();
    },
  };
}
