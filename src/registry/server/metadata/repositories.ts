import type { Transaction } from 'kysely';
import type { SqlDatabase } from '#base/database/index.ts';
import type { Digest } from '#oci/digest/index.ts';
import type { Grace, RemovalLimit, RepositoryRecords, TagRemoval } from '../types.ts';
import { batchesOf, deleteManifestRows, dropContentIfUnused } from './manifests.ts';
import { condemn, findRepositoryId, type Rows } from './rows.ts';
import { NO_REPOSITORY, type RegistryTables } from './schema.ts';

const NOTHING: TagRemoval = { tags: [], manifests: [], freedBytes: 0 };

/** Whole repositories, and tags that go with what only they named, over SQL. */
export function createRepositoryRecords(
  database: SqlDatabase<RegistryTables>,
  grace: Grace,
): RepositoryRecords {
  return {
    async listRepositories({ last, limit }) {
      const found = await database.read
        .selectFrom('repositories')
        .select('name')
        .$if(last !== undefined, (query) => query.where('name', '>', last ?? ''))
        .orderBy('name')
        .limit(limit)
        .execute();
      return found.map((row) => row.name);
    },

    deleteRepository: (repository) =>
      database.write(async (rows) => {
        const id = await findRepositoryId(rows, repository);
        if (id === undefined) return false;
        await deleteRepositoryRows(rows, id, grace);
        return true;
      }),

    async previewRemoval(repository, tags, limit) {
      const id = await findRepositoryId(database.read, repository);
      return id === undefined ? NOTHING : planRemoval(database.read, id, tags, limit);
    },

    removeTags: (repository, tags, limit) =>
      database.write(async (rows) => {
        const id = await findRepositoryId(rows, repository);
        if (id === undefined) return NOTHING;
        const plan = await planRemoval(rows, id, tags, limit);
        for (const batch of batchesOf(plan.tags)) {
          await rows.deleteFrom('tags').where('repository_id', '=', id).where('name', 'in', batch).execute();
        }
        for (const digest of plan.manifests) await deleteManifestRows(rows, id, digest, grace);
        return plan;
      }),
  };
}

/** Links that go are queued as what no repository may have; the collector finds out which. */
async function deleteRepositoryRows(
  rows: Transaction<RegistryTables>,
  id: number,
  grace: Grace,
): Promise<void> {
  for (const table of ['tags', 'manifest_references', 'garbage'] as const) {
    await rows.deleteFrom(table).where('repository_id', '=', id).execute();
  }
  const manifests = await rows
    .deleteFrom('manifests')
    .where('repository_id', '=', id)
    .returning('digest')
    .execute();
  for (const { digest } of manifests) await dropContentIfUnused(rows, digest);
  const links = await rows
    .deleteFrom('repository_blobs')
    .where('repository_id', '=', id)
    .returning('digest')
    .execute();
  const dueAt = Date.now() + grace.deletedMs;
  for (const { digest } of links) await condemn(rows, NO_REPOSITORY, digest, dueAt);
  await rows.deleteFrom('repositories').where('id', '=', id).execute();
}

/** What goes with `tags`. Run in the transaction that removes it, it is what is removed. */
async function planRemoval(
  rows: Rows,
  id: number,
  tags: readonly string[],
  { pushedBefore }: RemovalLimit = {},
): Promise<TagRemoval> {
  const removed = new Map<string, string>();
  for (const batch of batchesOf([...new Set(tags)])) {
    const found = await rows
      .selectFrom('tags')
      .select(['name', 'digest'])
      .where('repository_id', '=', id)
      .where('name', 'in', batch)
      .$if(pushedBefore !== undefined, (query) =>
        query.where('updated_at', '<', pushedBefore?.getTime() ?? 0),
      )
      .execute();
    for (const row of found) removed.set(row.name, row.digest);
  }
  const dying = await findDying(rows, id, removed); // adds to `removed`
  return {
    tags: [...removed.keys()],
    manifests: [...dying] as Digest[],
    freedBytes: await countFreed(rows, id, dying),
  };
}

/**
 * Manifests that nothing names once `removed` is gone: those tags' own, then the platforms of an index that goes and the
 * signatures of an image that goes. Tags that only attach something to an image that goes are added to `removed`.
 */
