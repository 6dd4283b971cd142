import type { Archives } from '#store/archive/types.ts';
import type { Changesets } from '#store/changeset/types.ts';
import type { ContentStore } from '#store/content/types.ts';
import type { LayerUnpacker } from '#store/image/index.ts';
import type { ImageStore } from '#store/image/types.ts';
import type { LeaseStore, Reclaimer } from '#store/lease/types.ts';
import type { Database, Durability } from '#store/metadata/index.ts';
import type { SnapshotStore } from '#store/snapshot/types.ts';

/** Everything durable on this host, open. One process at a time has a data root open. */
export interface Store {
  readonly root: string;
  readonly db: Database;
  readonly durability: Durability;
  readonly content: ContentStore;
  readonly leases: LeaseStore;
  readonly snapshots: SnapshotStore;
  readonly changesets: Changesets;
  readonly images: ImageStore;
  readonly layers: LayerUnpacker;
  readonly reclaimer: Reclaimer;
  readonly archives: Archives;
  /** Ends children and threads, closes the database, gives the lock back. Idempotent. */
  close(): Promise<void>;
}
