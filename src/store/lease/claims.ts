/** Who needs what: each question is a few look-ups by index, whatever the size of the store. */
import type { Database, Row } from '#store/metadata/index.ts';

const BLOB_IS_CLAIMED = `
  EXISTS (SELECT 1 FROM images WHERE images.id = b.digest)
  OR EXISTS (SELECT 1 FROM image_manifests WHERE image_manifests.digest = b.digest)
  OR EXISTS (SELECT 1 FROM layer_blobs WHERE layer_blobs.digest = b.digest)
  OR EXISTS (SELECT 1 FROM layers WHERE layers.index_digest = b.digest)
  OR EXISTS (SELECT 1 FROM lease_resources WHERE kind = 'blob' AND key = b.digest)`;

const NAME_IS_CLAIMED = `
  EXISTS (SELECT 1 FROM image_layers WHERE image_layers.chain_id = n.name)
  OR EXISTS (SELECT 1 FROM build_cache WHERE build_cache.snapshot_name = n.name)
  OR EXISTS (SELECT 1 FROM lease_resources WHERE kind = 'snapshot' AND key = n.name)
  OR EXISTS (SELECT 1 FROM layer_chains c JOIN lease_resources r ON r.kind = 'layer' AND r.key IN (c.diff_id, c.chain_id)
             WHERE c.chain_id = n.name)`;

/** Whether anything refers to a blob. */
export function isBlobClaimed(db: Database, digest: string): boolean {
  return db.get(`SELECT 1 FROM blobs b WHERE b.digest = ? AND (${BLOB_IS_CLAIMED})`, digest) !== undefined;
}

/** Whether a committed snapshot is below another one or has a name that somebody needs. */
export function isSnapshotClaimed(db: Database, id: number): boolean {
  return (
    db.get('SELECT 1 FROM snapshots WHERE parent_id = ? LIMIT 1', id) !== undefined ||
    db.get(`SELECT 1 FROM snapshot_names n WHERE n.snapshot_id = ? AND (${NAME_IS_CLAIMED}) LIMIT 1`, id) !==
      undefined
  );
}

/** The next `limit` blobs after `after`, those without a claim and from before `before`. */
export function listUnclaimedBlobs(
  db: Database,
  after: string,
  before: number,
  limit: number,
): readonly Row[] {
  return db.all(
    `SELECT digest, size, created_at < ? AND NOT (${BLOB_IS_CLAIMED}) AS garbage
     FROM (SELECT digest, size, created_at FROM blobs WHERE digest > ? ORDER BY digest LIMIT ?) b`,
    before,
    after,
    limit,
  );
}
