import { setImmediate as nextTurn } from 'node:timers/promises';
import type { DiffId, Digest } from '#oci/digest/index.ts';
import type { ContentStore } from '#store/content/types.ts';
import type { Database, Row } from '#store/metadata/index.ts';
import type { SnapshotStore } from '#store/snapshot/types.ts';
import { isBlobClaimed, isSnapshotClaimed, listUnclaimedBlobs } from './claims.ts';
import { deleteBlobRow, dropExpiredLeases, removeChainRows, removeLayerRow } from './reclaim.ts';
import type { GcReport } from './types.ts';

/** Rows looked at in one turn of the event loop. */
const WINDOW = 200;

interface Collection {
  readonly db: Database;
  readonly content: ContentStore;
  readonly snapshots: SnapshotStore;
  /** Only what was stored before this. */
  readonly before: number;
  readonly graceMs: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * One collection: snapshots, then layers without a snapshot, then blobs, then files without a row. Each step asks and
 * removes in one turn of the event loop, so nothing can be claimed in between; what is claimed later is young.
 */
export async function collect(collection: Collection): Promise<GcReport> {
  dropExpiredLeases(collection.db);
  const snapshots = await collectSnapshots(collection);
  await collectLayers(collection);
  const blobs = await collectBlobs(collection);
  for await (const digest of collection.content.listStrayFiles(collection.graceMs)) {
    collection.signal?.throwIfAborted();
    collection.content.dropFile(digest);
  }
  return { blobs: blobs.count, snapshots: snapshots.count, bytes: blobs.bytes + snapshots.bytes };
}

interface Freed {
  count: number;
  bytes: number;
}

async function collectSnapshots({ db, snapshots, before, signal }: Collection): Promise<Freed> {
  const freed: Freed = { count: 0, bytes: 0 };
  let after = 0;
  for (;;) {
    const rows = db.all(
      `SELECT s.id FROM snapshots s WHERE s.id > ? AND s.committed = 1 AND s.created_at < ?
         AND NOT EXISTS (SELECT 1 FROM snapshots c WHERE c.parent_id = s.id) ORDER BY s.id LIMIT ?`,
      after,
      before,
      WINDOW,
    );
    if (rows.length === 0) return freed;
    for (const row of rows) {
      after = Number(row['id']);
      removeUpwards(after);
    }
    await nextTurn();
    signal?.throwIfAborted();
  }

  /** A leaf that goes may have been the last reason for its parent. */
  function removeUpwards(leaf: number): void {
    for (let id: number | undefined = leaf; id !== undefined; ) {
      const row = db.get(
        'SELECT parent_id, size, created_at FROM snapshots WHERE id = ? AND committed = 1',
        id,
      );
      if (row === undefined || Number(row['created_at']) >= before || isSnapshotClaimed(db, id)) return;
      const names = db
        .all('SELECT name FROM snapshot_names WHERE snapshot_id = ?', id)
        .map((each) => String(each['name']));
      db.transaction(() => {
        for (const name of names) removeChainRows(db, name); // blobs that become unclaimed: collectBlobs finds them
      });
      for (const name of names) void snapshots.remove(name);
      freed.count++;
      freed.bytes += Number(row['size']);
      id = row['parent_id'] === null ? undefined : Number(row['parent_id']);
    }
  }
}

async function collectLayers({ db, before, signal }: Collection): Promise<void> {
  db.run(
    'DELETE FROM layer_chains WHERE NOT EXISTS (SELECT 1 FROM snapshot_names WHERE snapshot_names.name = layer_chains.chain_id)',
  );
  const rows = db.all(
    `SELECT diff_id FROM layers l WHERE created_at < ? AND NOT EXISTS (SELECT 1 FROM layer_chains c WHERE c.diff_id = l.diff_id)`,
    before,
  );
  for (const row of rows) {
    db.transaction(() => removeLayerRow(db, row['diff_id'] as DiffId));
    await nextTurn();
    signal?.throwIfAborted();
  }
}

async function collectBlobs({ db, content, before, signal }: Collection): Promise<Freed> {
  const freed: Freed = { count: 0, bytes: 0 };
  let after = '';
  for (;;) {
    const rows = listUnclaimedBlobs(db, after, before, WINDOW);
    after = String(rows.at(-1)?.['digest'] ?? after);
    const gone = db.transaction(() => {
      const garbage = rows.filter((row) => Number(row['garbage']) === 1 && !isBlobClaimed(db, digestIn(row)));
      for (const row of garbage) deleteBlobRow(db, digestIn(row));
      return garbage;
    });
    for (const row of gone) content.dropFile(digestIn(row));
    freed.count += gone.length;
    freed.bytes += gone.reduce((sum, row) => sum + Number(row['size']), 0);
    if (rows.length < WINDOW) return freed;
    await nextTurn();
    signal?.throwIfAborted();
  }
}

function digestIn(row: Row): Digest {
  return row['digest'] as Digest;
}
