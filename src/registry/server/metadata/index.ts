/** `RegistryMetadata` over SQL. */
import { openSqliteDatabase, type SqlDatabase } from '#base/database/index.ts';
import type { DigestAlgorithm } from '#oci/digest/index.ts';
import type { Grace, RegistryMetadata, UploadRecords } from '../types.ts';
import { createBlobRecords } from './blobs.ts';
import { createGarbageRecords } from './garbage.ts';
import { createManifestRecords } from './manifests.ts';
import { createRepositoryRecords } from './repositories.ts';
import { REGISTRY_MIGRATIONS, type RegistryTables } from './schema.ts';

export { REGISTRY_MIGRATIONS, type RegistryTables } from './schema.ts';

const HOUR = 60 * 60 * 1000;

/** What holds unless the operator says otherwise. */
export const DEFAULT_GRACE: Grace = {
  unreferencedMs: 24 * HOUR,
  deletedMs: HOUR,
  fileMs: 10 * 60 * 1000,
};

/** Makes the registry's records over an open database that has `REGISTRY_MIGRATIONS`. */
export function createSqlMetadata(
  database: SqlDatabase<RegistryTables>,
  grace: Grace = DEFAULT_GRACE,
): RegistryMetadata {
  return {
    ...createBlobRecords(database, grace),
    ...createManifestRecords(database, grace),
    ...createRepositoryRecords(database, grace),
    ...createGarbageRecords(database, grace),
    ...createUploadRecords(database),
    isShared: database.shared,
    refresh: () => {},
    flush: () => database.flush(),
  };
}

/** Opens `path` with the registry's tables; other components `open` theirs in it. */
export function openRegistryDatabase(path: string): SqlDatabase<RegistryTables> {
  return openSqliteDatabase<RegistryTables>(path, REGISTRY_MIGRATIONS);
}

function createUploadRecords(database: SqlDatabase<RegistryTables>): UploadRecords {
  return {
    async saveUpload({ id, repository, subject, algorithm }) {
      const touched_at = Date.now();
      await database.writeSoon((rows) =>
        rows
          .insertInto('uploads')
          .values({ id, repository, subject, algorithm, touched_at })
          .onConflict((conflict) => conflict.column('id').doUpdateSet({ touched_at }))
          .execute(),
      );
    },
    async findUpload(id) {
      const row = await database.read
        .selectFrom('uploads')
        .select(['id', 'repository', 'subject', 'algorithm'])
        .where('id', '=', id)
        .executeTakeFirst();
      return row && { ...row, algorithm: row.algorithm as DigestAlgorithm };
    },
    async deleteUpload(id) {
      await database.writeSoon((rows) => rows.deleteFrom('uploads').where('id', '=', id).execute());
    },
    async listIdleUploads(before, limit) {
      const found = await database.read
        .selectFrom('uploads')
        .select('id')
        .where('touched_at', '<', before.getTime())
        .orderBy('touched_at')
        .limit(limit)
        .execute();
      return found.map((row) => row.id);
    },
  };
}
