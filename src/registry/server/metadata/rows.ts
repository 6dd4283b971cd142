import type { Kysely, Transaction } from 'kysely';
import type { RegistryTables } from './schema.ts';

/** A place to run queries: outside or inside a transaction. */
export type Rows = Kysely<RegistryTables> | Transaction<RegistryTables>;

/** The id of a repository that exists. */
export async function findRepositoryId(rows: Rows, name: string): Promise<number | undefined> {
  const row = await rows.selectFrom('repositories').select('id').where('name', '=', name).executeTakeFirst();
  return row === undefined ? undefined : Number(row.id);
}

/** The id of a repository, which is created by its first content. */
export async function ensureRepository(rows: Transaction<RegistryTables>, name: string): Promise<number> {
  const id = await findRepositoryId(rows, name);
  if (id !== undefined) return id;
  await rows
    .insertInto('repositories')
    .values({ name, created_at: Date.now() })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const created = await findRepositoryId(rows, name);
  if (created === undefined) throw new Error(`repository ${name} was not created`);
  return created;
}

/** Queues something for the collector; an earlier date that is queued already is replaced. */
export async function condemn(
  rows: Rows,
  repositoryId: number,
  digest: string,
  dueAt: number,
): Promise<void> {
  await rows
    .insertInto('garbage')
    .values({ repository_id: repositoryId, digest, due_at: dueAt })
    .onConflict((conflict) => conflict.columns(['repository_id', 'digest']).doUpdateSet({ due_at: dueAt }))
    .execute();
}

/** Whether the repository has the blob. */
export async function hasLink(rows: Rows, repositoryId: number, digest: string): Promise<boolean> {
  const row = await rows
    .selectFrom('repository_blobs')
    .select('digest')
    .where('repository_id', '=', repositoryId)
    .where('digest', '=', digest)
    .executeTakeFirst();
  return row !== undefined;
}
