/**
 * The registry's tables. A blob exists for a repository when `repository_blobs` says so, and only then.
 *
 *     repositories ─┬─ repository_blobs ──────── blobs          (content here when small, else storage_key)
 *                   │                                  └─ layer_lists   (the files in a layer, or why they cannot be listed)
 *                   ├─ manifests ── manifest_contents
 *                   │     ├─ manifest_references  (what it points at: kept from the collector)
 *                   │     └─ tags
 *                   └─ garbage                    (what nothing points at, and when it goes; repository 0: the blob itself)
 *     uploads                                     doomed_keys   (files without a row, and when they go)
 */
import type { Generated } from 'kysely';
import type { Migrations } from '#base/database/index.ts';

/** Rows as Kysely sees them; times are milliseconds since 1970. The hub's pages read these too. */
export interface RegistryTables {
  repositories: { id: Generated<number>; name: string; created_at: number };
  blobs: {
    digest: string;
    size: number;
    storage_key: string | null;
    content: Uint8Array | null;
    created_at: number;
  };
  repository_blobs: { repository_id: number; digest: string; created_at: number };
  manifest_contents: { digest: string; content: Uint8Array };
  manifests: {
    repository_id: number;
    digest: string;
    media_type: string;
    size: number;
    content_size: number;
    subject: string | null;
    artifact_type: string | null;
    annotations: string | null;
    pushed_by: string;
    created_at: number;
  };
  manifest_references: { repository_id: number; manifest: string; target: string };
  tags: { repository_id: number; name: string; digest: string; updated_at: number; updated_by: string };
  uploads: { id: string; repository: string; subject: string; algorithm: string; touched_at: number };
  garbage: { repository_id: number; digest: string; due_at: number };
  doomed_keys: { storage_key: string; due_at: number };
  layer_lists: {
    digest: string;
    storage_key: string | null;
    size: number;
    failure: string | null;
    created_at: number;
  };
}

/** `repository_id` in `garbage` that means the blob itself. */
export const NO_REPOSITORY = 0;

/** Steps of the registry's schema. */
export const REGISTRY_MIGRATIONS: Migrations = {
  component: 'registry',
  steps: [
    `
    CREATE TABLE repositories (id {identity}, name TEXT NOT NULL UNIQUE, created_at BIGINT NOT NULL);
    CREATE TABLE blobs (digest TEXT NOT NULL UNIQUE, size BIGINT NOT NULL, storage_key TEXT, content {bytes}, created_at BIGINT NOT NULL);
    CREATE TABLE repository_blobs (
      repository_id BIGINT NOT NULL, digest TEXT NOT NULL, created_at BIGINT NOT NULL, PRIMARY KEY (repository_id, digest)) {clustered};
    CREATE INDEX repository_blobs_by_digest ON repository_blobs (digest);
    CREATE TABLE manifest_contents (digest TEXT NOT NULL UNIQUE, content {bytes} NOT NULL);
    CREATE TABLE manifests (
      repository_id BIGINT NOT NULL, digest TEXT NOT NULL, media_type TEXT NOT NULL, size BIGINT NOT NULL, content_size BIGINT NOT NULL,
      subject TEXT, artifact_type TEXT, annotations TEXT, pushed_by TEXT NOT NULL, created_at BIGINT NOT NULL,
      PRIMARY KEY (repository_id, digest));
    CREATE INDEX manifests_by_subject ON manifests (repository_id, subject, digest);
    CREATE INDEX manifests_by_digest ON manifests (digest);
    CREATE TABLE manifest_references (
      repository_id BIGINT NOT NULL, manifest TEXT NOT NULL, target TEXT NOT NULL,
      PRIMARY KEY (repository_id, manifest, target)) {clustered};
    CREATE INDEX manifest_references_by_target ON manifest_references (repository_id, target);
    CREATE TABLE tags (
      repository_id BIGINT NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL, updated_at BIGINT NOT NULL, updated_by TEXT NOT NULL,
      PRIMARY KEY (repository_id, name)) {clustered};
    CREATE INDEX tags_by_digest ON tags (repository_id, digest);
    CREATE TABLE uploads (
      id TEXT NOT NULL PRIMARY KEY, repository TEXT NOT NULL, subject TEXT NOT NULL, algorithm TEXT NOT NULL, touched_at BIGINT NOT NULL) {clustered};
    CREATE INDEX uploads_by_touch ON uploads (touched_at);
    CREATE TABLE garbage (
      repository_id BIGINT NOT NULL, digest TEXT NOT NULL, due_at BIGINT NOT NULL, PRIMARY KEY (repository_id, digest)) {clustered};
    CREATE INDEX garbage_by_due ON garbage (due_at);
    CREATE TABLE doomed_keys (storage_key TEXT NOT NULL PRIMARY KEY, due_at BIGINT NOT NULL) {clustered};
    CREATE INDEX doomed_keys_by_due ON doomed_keys (due_at);
    `,
    `
    CREATE TABLE layer_lists (
      digest TEXT NOT NULL PRIMARY KEY REFERENCES blobs (digest), storage_key TEXT, size BIGINT NOT NULL, failure TEXT,
      created_at BIGINT NOT NULL) {clustered};
    `,
    `
    CREATE INDEX tags_by_update ON tags (repository_id, updated_at, name);
    `,
  ],
};
