import { Worker } from 'node:worker_threads';
import { SingleFlight } from '#base/async/index.ts';
import { CodedError } from '#base/errors/index.ts';
import type { FileListing, WasteReport } from '#hub/protocol/index.ts';
import type { FilePlace } from './tree.ts';
import type { TreeQuestion, TreeReply, TreeRequest } from './tree-worker.ts';

/** Trees take memory: without questions the thread goes. */
const IDLE_MS = 60_000;
const HEAP_MB = 768;

/** Answers by kind of question. */
export interface TreeAnswers {
  readonly list: FileListing;
  readonly find: FileListing;
  readonly locate: FilePlace;
  readonly waste: WasteReport;
}

/** A request without what this side adds. */
type Body =
  | { readonly key: string; readonly question: TreeQuestion }
  | { readonly key: string; readonly lists: readonly Uint8Array[] };

/** Trees of images, in one thread that starts with the first question and ends when there has been none for a while. */
export class ImageTrees {
  readonly #waiting = new Map<
    number,
    { resolve: (reply: TreeReply) => void; reject: (error: Error) => void }
  >();
  readonly #loading = new SingleFlight<string, void>();
  #worker: Worker | undefined;
  #idle: NodeJS.Timeout | undefined;
  #nextId = 1;

  /** Asks about the image `key`; `load` gives the lists of its layers when it is not in memory. */
  async ask<Q extends TreeQuestion>(
    key: string,
    question: Q,
    load: () => Promise<readonly Uint8Array[]>,
  ): Promise<TreeAnswers[Q['kind']]> {
    for (let tries = 0; tries < 3; tries++) {
      const reply = await this.#send({ key, question });
      if ('answer' in reply) return reply.answer as TreeAnswers[Q['kind']];
      if ('code' in reply) throw new CodedError(reply.code, reply.message);
      await this.#loading.run(key, async () => {
        const loaded = await this.#send({ key, lists: await load() });
        if ('code' in loaded) throw new CodedError(loaded.code, loaded.message);
      });
    }
    throw new CodedError('unavailable', 'too many images are looked at; try again in a moment');
  }

  async close(): Promise<void> {
    clearTimeout(this.#idle);
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }

  #send(body: Body): Promise<TreeReply> {
    const worker = this.#worker ?? this.#start();
    this.#worker = worker;
    clearTimeout(this.#idle);
    const id = this.#nextId++;
    worker.ref();
    return new Promise<TreeReply>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      worker.postMessage({ id, ...body } satisfies TreeRequest);
    }).finally(() => {
      this.#waiting.delete(id);
      if (this.#waiting.size > 0) return;
      worker.unref();
      clearTimeout(this.#idle);
      this.#idle = setTimeout(() => void this.close(), IDLE_MS).unref();
    });
  }

  #start(): Worker {
    const worker = new Worker(new URL('./tree-worker.ts', import.meta.url), {
      name: 'hub-trees',
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
      env: {},
    });
    worker.on('message', (reply: TreeReply) => this.#waiting.get(reply.id)?.resolve(reply));
    // Out of memory is an error of the thread, which ends; the hub goes on.
    worker.on('error', () => this.#lose(worker));
    worker.on('exit', () => this.#lose(worker));
    return worker;
  }

  #lose(worker: Worker): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    for (const { reject } of this.#waiting.values())
      reject(new CodedError('resource_exhausted', 'this image has more files than can be shown'));
  }
}
