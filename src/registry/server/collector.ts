import { messageOf } from '#base/errors/index.ts';
import type { Log } from '#base/log/index.ts';
import type { BlobStorage, RegistryMetadata } from './types.ts';
import type { UploadSessions } from './uploads.ts';

/** How often and how much the collector does. */
export interface CollectorOptions {
  readonly intervalMs: number;
  /** Rows looked at in one go; between two the event loop is free. */
  readonly batch: number;
  /** Sessions nobody touched for this long are dropped. */
  readonly uploadIdleMs: number;
}

const DEFAULTS: CollectorOptions = {
  intervalMs: 60_000,
  batch: 50,
  uploadIdleMs: 7 * 24 * 60 * 60 * 1000,
};

/** Removes what nothing refers to, from a queue, while the registry serves. */
export class Collector {
  readonly #metadata: RegistryMetadata;
  readonly #storage: BlobStorage;
  readonly #sessions: UploadSessions;
  readonly #log: Log;
  readonly #options: CollectorOptions;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<number> | undefined;
  #isStopped = false;

  constructor(
    options: {
      readonly metadata: RegistryMetadata;
      readonly storage: BlobStorage;
      readonly sessions: UploadSessions;
      readonly log: Log;
    } & Partial<CollectorOptions>,
  ) {
    this.#metadata = options.metadata;
    this.#storage = options.storage;
    this.#sessions = options.sessions;
    this.#log = options.log;
    this.#options = {
      intervalMs: options.intervalMs ?? DEFAULTS.intervalMs,
      batch: options.batch ?? DEFAULTS.batch,
      uploadIdleMs: options.uploadIdleMs ?? DEFAULTS.uploadIdleMs,
    };
  }

  /** Begins to run by itself. */
  start(): void {
    this.#timer = setInterval(() => {
      this.collect(new Date()).catch((error: unknown) =>
        this.#log.error('garbage collection failed', { error: messageOf(error) }),
      );
    }, this.#options.intervalMs);
    this.#timer.unref();
  }

  /** One pass; a pass that runs already is joined. Returns the number of blobs removed. */
  collect(now: Date): Promise<number> {
    this.#running ??= this.#pass(now).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Ends after the batch that runs. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearInterval(this.#timer);
    await this.#running?.catch(() => undefined);
  }

  async #pass(now: Date): Promise<number> {
    const { batch, uploadIdleMs } = this.#options;
    let removed = 0;
    while (!this.#isStopped) {
      const swept = await this.#metadata.sweep(now, batch);
      removed += swept.removed;
      if (swept.examined < batch) break;
    }
    while (!this.#isStopped) {
      const keys = await this.#metadata.listDoomedKeys(now, batch);
      for (const key of keys) await this.#storage.removeBlob(key);
      await this.#metadata.forgetKeys(keys);
      if (keys.length < batch) break;
    }
    await this.#sessions.expire(new Date(now.getTime() - uploadIdleMs));
    return removed;
  }
}
