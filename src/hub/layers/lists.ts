import { randomBytes } from 'node:crypto';
import { Semaphore, sleep } from '#base/async/index.ts';
import { collectBytes } from '#base/bytes/index.ts';
import type { ByteStream } from '#base/bytes/types.ts';
import type { SqlDatabase } from '#base/database/index.ts';
import { CodedError, messageOf } from '#base/errors/index.ts';
import type { Digest } from '#oci/digest/index.ts';
import type { BlobStorage, RegistryMetadata, RegistryTables, StoredBlob } from '#registry/server/index.ts';
import { LIST_LIMIT_BYTES } from './entries.ts';
import { runLayerProgram, UnreadableLayerError } from './program.ts';

/** Layers read at one time, and those that may wait: two images of the largest kind. */
const JOBS = 2;
const QUEUE_LIMIT = 256;
const TIMEOUT_MS = 10 * 60_000;
/** A list that was begun and not finished is collected after this. */
const ABANDONED_MS = 60 * 60_000;
/** Failures that may pass are not tried again for this long. */
const RETRY_MS = 30_000;

/** Where layers come from and where their lists are kept. */
export interface LayerSources {
  readonly db: SqlDatabase<unknown>;
  readonly metadata: Pick<RegistryMetadata, 'findBlob'>;
  readonly storage: BlobStorage;
}

/** What is known of the files of a layer. */
export type LayerListState =
  | { readonly state: 'ready'; readonly key: string; readonly sizeBytes: number }
  | { readonly state: 'failed'; readonly message: string }
  | { readonly state: 'indexing'; readonly readBytes: number; readonly totalBytes: number };

interface Job {
  readonly done: Promise<void>;
  readonly totalBytes: number;
  readBytes: number;
}

/**
 * The lists of files of layers. Each is made once, by a child process, when somebody first looks, is kept beside the
 * layer, and goes with it. What is wrong with a layer is kept too, so that nobody can have it read again and again.
 */
export class LayerLists {
  readonly #sources: LayerSources;
  readonly #db: SqlDatabase<RegistryTables>;
  readonly #turns = new Semaphore(JOBS);
  readonly #jobs = new Map<string, Job>();
  readonly #failures = new Map<string, { readonly message: string; readonly until: number }>();
  readonly #stop = new AbortController();

  constructor(sources: LayerSources) {
    this.#sources = sources;
    this.#db = sources.db as SqlDatabase<RegistryTables>;
  }

