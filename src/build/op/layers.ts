import { stat } from 'node:fs/promises';
import { CodedError } from '#base/errors/index.ts';
import type { ChangesetDir, Changesets } from '#store/changeset/types.ts';
import type { ContentStore } from '#store/content/types.ts';
import type { LeaseStore } from '#store/lease/types.ts';
import type { Database } from '#store/metadata/index.ts';
import type { SnapshotName, SnapshotStore } from '#store/snapshot/types.ts';
import type { LayerInfo } from './types.ts';

const KEEP_MS = 10_000;

/** Parts of the store that describing a layer needs. */
export interface LayerDescriberOptions {
  readonly db: Pick<Database, 'transaction'>;
  readonly changesets: Pick<Changesets, 'describeChangeset'>;
  readonly snapshots: Pick<SnapshotStore, 'find' | 'driver'>;
  readonly content: Pick<ContentStore, 'reserveFile' | 'adoptFile' | 'hashFile' | 'findBlob'>;
  readonly leases: Pick<LeaseStore, 'createLease'>;
  /** Told what was found, for every state that asked and did not know. */
  readonly onDescribed: (snapshot: SnapshotName, layer: LayerInfo) => void;
}

/**
 * Finds diffID and index of committed snapshots, in a child process while the build goes on. One pass a snapshot, also
 * when several builds ask; it goes on when they have gone, since what it finds serves the next build.
 */
export class LayerDescriber {
  readonly #options: LayerDescriberOptions;
  readonly #running = new Map<SnapshotName, Promise<LayerInfo>>();
  readonly #stop = new AbortController();

  constructor(options: LayerDescriberOptions) {
    this.#options = options;
  }

  /** As `describe`, put off until it is called; later calls get the same. */
  lazily(snapshot: SnapshotName, known?: LayerInfo): () => Promise<LayerInfo> {
    let layer: Promise<LayerInfo> | undefined;
    return () => {
      layer ??= this.describe(snapshot, known).then((info) => {
        if (info !== known) this.#options.onDescribed(snapshot, info);
        return info;
      });
      return layer;
    };
  }

  /** `known`: what an earlier pass found; used when its index is still held. */
  describe(snapshot: SnapshotName, known?: LayerInfo): Promise<LayerInfo> {
    if (known !== undefined && this.#options.content.findBlob(known.indexDigest) !== undefined)
      return Promise.resolve(known);
    return this.#running.get(snapshot) ?? this.#start(snapshot, undefined);
  }

  #start(snapshot: SnapshotName, dir: string | undefined): Promise<LayerInfo> {
    const running = this.#run(snapshot, dir);
    // What ended is kept for a moment: the step that began it early has not asked yet.
    running.then(
      () => setTimeout(() => this.#running.delete(snapshot), KEEP_MS).unref(),
      () => this.#running.delete(snapshot), // a build that was cancelled does not wait for it
    );
    this.#running.set(snapshot, running);
    return running;
  }

  /**
   * Begins to describe a finished active snapshot that will be committed as `snapshot`, without waiting for that; only where
   * a snapshot is its changes (overlay). Whoever asks for the layer later gets this pass.
   */
  beginEarly(snapshot: SnapshotName, dir: string): void {
    if (this.#options.snapshots.driver === 'overlay') this.#start(snapshot, dir);
  }

  /** Stops what runs; resolves when nothing does. */
  async close(): Promise<void> {
    this.#stop.abort(new CodedError('aborted', 'the builder is closing'));
    await Promise.allSettled(this.#running.values());
  }

  async #run(name: SnapshotName, dir: string | undefined): Promise<LayerInfo> {
    const { db, changesets, content, leases } = this.#options;
    await using lease = db.transaction(
      () => {
        const made = leases.createLease({ label: `describe ${name}` });
        made.add({ kind: 'snapshot', key: name });
        return made;
      },
      { durable: false },
    );
    const facts = await changesets.describeChangeset(
      dir === undefined ? this.#changesOf(name) : { dir, kind: 'overlay' },
      { indexPath: content.reserveFile(), signal: this.#stop.signal },
    );
    const indexDigest = await content.hashFile(facts.indexPath);
    lease.add({ kind: 'blob', key: indexDigest });
    const { size: sizeBytes } = await stat(facts.indexPath);
    await content.adoptFile(facts.indexPath, { digest: indexDigest, sizeBytes }, { durable: false });
    return {
      diffId: facts.diffId,
      tarSizeBytes: facts.tarSizeBytes,
      contentSizeBytes: facts.contentSizeBytes,
      indexDigest,
      isEmpty: facts.entries === 0,
    };
  }

  #changesOf(name: SnapshotName): ChangesetDir {
    const { snapshots } = this.#options;
    const committed = snapshots.find(name);
    if (committed === undefined) throw new CodedError('not_found', `snapshot "${name}" is gone`);
    if (snapshots.driver === 'overlay') return { dir: committed.dir, kind: 'overlay' };
    const parent = committed.parent === undefined ? undefined : snapshots.find(committed.parent);
    return { dir: committed.dir, kind: 'plain', ...(parent === undefined ? {} : { against: parent.dir }) };
  }
}
