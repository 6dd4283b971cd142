/**
 * The schema of `state.db`.
 *
 *     blobs ─────────┐                    images ── image_layers ── layers ── layer_blobs ── blob_sources
 *     leases ── lease_resources           │  │ └─ repo_digests       │
 *     snapshots ── snapshot_names         │  └─── tags               └─ (index: a blob)
 *     containers   networks ── endpoints  └────── image_manifests (blobs)
 *     volumes      build_records ── build_cache ── build_positions
 *
 * A blob, layer or snapshot without a row does not exist; a row is written after its bytes are durable, or carries in
 * `unsynced_boot` the boot during which they were written: such a row is good until the machine goes down, and is
 * settled before anything that was acknowledged refers to it (docs/decisions/0003-durability-point.md).
 */

/** Applied in order; the position is the schema version. Never edit one that has been released. */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE blobs (
    digest TEXT PRIMARY KEY, size INTEGER NOT NULL, created_at INTEGER NOT NULL, unsynced_boot TEXT) WITHOUT ROWID;
  CREATE INDEX blobs_unsynced ON blobs (unsynced_boot) WHERE unsynced_boot IS NOT NULL;
  CREATE TABLE leases (id TEXT PRIMARY KEY, label TEXT NOT NULL DEFAULT '', created_at INTEGER NOT NULL, expires_at INTEGER) WITHOUT ROWID;
  CREATE TABLE lease_resources (
    lease_id TEXT NOT NULL REFERENCES leases(id) ON DELETE CASCADE, kind TEXT NOT NULL, key TEXT NOT NULL,
    PRIMARY KEY (lease_id, kind, key)) WITHOUT ROWID;
  CREATE INDEX lease_resources_by_key ON lease_resources (kind, key);
  CREATE TABLE snapshots (
    id INTEGER PRIMARY KEY AUTOINCREMENT, parent_id INTEGER REFERENCES snapshots(id), key TEXT UNIQUE,
    committed INTEGER NOT NULL DEFAULT 0, size INTEGER NOT NULL DEFAULT 0, created_at INTEGER NOT NULL,
    unsynced_boot TEXT);
  CREATE INDEX snapshots_unsynced ON snapshots (unsynced_boot) WHERE unsynced_boot IS NOT NULL;
  CREATE INDEX snapshots_by_parent ON snapshots (parent_id);
  CREATE TABLE snapshot_names (name TEXT PRIMARY KEY, snapshot_id INTEGER NOT NULL REFERENCES snapshots(id)) WITHOUT ROWID;
  CREATE INDEX snapshot_names_by_id ON snapshot_names (snapshot_id);

  CREATE TABLE layers (
    diff_id TEXT PRIMARY KEY, tar_size INTEGER NOT NULL, content_size INTEGER NOT NULL, index_digest TEXT NOT NULL,
    created_at INTEGER NOT NULL) WITHOUT ROWID;
  CREATE INDEX layers_by_index ON layers (index_digest);
  CREATE TABLE layer_chains (chain_id TEXT PRIMARY KEY, diff_id TEXT NOT NULL REFERENCES layers(diff_id)) WITHOUT ROWID;
  CREATE INDEX layer_chains_by_diff ON layer_chains (diff_id);
  CREATE TABLE layer_blobs (
    diff_id TEXT NOT NULL REFERENCES layers(diff_id) ON DELETE CASCADE, digest TEXT NOT NULL, media_type TEXT NOT NULL,
    size INTEGER NOT NULL, PRIMARY KEY (diff_id, digest)) WITHOUT ROWID;
  CREATE INDEX layer_blobs_by_digest ON layer_blobs (digest);
  CREATE TABLE blob_sources (
    digest TEXT NOT NULL, registry TEXT NOT NULL, repository TEXT NOT NULL, seen_at INTEGER NOT NULL,
    PRIMARY KEY (digest, registry, repository)) WITHOUT ROWID;

  CREATE TABLE images (
    id TEXT PRIMARY KEY, chain_id TEXT, size INTEGER NOT NULL, created_at INTEGER, added_at INTEGER NOT NULL, tagged_at INTEGER,
    parent_id TEXT) WITHOUT ROWID;
  CREATE INDEX images_by_parent ON images (parent_id);
  CREATE TABLE image_layers (
    image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE, position INTEGER NOT NULL, diff_id TEXT NOT NULL,
    chain_id TEXT NOT NULL, PRIMARY KEY (image_id, position)) WITHOUT ROWID;
  CREATE INDEX image_layers_by_diff ON image_layers (diff_id);
  CREATE INDEX image_layers_by_chain ON image_layers (chain_id);
  CREATE TABLE image_manifests (
    image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE, digest TEXT NOT NULL, media_type TEXT NOT NULL,
    size INTEGER NOT NULL, PRIMARY KEY (image_id, digest)) WITHOUT ROWID;
  CREATE INDEX image_manifests_by_digest ON image_manifests (digest);
  CREATE TABLE tags (
    registry TEXT NOT NULL, repository TEXT NOT NULL, tag TEXT NOT NULL, image_id TEXT NOT NULL REFERENCES images(id),
    tagged_at INTEGER NOT NULL, PRIMARY KEY (registry, repository, tag)) WITHOUT ROWID;
  CREATE INDEX tags_by_image ON tags (image_id);
  CREATE TABLE repo_digests (
    registry TEXT NOT NULL, repository TEXT NOT NULL, digest TEXT NOT NULL, image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,
    PRIMARY KEY (registry, repository, digest)) WITHOUT ROWID;
  CREATE INDEX repo_digests_by_image ON repo_digests (image_id);

  CREATE TABLE containers (
    id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, image_id TEXT, created_at INTEGER NOT NULL, document TEXT NOT NULL) WITHOUT ROWID;
  CREATE INDEX containers_by_image ON containers (image_id);
  CREATE TABLE networks (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created_at INTEGER NOT NULL, document TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE endpoints (
    network_id TEXT NOT NULL REFERENCES networks(id), container_id TEXT NOT NULL, address TEXT, document TEXT NOT NULL,
    PRIMARY KEY (network_id, container_id)) WITHOUT ROWID;
  CREATE TABLE volumes (name TEXT PRIMARY KEY, created_at INTEGER NOT NULL, document TEXT NOT NULL) WITHOUT ROWID;

  CREATE TABLE build_records (id TEXT PRIMARY KEY, created_at INTEGER NOT NULL, document TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE build_cache (
    cache_key TEXT PRIMARY KEY, snapshot_name TEXT NOT NULL, diff_id TEXT, size INTEGER NOT NULL, created_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL, record_id TEXT, document TEXT NOT NULL) WITHOUT ROWID;
  CREATE INDEX build_cache_by_use ON build_cache (used_at);
  CREATE INDEX build_cache_by_snapshot ON build_cache (snapshot_name);
  CREATE TABLE build_positions (
    position TEXT PRIMARY KEY, cache_key TEXT NOT NULL, used_at INTEGER NOT NULL) WITHOUT ROWID;
  CREATE INDEX build_positions_by_use ON build_positions (used_at);
  `,
];
