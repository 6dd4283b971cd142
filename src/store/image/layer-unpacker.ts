import { randomUUID } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { SingleFlight } from '#base/async/index.ts';
import type { InputCompression } from '#base/bytes/types.ts';
import { CodedError } from '#base/errors/index.ts';
import { type ChainId, type DiffId, extendChain } from '#oci/digest/index.ts';
import type { Changesets, LayerFacts, LayerSource } from '#store/changeset/types.ts';
import type { ContentStore } from '#store/content/types.ts';
import type { Lease } from '#store/lease/types.ts';
import type { SnapshotStore } from '#store/snapshot/types.ts';
import type { ImageStore } from './types.ts';

/** A layer to be unpacked on top of `parent`. */
export interface UnpackRequest {
  readonly diffId: DiffId;
  readonly parent: ChainId | undefined;
  readonly source: LayerSource;
  readonly compression: InputCompression | 'auto';
  /** Keeps the layer until an image has it. */
  readonly lease: Lease;
  readonly onProgress?: (readBytes: number) => void;
  readonly signal?: AbortSignal;
}

/** Unpacks layers into snapshots and registers them; the same layer asked for twice is unpacked once. */
export class LayerUnpacker {
  readonly #changesets: Changesets;
  readonly #content: ContentStore;
  readonly #snapshots: SnapshotStore;
  readonly #images: ImageStore;
  readonly #running = new SingleFlight<ChainId, void>();

  constructor(options: {
    readonly changesets: Changesets;
    readonly content: ContentStore;
    readonly snapshots: SnapshotStore;
    readonly images: ImageStore;
  }) {
    this.#changesets = options.changesets;
    this.#content = options.content;
    this.#snapshots = options.snapshots;
    this.#images = options.images;
  }

  /**
   * Makes the snapshot of `parent` + `diffId`. It is durable once `ImageStore.addImage` has settled it.
   * @throws {CodedError} `invalid_argument` for a hostile layer, `data_loss` when its diffID is another; nothing is left.
   */
  async unpackLayer(request: UnpackRequest): Promise<ChainId> {
    const chainId = extendChain(request.parent, request.diffId);
    request.lease.add({ kind: 'snapshot', key: chainId });
    if (this.#isHeld(chainId, request.diffId)) return chainId;
    await this.#running.run(chainId, (signal) => this.#unpack(request, chainId, signal), request.signal);
    return chainId;
  }

  async #unpack(request: UnpackRequest, chainId: ChainId, signal: AbortSignal): Promise<void> {
    if (this.#isHeld(chainId, request.diffId)) return;
    const key = `unpack-${randomUUID()}`;
    const active = await this.#snapshots.prepare(key, request.parent);
    try {
      const facts = await this.#changesets.unpackLayer({
        source: request.source,
        compression: request.compression,
        targetDir: active.upperDir,
        whiteouts: this.#snapshots.driver === 'overlay' ? 'overlay' : 'apply',
        lowerDirs: active.lowerDirs,
        indexPath: this.#content.reserveFile(),
        ...(request.onProgress === undefined ? {} : { onProgress: request.onProgress }),
        signal,
      });
      if (facts.diffId !== request.diffId) throw wrongLayer(request.diffId, facts);
      const index = await this.#adoptIndex(facts);
      await this.#snapshots.commit(key, chainId, { sizeBytes: facts.contentSizeBytes, durable: false });
      this.#images.addLayer(
        {
          diffId: facts.diffId,
          tarSizeBytes: facts.tarSizeBytes,
          contentSizeBytes: facts.contentSizeBytes,
          indexDigest: index,
        },
        { chainId },
      );
    } catch (error) {
      await this.#snapshots.remove(key);
      throw error;
    }
  }

  async #adoptIndex({ indexPath }: LayerFacts): ReturnType<ContentStore['hashFile']> {
    const [digest, { size }] = await Promise.all([this.#content.hashFile(indexPath), stat(indexPath)]);
    await this.#content.adoptFile(indexPath, { digest, sizeBytes: size }, { durable: false });
    return digest;
  }

  #isHeld(chainId: ChainId, diffId: DiffId): boolean {
    return this.#snapshots.find(chainId) !== undefined && this.#images.findLayer(diffId) !== undefined;
  }
}

function wrongLayer(expected: DiffId, facts: LayerFacts): CodedError {
  return new CodedError(
    'data_loss',
    `layer verification failed for digest ${expected}: the uncompressed layer is ${facts.diffId}`,
    { subject: { kind: 'layer', name: expected } },
  );
}