async function findDying(rows: Rows, id: number, removed: Map<string, string>): Promise<ReadonlySet<string>> {
  const dying = new Set<string>();
  const hasOtherTag = async (digest: string): Promise<boolean> => {
    const named = await rows
      .selectFrom('tags')
      .select('name')
      .where('repository_id', '=', id)
      .where('digest', '=', digest)
      .execute();
    return named.some(({ name }) => !removed.has(name));
  };
  const hasLivingParent = async (digest: string): Promise<boolean> => {
    const parents = await rows
      .selectFrom('manifest_references')
      .select('manifest')
      .where('repository_id', '=', id)
      .where('target', '=', digest)
      .execute();
    return parents.some(({ manifest }) => !dying.has(manifest));
  };
  let candidates = new Set(removed.values());
  // A manifest may wait for its index to go first; what cannot go in one round may in the next.
  for (;;) {
    const waiting = new Set<string>();
    const before = dying.size;
    for (const digest of candidates) {
      if (dying.has(digest) || (await hasOtherTag(digest))) continue;
      if (await hasLivingParent(digest)) {
        waiting.add(digest);
        continue;
      }
      dying.add(digest);
      for (const next of await listFollowers(rows, id, digest)) waiting.add(next);
      for (const tag of await listAttachedTags(rows, id, digest)) {
        removed.set(tag.name, tag.digest);
        waiting.add(tag.digest);
      }
    }
    if (dying.size === before) return dying;
    candidates = waiting;
  }
}

/** Manifests an index lists, and manifests about this one. */
async function listFollowers(rows: Rows, id: number, digest: string): Promise<readonly string[]> {
  const children = await rows
    .selectFrom('manifest_references')
    .innerJoin('manifests', (join) =>
      join
        .onRef('manifests.repository_id', '=', 'manifest_references.repository_id')
        .onRef('manifests.digest', '=', 'manifest_references.target'),
    )
    .select('manifests.digest')
    .where('manifest_references.repository_id', '=', id)
    .where('manifest_references.manifest', '=', digest)
    .execute();
  const referrers = await rows
    .selectFrom('manifests')
    .select('digest')
    .where('repository_id', '=', id)
    .where('subject', '=', digest)
    .execute();
  return [...children, ...referrers].map((row) => row.digest);
}

/** Tags under which cosign attaches to an image: `sha256-<hex>.sig` and the like. */
async function listAttachedTags(rows: Rows, id: number, digest: string) {
  const name = digest.replace(':', '-');
  return rows
    .selectFrom('tags')
    .select(['name', 'digest'])
    .where('repository_id', '=', id)
    .where('name', 'in', [`${name}.sig`, `${name}.att`, `${name}.sbom`])
    .execute();
}

/** Bytes of the blobs that only `dying` manifests refer to and that no other repository has. */
async function countFreed(rows: Rows, id: number, dying: ReadonlySet<string>): Promise<number> {
  const targets = new Set<string>();
  for (const batch of batchesOf([...dying])) {
    const found = await rows
      .selectFrom('manifest_references')
      .select('target')
      .distinct()
      .where('repository_id', '=', id)
      .where('manifest', 'in', batch)
      .execute();
    for (const { target } of found) targets.add(target);
  }
  const freed: string[] = [];
  for (const target of targets) {
    const users = await rows
      .selectFrom('manifest_references')
      .select('manifest')
      .where('repository_id', '=', id)
      .where('target', '=', target)
      .execute();
    if (users.some(({ manifest }) => !dying.has(manifest))) continue;
    const elsewhere = await rows
      .selectFrom('repository_blobs')
      .select('repository_id')
      .where('digest', '=', target)
      .where('repository_id', '!=', id)
      .limit(1)
      .executeTakeFirst();
    if (elsewhere === undefined) freed.push(target);
  }
  let bytes = 0;
  for (const batch of batchesOf(freed)) {
    const sum = await rows
      .selectFrom('blobs')
      .select((select) => select.fn.sum<number>('size').as('bytes'))
      .where('digest', 'in', batch)
      .executeTakeFirst();
    bytes += Number(sum?.bytes ?? 0);
  }
  return bytes;
}
