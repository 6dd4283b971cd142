import { randomUUID } from 'node:crypto';
import { chmod, chown, rm, stat } from 'node:fs/promises';
import { Semaphore, SingleFlight } from '#base/async/index.ts';
import type { InputCompression } from '#base/bytes/types.ts';
import { CodedError, hasCode } from '#base/errors/index.ts';
import type { ChainId, DiffId, Digest } from '#oci/digest/index.ts';
import type { Changesets, LayerSource, UnpackFacts } from '#store/changeset/types.ts';
import type { ContentStore } from '#store/content/types.ts';
import type { Lease } from '#store/lease/types.ts';
import type { SnapshotStore } from '#store/snapshot/types.ts';
import { chainsOf } from './layer-registry.ts';
import type { ImageStore } from './types.ts';

/** Marks the root of a tree that is unpacked without its parent, until the layer sets a mode of its own. */
const UNTOUCHED_MODE = 0o5701;

/** A layer to be unpacked. */
export interface LayerToUnpack {
  readonly diffId: DiffId;
  /** Called once, or again when the layer turns out to need the ones below it. */
  readonly openSource: () => LayerSource;
  readonly compression: InputCompression | 'auto';
  readonly onProgress?: (readBytes: number) => void;
  /** Its snapshot is there: unpacked now, or held before. */
  readonly onDone?: () => void;
}

/** How a stack is unpacked. */
export interface UnpackStackOptions {
  /** Keeps the layers until an image has them. */
  readonly lease: Lease;
  /** Layers unpacked at the same time (overlay driver). */
  readonly concurrency?: number;
  readonly signal?: AbortSignal;
}

/** Where one layer goes. */
interface Place {
  readonly layer: LayerToUnpack;
  readonly chainId: ChainId;
  readonly parent: ChainId | undefined;
  /** The parent's snapshot is committed. */
  readonly parentReady: Promise<void>;
}

/** A layer that is unpacked and not committed yet. */
interface Staged {
  readonly key: string;
  readonly upperDir: string;
  /** What it was unpacked on. */
  readonly base: ChainId | undefined;
  readonly facts: UnpackFacts;
  readonly indexDigest: Digest;
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
   * Makes the snapshots of a whole stack, base first, several layers at a time. They are durable once
   * `ImageStore.addImage` has settled them. Returns the chain IDs.
   * @throws {CodedError} `invalid_argument` for a hostile layer, `data_loss` when a diffID is another; what is then
   *   already unpacked stays for the next attempt, until the collector takes it.
   */
  async unpackStack(
    layers: readonly LayerToUnpack[],
    options: UnpackStackOptions,
  ): Promise<readonly ChainId[]> {
    const chains = chainsOf(layers.map(({ diffId }) => diffId));
    for (const chainId of chains) options.lease.add({ kind: 'snapshot', key: chainId });
    const stop = new AbortController();
    const signal =
      options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
    const gate = new Semaphore(this.#snapshots.driver === 'overlay' ? (options.concurrency ?? 2) : 1);
    let parentReady = Promise.resolve();
    const tasks = layers.map((layer, i) => {
      const place = { layer, chainId: chains[i] as ChainId, parent: chains[i - 1], parentReady };
      const task = this.#running.run(place.chainId, (own) => this.#place(place, gate, own), signal);
      task.then(layer.onDone, (error: unknown) => stop.abort(error));
      parentReady = task;
      return task;
    });
    await Promise.allSettled(tasks);
    if (stop.signal.aborted) throw stop.signal.reason;
    return chains;
  }

  async #place(place: Place, gate: Semaphore, signal: AbortSignal): Promise<void> {
    const { layer, chainId, parent, parentReady } = place;
    if (this.#isHeld(chainId, layer.diffId)) return;
    const isAlone = parent === undefined || this.#snapshots.find(parent) !== undefined;
    if (isAlone || this.#snapshots.driver !== 'overlay') {
      await parentReady;
      await this.#finish(await gate.run(() => this.#stage(place, parent, signal), signal), place, signal);
      return;
    }
    // On no parent for now: an overlay layer is the same directory whatever is below it.
    let staged = await gate.run(() => this.#stageAlone(place, signal), signal);
    if (staged === undefined) {
      await parentReady;
      staged = await gate.run(() => this.#stage(place, parent, signal), signal);
    }
    // Not inside the gate: whoever waits for a layer below must not keep that layer out.
    await this.#finish(staged, place, signal);
  }

  /** Unpacks without the layers below; `undefined` when the layer turns out to need them. */
  async #stageAlone(place: Place, signal: AbortSignal): Promise<Staged | undefined> {
    let staged: Staged;
    try {
      staged = await this.#stage(place, undefined, signal);
    } catch (error) {
      // It may hold a hard link to a file of a layer below.
      if (hasCode(error, 'invalid_argument')) return undefined;
      throw error;
    }
    if (staged.facts.impliedDirs === 0) return staged;
    // A directory that it only implies is to look as the one below, or is a link there.
    await this.#snapshots.remove(staged.key);
    return undefined;
  }

  /** Unpacks into an active snapshot on top of `base`. */
  async #stage({ layer }: Place, base: ChainId | undefined, signal: AbortSignal): Promise<Staged> {
    const key = `unpack-${randomUUID()}`;
    const { upperDir, lowerDirs } = await this.#snapshots.prepare(key, base);
    const indexPath = this.#content.reserveFile();
    try {
      if (base === undefined) await chmod(upperDir, UNTOUCHED_MODE);
      const facts = await this.#changesets.unpackLayer({
        source: layer.openSource(),
        compression: layer.compression,
        targetDir: upperDir,
        whiteouts: this.#snapshots.driver === 'overlay' ? 'overlay' : 'apply',
        lowerDirs,
        indexPath,
        ...(layer.onProgress === undefined ? {} : { onProgress: layer.onProgress }),
        signal,
      });
      if (facts.diffId !== layer.diffId) throw wrongLayer(layer.diffId, facts);
      return { key, upperDir, base, facts, indexDigest: await this.#adoptIndex(indexPath) };
    } catch (error) {
      await this.#snapshots.remove(key);
      await rm(indexPath, { force: true });
      throw error;
    }
  }

