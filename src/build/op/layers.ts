import { stat } from 'node:fs/promises';
import { CodedError } from '#base/errors/index.ts';
import type { Changesets } from '#store/changeset/types.ts';
import type { ContentStore } from '#store/content/types.ts';
import type { LeaseStore } from '#store/lease/types.ts';
import type { SnapshotName, SnapshotStore } from '#store/snapshot/types.ts';
import type { LayerInfo } from './types.ts';

/** Parts of the store that describing a layer needs. */
export interface LayerDescriberOptions {
  readonly changesets: Pick<Changesets, 'describeChangeset'>;
  readonly snapshots: Pick<SnapshotStore, 'find' | 'driver'>;
  readonly content: Pick<ContentStore, 'reserveFile' | 'adoptFile' | 'hashFile' | 'findBlob'>;
  readonly leases: Pick<LeaseStore, 'createLease'>;
  /** Told once for every pass. */
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
      layer ??= this.describe(snapshot, known);
      return layer;
    };
  }

  /** `known`: what an earlier pass found; used when its index is still held. */
  describe(snapshot: SnapshotName, known?: LayerInfo): Promise<LayerInfo> {
    if (known !== undefined && this.#options.content.findBlob(known.indexDigest) !== undefined)
      return Promise.resolve(known);
    let running = this.#running.get(snapshot);
    if (running === undefined) {
      running = this.#run(snapshot).finally(() => this.#running.delete(snapshot));
      running.catch(() => undefined); // a build that was cancelled does not wait for it
      this.#running.set(snapshot, running);
    }
    return running;
  }

  /** Stops what runs; resolves when nothing does. */
  async close(): Promise<void> {
    this.#stop.abort(new CodedError('aborted', 'the builder is closing'));
    await Promise.allSettled(this.#running.values());
  }

  async #run(name: SnapshotName): Promise<LayerInfo> {
    const { changesets, snapshots, content, leases } = this.#options;
    await using lease = leases.createLease({ label: `describe ${name}` });
    lease.add({ kind: 'snapshot', key: name });
    const committed = snapshots.find(name);
    if (committed === undefined) throw new CodedError('not_found', `snapshot "${name}" is gone`);
    const parent = committed.parent === undefined ? undefined : snapshots.find(committed.parent);
    const isOverlay = snapshots.driver === 'overlay';
    const facts = await changesets.describeChangeset(
      {
        dir: committed.dir,
        kind: isOverlay ? 'overlay' : 'plain',
        ...(isOverlay || parent === undefined ? {} : { against: parent.dir }),
      },
      { indexPath: content.reserveFile(), signal: this.#stop.signal },
    );
    const indexDigest = await content.hashFile(facts.indexPath);
    lease.add({ kind: 'blob', key: indexDigest });
    const { size: sizeBytes } = await stat(facts.indexPath);
    await content.adoptFile(facts.indexPath, { digest: indexDigest, sizeBytes }, { durable: false });
    const info: LayerInfo = {
      diffId: facts.diffId,
      tarSizeBytes: facts.tarSizeBytes,
      contentSizeBytes: facts.contentSizeBytes,
      indexDigest,
      isEmpty: facts.entries === 0,
    };
    this.#options.onDescribed(name, info);
    return info;
  }
}
