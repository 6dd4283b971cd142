import type { Transaction } from 'kysely';
import type { SqlDatabase } from '#base/database/index.ts';
import type { GarbageRecords, Grace } from '../types.ts';
import { condemnIfUnlinked } from './blobs.ts';
import { hasReference } from './manifests.ts';
import { NO_REPOSITORY, type RegistryTables } from './schema.ts';

/**
 * The collector's queue over SQL. Each step is one short transaction, and what it decides is decided in it: a push that
 * links or refers to a blob takes it out of the queue in its own transaction, so one of the two comes first.
 */
export function createGarbageRecords(database: SqlDatabase<RegistryTables>, grace: Grace): GarbageRecords {
  return {
    async sweep(now, limit) {
      const due = await database.read
        .selectFrom('garbage')
        .select(['repository_id', 'digest'])
        .where('due_at', '<=', now.getTime())
        .orderBy('due_at')
        .limit(limit)
        .execute();
      let removed = 0;
      for (const entry of due) {
        const isRemoved = await database.writeSoon(async (rows) => {
          const taken = await rows
            .deleteFrom('garbage')
            .where('repository_id', '=', entry.repository_id)
            .where('digest', '=', entry.digest)
            .where('due_at', '<=', now.getTime())
            .executeTakeFirst();
          if (taken.numDeletedRows === 0n) return false;
          return entry.repository_id === NO_REPOSITORY
            ? removeBlob(rows, entry.digest, now, grace)
            : unlink(rows, entry.repository_id, entry.digest, now, grace);
        });
        if (isRemoved) removed++;
      }
      if (due.length > 0) await database.flush();
      return { examined: due.length, removed };
    },

    async listDoomedKeys(now, limit) {
      const found = await database.read
        .selectFrom('doomed_keys')
        .select('storage_key')
        .where('due_at', '<=', now.getTime())
        .orderBy('due_at')
        .limit(limit)
        .execute();
      return found.map((row) => row.storage_key);
    },

    async forgetKeys(keys) {
      if (keys.length === 0) return;
      await database.writeSoon((rows) =>
        rows.deleteFrom('doomed_keys').where('storage_key', 'in', keys).execute(),
      );
    },
  };
}

/** Takes an unreferenced blob out of a repository. */
async function unlink(
  rows: Transaction<RegistryTables>,
  repositoryId: number,
  digest: string,
  now: Date,
  grace: Grace,
): Promise<boolean> {
  if (await hasReference(rows, repositoryId, digest)) return false;
  await rows
    .deleteFrom('repository_blobs')
    .where('repository_id', '=', repositoryId)
    .where('digest', '=', digest)
    .execute();
  await condemnIfUnlinked(rows, digest, now.getTime() + grace.deletedMs);
  return false;
}

/** Removes a blob that no repository has; its file goes later, by its key, which no other blob will ever have. */
async function removeBlob(
  rows: Transaction<RegistryTables>,
  digest: string,
  now: Date,
  grace: Grace,
): Promise<boolean> {
  const link = await rows
    .selectFrom('repository_blobs')
    .select('repository_id')
    .where('digest', '=', digest)
    .limit(1)
    .executeTakeFirst();
  if (link !== undefined) return false;
  const due_at = now.getTime() + grace.fileMs;
  for (const table of ['layer_lists', 'blobs'] as const) {
    const gone = await rows
      .deleteFrom(table)
      .where('digest', '=', digest)
      .returning('storage_key')
      .executeTakeFirst();
    const storage_key = gone?.storage_key;
    if (storage_key !== null && storage_key !== undefined) {
      await rows
        .insertInto('doomed_keys')
        .values({ storage_key, due_at })
        .onConflict((conflict) => conflict.doNothing())
        .execute();
    }
    if (table === 'blobs') return gone !== undefined;
  }
  return false;
}