  /** Commits what was unpacked, on top of its parent. */
  async #finish(staged: Staged, place: Place, signal: AbortSignal): Promise<void> {
    const { key, upperDir, base, facts, indexDigest } = staged;
    const { chainId, parent, parentReady } = place;
    try {
      await parentReady;
      signal.throwIfAborted();
      if (base === undefined) await this.#inheritRoot(upperDir, parent);
      await this.#snapshots.commit(key, chainId, {
        sizeBytes: facts.contentSizeBytes,
        durable: false,
        ...(parent === undefined || parent === base ? {} : { parent }),
      });
      const { diffId } = place.layer;
      const { tarSizeBytes, contentSizeBytes } = facts;
      this.#images.addLayer({ diffId, tarSizeBytes, contentSizeBytes, indexDigest }, { chainId });
    } catch (error) {
      await this.#snapshots.remove(key);
      throw error;
    }
  }

  /** A layer that says nothing about `/` shows the one below: an overlay's root is its topmost layer's. */
  async #inheritRoot(dir: string, parent: ChainId | undefined): Promise<void> {
    if (((await stat(dir)).mode & 0o7777) !== UNTOUCHED_MODE) return;
    const below = parent === undefined ? undefined : this.#snapshots.find(parent);
    const { mode, uid, gid } = below === undefined ? { mode: 0o755, uid: 0, gid: 0 } : await stat(below.dir);
    if (process.getuid?.() === 0) await chown(dir, uid, gid);
    await chmod(dir, mode & 0o7777);
  }

  async #adoptIndex(indexPath: string): Promise<Digest> {
    const [digest, { size }] = await Promise.all([this.#content.hashFile(indexPath), stat(indexPath)]);
    await this.#content.adoptFile(indexPath, { digest, sizeBytes: size }, { durable: false });
    return digest;
  }

  #isHeld(chainId: ChainId, diffId: DiffId): boolean {
    return this.#snapshots.isWhole(chainId) && this.#images.findLayer(diffId) !== undefined;
  }
}

function wrongLayer(expected: DiffId, facts: UnpackFacts): CodedError {
  return new CodedError(
    'data_loss',
    `layer verification failed for digest ${expected}: the uncompressed layer is ${facts.diffId}`,
    { subject: { kind: 'layer', name: expected } },
  );
}
