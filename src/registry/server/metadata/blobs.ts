import type { Transaction } from 'kysely';
import type { SqlDatabase } from '#base/database/index.ts';
import type { Digest } from '#oci/digest/index.ts';
import type { BlobLocation, BlobRecords, Grace, NewBlob, StoredBlob } from '../types.ts';
import { condemn, ensureRepository, findRepositoryId, hasLink, type Rows } from './rows.ts';
import { NO_REPOSITORY, type RegistryTables } from './schema.ts';

/** Blob rows over SQL. */
export function createBlobRecords(database: SqlDatabase<RegistryTables>, grace: Grace): BlobRecords {
  return {
    findBlob: (repository, digest) => findBlob(database.read, repository, digest),

    renewBlob: (repository, digest) =>
      database.writeSoon(async (rows) => {
        const id = await findRepositoryId(rows, repository);
        if (id === undefined) return false;
        await rows
          .updateTable('garbage')
          .set({ due_at: Date.now() + grace.unreferencedMs })
          .where('repository_id', '=', id)
          .where('digest', '=', digest)
          .execute();
        return await hasLink(rows, id, digest);
      }),

    addBlob: (blob, isIntact) => database.write((rows) => addBlob(rows, blob, isIntact, grace)),

    mountBlob: ({ digest, from, to }) =>
      database.write(async (rows) => {
        const source = await findBlob(rows, from, digest);
        if (source === undefined) return false;
        await linkBlob(rows, to, digest, grace);
        return true;
      }),

    async listBlobRepositories(digest, limit) {
      const found = await database.read
        .selectFrom('repository_blobs')
        .innerJoin('repositories', 'repositories.id', 'repository_blobs.repository_id')
        .select('repositories.name')
        .where('repository_blobs.digest', '=', digest)
        .limit(limit)
        .execute();
      return found.map((row) => row.name);
    },

    deleteBlob: (repository, digest) =>
      database.write(async (rows) => {
        const id = await findRepositoryId(rows, repository);
        if (id === undefined) return false;
        const deleted = await rows
          .deleteFrom('repository_blobs')
          .where('repository_id', '=', id)
          .where('digest', '=', digest)
          .executeTakeFirst();
        if (deleted.numDeletedRows === 0n) return false;
        await rows
          .deleteFrom('garbage')
          .where('repository_id', '=', id)
          .where('digest', '=', digest)
          .execute();
        await condemnIfUnlinked(rows, digest, Date.now() + grace.deletedMs);
        return true;
      }),
  };
}

/** Queues the blob itself when no repository has it any more. */
export async function condemnIfUnlinked(rows: Rows, digest: string, dueAt: number): Promise<void> {
  const link = await rows
    .selectFrom('repository_blobs')
    .select('repository_id')
    .where('digest', '=', digest)
    .limit(1)
    .executeTakeFirst();
  if (link === undefined) await condemn(rows, NO_REPOSITORY, digest, dueAt);
}

async function findBlob(rows: Rows, repository: string, digest: Digest): Promise<StoredBlob | undefined> {
  const row = await rows
    .selectFrom('repositories')
    .innerJoin('repository_blobs', 'repository_blobs.repository_id', 'repositories.id')
    .innerJoin('blobs', 'blobs.digest', 'repository_blobs.digest')
    .leftJoin('garbage', (join) =>
      join
        .onRef('garbage.repository_id', '=', 'repositories.id')
        .onRef('garbage.digest', '=', 'repository_blobs.digest'),
    )
    .select(['blobs.size', 'blobs.storage_key', 'blobs.content', 'garbage.due_at'])
    .where('repositories.name', '=', repository)
    .where('repository_blobs.digest', '=', digest)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  return {
    digest,
    sizeBytes: Number(row.size),
    location: locationOf(row),
    isUnreferenced: row.due_at !== null,
  };
}

function locationOf(row: { storage_key: string | null; content: Uint8Array | null }): BlobLocation {
  return row.storage_key === null ? { content: row.content ?? new Uint8Array() } : { key: row.storage_key };
}

async function addBlob(
  rows: Transaction<RegistryTables>,
  blob: NewBlob,
  isIntact: (location: BlobLocation) => Promise<boolean>,
  grace: Grace,
): Promise<{ isKept: boolean }> {
  const key = 'key' in blob.location ? blob.location.key : null;
  const content = 'content' in blob.location ? blob.location.content : null;
  const known = await rows
    .selectFrom('blobs')
    .select(['storage_key', 'content'])
    .where('digest', '=', blob.digest)
    .executeTakeFirst();
  let isKept = true;
  if (known === undefined) {
    await rows
      .insertInto('blobs')
      .values({
        digest: blob.digest,
        size: blob.sizeBytes,
        storage_key: key,
        content,
        created_at: Date.now(),
      })
      .execute();
  } else if (await isIntact(locationOf(known))) {
    isKept = false;
  } else {
    // The file of the known row is gone or short: the new copy heals every repository that has the blob.
    await rows
      .updateTable('blobs')
      .set({ storage_key: key, content })
      .where('digest', '=', blob.digest)
      .execute();
  }
  await linkBlob(rows, blob.repository, blob.digest, grace);
  if (blob.uploadId !== undefined) {
    await rows.deleteFrom('uploads').where('id', '=', blob.uploadId).execute();
  }
  return { isKept };
}

async function linkBlob(
  rows: Transaction<RegistryTables>,
  repository: string,
  digest: string,
  grace: Grace,
): Promise<void> {
  const id = await ensureRepository(rows, repository);
  const now = Date.now();
  const linked = await rows
    .insertInto('repository_blobs')
    .values({ repository_id: id, digest, created_at: now })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst();
  if (linked.numInsertedOrUpdatedRows === 0n) {
    // Linked before: if it is queued, its grace begins again; if a manifest refers to it, it is not queued.
    await rows
      .updateTable('garbage')
      .set({ due_at: now + grace.unreferencedMs })
      .where('repository_id', '=', id)
      .where('digest', '=', digest)
      .execute();
    return;
  }
  await rows
    .deleteFrom('garbage')
    .where('repository_id', '=', NO_REPOSITORY)
    .where('digest', '=', digest)
    .execute();
  await condemn(rows, id, digest, now + grace.unreferencedMs);
}
