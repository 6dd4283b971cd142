/**
 * What the hub knows of a repository beyond its bytes. A repository exists here from the moment it is created on the page
 * or first pushed; `pulls` and the times of the last pull are counted in batches.
 *
 *     repository_settings (name)      tag_pulls (repository, tag)
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
  };
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
  ],
};
