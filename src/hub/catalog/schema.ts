/**
 * What the hub knows of a repository beyond its bytes. A repository exists here from the moment it is created on the page
 * or first pushed; `pulls` and the times of the last pull are counted in batches.
 *
 *     repository_settings (name) ─┬─ tag_pulls (repository, tag)
 *                                 └─ repository_stars (repository, account_id)
 *     manifest_facts (repository_id, digest)    what the list of tags shows of a manifest; a missing row is made again
 */
import type { Migrations } from '#base/database/index.ts';

/** Rows as Kysely sees them; times are milliseconds since 1970. */
export interface CatalogTables {
  repository_settings: {
    name: string;
    namespace: string;
    visibility: string;
    description: string;
    readme: string;
    tag_mutability: string;
    created_at: number;
    created_by: string;
    pulls: number;
    /** JSON: patterns of tags. */
    immutable_patterns: string;
    /** JSON: names. */
    categories: string;
    /** JSON of a `RetentionPolicy`; `null` where no tag goes by itself. */
    retention: string | null;
    retention_ran_at: number | null;
    retention_removed: number;
  };
  repository_stars: { repository: string; account_id: number };
  manifest_facts: { repository_id: number; digest: string; platforms: string; size: number };
  tag_pulls: { repository: string; tag: string; pulled_at: number };
}

/** Steps of the catalog's schema. */
export const CATALOG_MIGRATIONS: Migrations = {
  component: 'catalog',
  steps: [
    `
    CREATE TABLE repository_settings (
      name TEXT NOT NULL PRIMARY KEY, namespace TEXT NOT NULL, visibility TEXT NOT NULL, description TEXT NOT NULL, readme TEXT NOT NULL,
      tag_mutability TEXT NOT NULL, created_at BIGINT NOT NULL, created_by TEXT NOT NULL, pulls BIGINT NOT NULL) {clustered};
    CREATE INDEX repository_settings_by_namespace ON repository_settings (namespace, name);
    CREATE TABLE tag_pulls (
      repository TEXT NOT NULL, tag TEXT NOT NULL, pulled_at BIGINT NOT NULL, PRIMARY KEY (repository, tag)) {clustered};
    `,
    `
    ALTER TABLE repository_settings ADD COLUMN immutable_patterns TEXT NOT NULL DEFAULT '[]';
    ALTER TABLE repository_settings ADD COLUMN categories TEXT NOT NULL DEFAULT '[]';
    ALTER TABLE repository_settings ADD COLUMN retention TEXT;
    ALTER TABLE repository_settings ADD COLUMN retention_ran_at BIGINT;
    ALTER TABLE repository_settings ADD COLUMN retention_removed BIGINT NOT NULL DEFAULT 0;
    CREATE TABLE repository_stars (
      repository TEXT NOT NULL, account_id BIGINT NOT NULL, PRIMARY KEY (repository, account_id)) {clustered};
    CREATE TABLE manifest_facts (
      repository_id BIGINT NOT NULL, digest TEXT NOT NULL, platforms TEXT NOT NULL, size BIGINT NOT NULL,
      PRIMARY KEY (repository_id, digest)) {clustered};
    `,
  ],
};
