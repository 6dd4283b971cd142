import type { ChainId, DiffId, Digest } from '#oci/digest/index.ts';
import type { ContentStore } from '#store/content/types.ts';
import type { Database } from '#store/metadata/index.ts';
import type { SnapshotStore } from '#store/snapshot/types.ts';
import { isBlobClaimed, isSnapshotClaimed } from './claims.ts';
import type { GcReport, Reclaimer } from './types.ts';

/** What the reclaimer works on. */
export interface ReclaimerOptions {
  readonly db: Database;
  readonly content: Pick<ContentStore, 'dropFile'>;
  readonly snapshots: Pick<SnapshotStore, 'remove'>;
}

/** Makes the reclaimer. It runs between two turns of the event loop: nobody sees a half removed chain. */
export function createReclaimer({ db, content, snapshots }: ReclaimerOptions): Reclaimer {
  function releaseChains(chainIds: readonly ChainId[]): readonly ChainId[] {
    dropExpiredLeases(db);
    return db.transaction(() => {
      const released: ChainId[] = [];
      for (const chainId of chainIds) {
        if (!releaseChain(chainId)) break;
        released.push(chainId);
      }
      return released;
    });
  }

  function releaseChain(chainId: ChainId): boolean {
    const row = db.get('SELECT snapshot_id FROM snapshot_names WHERE name = ?', chainId);
    const id = Number(row?.['snapshot_id'] ?? 0);
    const isNeeded = db.get('SELECT 1 FROM image_layers WHERE chain_id = ? LIMIT 1', chainId) !== undefined;
    if (isNeeded || isSnapshotClaimed(db, id) || hasOtherName(id, chainId)) return false;
    const orphans = removeChainRows(db, chainId);
    // A crash here leaves a snapshot that nobody claims: the collector takes it.
    void snapshots.remove(chainId);
    releaseBlobs(orphans);
    return true;
  }

  /** A build that is running knows its snapshot by a name of its own: leave that to the collector and its grace. */
  function hasOtherName(id: number, chainId: ChainId): boolean {
    return (
      db.get('SELECT 1 FROM snapshot_names WHERE snapshot_id = ? AND name <> ? LIMIT 1', id, chainId) !==
      undefined
    );
  }

  function releaseBlobs(digests: readonly Digest[]): GcReport {
    const gone = db.transaction(() =>
      digests
        .filter((digest) => !isBlobClaimed(db, digest))
        .map((digest) => ({ digest, bytes: deleteBlobRow(db, digest) })),
    );
    for (const { digest } of gone) content.dropFile(digest); // when the rows are gone for good
    const freed = gone.filter(({ bytes }) => bytes !== undefined);
    return { blobs: freed.length, snapshots: 0, bytes: freed.reduce((sum, { bytes = 0 }) => sum + bytes, 0) };
  }

  return { releaseChains, releaseBlobs };
}

/** Forgets a chain, and its layer with the last chain; returns blobs that may now be unclaimed. Inside a transaction. */
export function removeChainRows(db: Database, chainId: string): readonly Digest[] {
  const diffId = db.get('SELECT diff_id FROM layer_chains WHERE chain_id = ?', chainId)?.['diff_id'];
  db.run('DELETE FROM layer_chains WHERE chain_id = ?', chainId);
  return typeof diffId === 'string' ? removeLayerRow(db, diffId as DiffId) : [];
}

/** Forgets a layer that is in no chain; returns blobs that may now be unclaimed. Inside a transaction. */
export function removeLayerRow(db: Database, diffId: DiffId): readonly Digest[] {
  if (db.get('SELECT 1 FROM layer_chains WHERE diff_id = ? LIMIT 1', diffId) !== undefined) return [];
  const blobs = db
    .all('SELECT digest FROM layer_blobs WHERE diff_id = ?', diffId)
    .map((row) => row['digest'] as Digest);
  const index = db.get('SELECT index_digest FROM layers WHERE diff_id = ?', diffId)?.['index_digest'];
  db.run('DELETE FROM layers WHERE diff_id = ?', diffId);
  return typeof index === 'string' ? [...blobs, index as Digest] : blobs;
}

/** Deletes the row of a blob; its size, or `undefined` when there was none. */
export function deleteBlobRow(db: Database, digest: Digest): number | undefined {
  const row = db.get('DELETE FROM blobs WHERE digest = ? RETURNING size', digest);
  return row === undefined ? undefined : Number(row['size']);
}

/** Leases whose time is over. */
export function dropExpiredLeases(db: Database): void {
  db.runSoon('DELETE FROM leases WHERE expires_at < ?', Date.now());
}
