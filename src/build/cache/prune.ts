import { hasCode } from '#base/errors/index.ts';
import type { ChainId } from '#oci/digest/index.ts';
import type { LeaseStore, Reclaimer } from '#store/lease/types.ts';
import type { Database } from '#store/metadata/index.ts';
import type { SnapshotStore } from '#store/snapshot/types.ts';

/** A record as `system df` lists it. */
export interface CacheEntry {
  readonly id: string;
  readonly description: string;
  readonly sizeBytes: number;
  readonly createdAt: Date;
  readonly usedAt: Date;
  readonly inUse: boolean;
}

/** What to remove; see `Builder.pruneCache`. */
export interface PruneOptions {
  /** Also layers that an image shares, which frees the record only. */
  readonly all: boolean;
  /** Stop when what is left is no more than this. */
  readonly keepBytes?: number;
  /** Only records not used since. */
  readonly until?: Date;
}

/** A record that cannot be read is listed too, so that it can be removed with its snapshot. */
const LAYER_ROWS = `
  SELECT cache_key, snapshot_name, size, created_at, used_at,
    CASE WHEN json_valid(document) THEN json_extract(document, '$.name') ELSE 'a record that cannot be read' END AS name,
    EXISTS (SELECT 1 FROM snapshot_names n JOIN snapshot_names other ON other.snapshot_id = n.snapshot_id
            JOIN image_layers ON image_layers.chain_id = other.name WHERE n.name = build_cache.snapshot_name) AS shared
  FROM build_cache WHERE snapshot_name <> ''
    AND CASE WHEN json_valid(document) THEN json_extract(document, '$.kind') = 'layer' ELSE 1 END ORDER BY used_at`;

interface Candidate extends CacheEntry {
  readonly key: string;
  readonly snapshot: string;
  readonly isShared: boolean;
}

/** Every layer record, least recently used first. */
export function listEntries(db: Database, leases: Pick<LeaseStore, 'isLeased'>): readonly Candidate[] {
  return db.all(LAYER_ROWS).map((row) => {
    const snapshot = String(row['snapshot_name']);
    return {
      id: String(row['cache_key']).slice(0, 25),
      key: String(row['cache_key']),
      snapshot,
      description: String(row['name'] ?? ''),
      sizeBytes: Number(row['size']),
      createdAt: new Date(Number(row['created_at'])),
      usedAt: new Date(Number(row['used_at'])),
      inUse: leases.isLeased({ kind: 'snapshot', key: snapshot }),
      isShared: Number(row['shared']) === 1,
    };
  });
}

/** Removes records that nobody uses; `bytes` counts layers that no image shares. */
export async function pruneEntries(
  store: {
    readonly db: Database;
    readonly snapshots: Pick<SnapshotStore, 'remove'>;
    readonly leases: Pick<LeaseStore, 'isLeased'>;
    readonly reclaimer: Pick<Reclaimer, 'releaseChains'>;
  },
  options: PruneOptions,
): Promise<{ readonly ids: readonly string[]; readonly bytes: number }> {
  const { db, snapshots, leases, reclaimer } = store;
  const entries = listEntries(db, leases);
  let kept = entries.reduce((sum, entry) => sum + (entry.isShared ? 0 : entry.sizeBytes), 0);
  const removed: Candidate[] = [];
  for (const entry of entries) {
    if (options.keepBytes !== undefined && kept <= options.keepBytes) break;
    if (entry.inUse || (entry.isShared && !options.all)) continue;
    if (options.until !== undefined && entry.usedAt >= options.until) continue;
    removed.push(entry);
    if (!entry.isShared) kept -= entry.sizeBytes;
  }
  db.transaction(() => {
    for (const { key } of removed) {
      db.run('DELETE FROM build_cache WHERE cache_key = ?', key);
    }
    if (removed.length > 0) dropOrphans(db);
    if (options.all && options.keepBytes === undefined)
      dropConfigSteps(db, options.until ?? new Date(Date.now() + 1));
  });
  // A snapshot under another one stays until that one has gone: newest first, and gc finds the rest.
  for (const { snapshot } of removed.toSorted((a, b) => b.createdAt.getTime() - a.createdAt.getTime())) {
    const chains = chainsOf(db, snapshot);
    await snapshots.remove(snapshot).catch((error: unknown) => {
      if (!hasCode(error, 'failed_precondition')) throw error;
    });
    // An image that was removed before left its layer to the cache.
    for (const chain of chains) reclaimer.releaseChains([chain]);
  }
  return {
    ids: removed.map(({ id }) => id),
    bytes: removed.reduce((sum, entry) => sum + (entry.isShared ? 0 : entry.sizeBytes), 0),
  };
}

/** The layers that are the same tree as a snapshot of the cache. */
function chainsOf(db: Database, snapshot: string): readonly ChainId[] {
  return db
    .all(
      `SELECT layer_chains.chain_id FROM snapshot_names n
       JOIN snapshot_names other ON other.snapshot_id = n.snapshot_id
       JOIN layer_chains ON layer_chains.chain_id = other.name WHERE n.name = ?`,
      snapshot,
    )
    .map((row) => row['chain_id'] as ChainId);
}

/** When config steps were first made: small, but of no use without the layers around them. */
function dropConfigSteps(db: Database, until: Date): void {
  db.run("DELETE FROM build_cache WHERE snapshot_name = '' AND used_at < ?", until.getTime());
}

/** What nobody has asked for in a long time: names of steps, and config steps. */
export function dropForgotten(db: Database, until: Date): void {
  db.transaction(() => {
    db.run('DELETE FROM build_positions WHERE used_at < ?', until.getTime());
    dropConfigSteps(db, until);
  });
}

/** Other keys of records that are gone. */
function dropOrphans(db: Database): void {
  db.run(
    `DELETE FROM build_cache WHERE CASE WHEN json_valid(document) THEN json_extract(document, '$.kind') = 'alias'
       AND NOT EXISTS (SELECT 1 FROM build_cache other
                       WHERE other.cache_key = json_extract(build_cache.document, '$.key')) ELSE 0 END`,
  );
}