  /** Begins what is missing, waits up to `waitMs`, and says how each layer stands; the order is that of `digests`. */
  async ensure(
    repository: string,
    digests: readonly Digest[],
    waitMs: number,
  ): Promise<readonly LayerListState[]> {
    const before = await Promise.all(digests.map((digest) => this.#find(repository, digest)));
    const running = digests.flatMap((digest) => this.#jobs.get(digest)?.done ?? []);
    if (running.length === 0) return before;
    await Promise.race([Promise.all(running), sleep(waitMs)]);
    return Promise.all(digests.map((digest) => this.#find(repository, digest)));
  }

  /** The gzipped list under the key of a layer that is ready. */
  async read(key: string, sizeBytes: number): Promise<Buffer> {
    return collectBytes(this.#sources.storage.openBlob(key, { start: 0, end: sizeBytes }), {
      maxBytes: LIST_LIMIT_BYTES,
      what: 'a list of files',
    });
  }

  /** Bytes of a layer the repository has. @throws {CodedError} `not_found`. */
  async openLayer(repository: string, digest: Digest): Promise<ByteStream> {
    const blob = await this.#sources.metadata.findBlob(repository, digest);
    if (blob === undefined) throw new CodedError('not_found', `${repository} has no layer ${digest}`);
    return this.#open(blob);
  }

  /** Ends the children. */
  async close(): Promise<void> {
    this.#stop.abort(new CodedError('aborted', 'the hub ends'));
    await Promise.all([...this.#jobs.values()].map((job) => job.done));
  }

  /** The repository must have the layer, whoever had it read. */
  async #find(repository: string, digest: Digest): Promise<LayerListState> {
    const blob = await this.#sources.metadata.findBlob(repository, digest);
    if (blob === undefined) return { state: 'failed', message: 'this layer was not pushed here' };
    const row = await this.#db.read
      .selectFrom('layer_lists')
      .select(['storage_key', 'size', 'failure'])
      .where('digest', '=', digest)
      .executeTakeFirst();
    if (row !== undefined) {
      if (row.storage_key === null) return { state: 'failed', message: row.failure ?? 'it cannot be read' };
      return { state: 'ready', key: row.storage_key, sizeBytes: Number(row.size) };
    }
    const failure = this.#failures.get(digest);
    if (failure !== undefined && failure.until > performance.now())
      return { state: 'failed', message: failure.message };
    this.#failures.delete(digest);
    const { readBytes, totalBytes } = this.#jobs.get(digest) ?? this.#start(blob);
    return { state: 'indexing', readBytes, totalBytes };
  }

  #start(blob: StoredBlob): Job {
    if (this.#jobs.size >= QUEUE_LIMIT)
      throw new CodedError('resource_exhausted', 'many layers wait to be read; try again in a while', {
        data: { retryAfterSeconds: 10 },
      });
    const onProgress = (readBytes: number): void => {
      job.readBytes = readBytes;
    };
    const job: Job = {
      totalBytes: blob.sizeBytes,
      readBytes: 0,
      done: this.#turns
        .run(() => this.#make(blob, onProgress), this.#stop.signal)
        .catch((error: unknown) => this.#fail(blob.digest, error))
        .catch((error: unknown) => this.#remember(blob.digest, error))
        .finally(() => this.#jobs.delete(blob.digest)),
    };
    this.#jobs.set(blob.digest, job);
    return job;
  }

  /** The key is doomed before its file is begun, and saved by the row that names it: nothing stays without a row. */
  async #make(blob: StoredBlob, onProgress: (readBytes: number) => void): Promise<void> {
    const { storage } = this.#sources;
    const storage_key = randomBytes(16).toString('hex');
    const due_at = Date.now() + ABANDONED_MS;
    await this.#db.write((rows) => rows.insertInto('doomed_keys').values({ storage_key, due_at }).execute());
    const writer = await storage.openWriter(storage_key);
    let size = 0;
    try {
      await runLayerProgram(
        { kind: 'list' },
        {
          source: this.#open(blob),
          onOutput: async (chunk) => {
            size += chunk.length;
            await writer.write([chunk]);
          },
          onProgress,
          timeoutMs: TIMEOUT_MS,
          signal: this.#stop.signal,
        },
      );
      await writer.close();
      await storage.finishUpload(storage_key);
    } catch (error) {
      await writer.close();
      await storage.abortUpload(storage_key);
      throw error;
    }
    await this.#save({ digest: blob.digest, storage_key, size, failure: null, created_at: Date.now() });
  }

  async #save(row: RegistryTables['layer_lists']): Promise<void> {
    await this.#db.write(async (rows) => {
      // The layer may have been collected meanwhile; then its list has nothing to lie beside.
      const blob = await rows
        .selectFrom('blobs')
        .select('digest')
        .where('digest', '=', row.digest)
        .executeTakeFirst();
      if (blob === undefined) return;
      const added = await rows
        .insertInto('layer_lists')
        .values(row)
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirst();
      if (added.numInsertedOrUpdatedRows === 0n || row.storage_key === null) return;
      await rows.deleteFrom('doomed_keys').where('storage_key', '=', row.storage_key).execute();
    });
  }

  /** What is wrong with the bytes stays wrong; anything else may pass. */
  async #fail(digest: Digest, error: unknown): Promise<void> {
    if (!(error instanceof UnreadableLayerError)) throw error;
    const failure = messageOf(error).slice(0, 500);
    await this.#save({ digest, storage_key: null, size: 0, failure, created_at: Date.now() });
  }

  #remember(digest: Digest, error: unknown): void {
    if (this.#failures.size > QUEUE_LIMIT) this.#failures.clear();
    const message = error instanceof CodedError ? messageOf(error) : 'it cannot be read now';
    this.#failures.set(digest, { message, until: performance.now() + RETRY_MS });
  }

  #open({ location, sizeBytes }: StoredBlob): ByteStream {
    return 'content' in location
      ? once(location.content)
      : this.#sources.storage.openBlob(location.key, { start: 0, end: sizeBytes });
  }
}

async function* once(content: Uint8Array): AsyncGenerator<Uint8Array> {
  yield content;
}
