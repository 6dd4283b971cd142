import { sql, type Transaction } from 'kysely';
import type { SqlDatabase } from '#base/database/index.ts';
import { CodedError } from '#base/errors/index.ts';
import type { Digest } from '#oci/digest/index.ts';
import type { Descriptor } from '#oci/manifest/index.ts';
import type { Grace, ManifestRecords, ManifestReference, NewManifest, Page } from '../types.ts';
import { condemn, ensureRepository, findRepositoryId, hasLink, type Rows } from './rows.ts';
import type { RegistryTables } from './schema.ts';

/** Values in one `IN (…)`: far below the limits of either database. */
const BATCH = 200;

/** Manifest and tag rows over SQL. */
export function createManifestRecords(database: SqlDatabase<RegistryTables>, grace: Grace): ManifestRecords {
  return {
    findManifest: (repository, reference) =>
      reference.includes(':')
        ? findByDigest(database.read, repository, reference)
        : findByTag(database.read, repository, reference),

    putManifest: (manifest) => database.write((rows) => putManifest(rows, manifest)),

    deleteManifest: (repository, digest) =>
      database.write(async (rows) => {
        const id = await findRepositoryId(rows, repository);
        return id !== undefined && (await deleteManifestRows(rows, id, digest, grace));
      }),

    deleteTag: (repository, tag) =>
      database.write(async (rows) => {
        const id = await findRepositoryId(rows, repository);
        if (id === undefined) return false;
        const deleted = await rows
          .deleteFrom('tags')
          .where('repository_id', '=', id)
          .where('name', '=', tag)
          .executeTakeFirst();
        return deleted.numDeletedRows > 0n;
      }),

    listTags: (repository, page) => listTags(database.read, repository, page),
    listReferrers: (repository, subject, page) => listReferrers(database.read, repository, subject, page),
  };
}

/** Drops a manifest's bytes when no repository has it any more. */
export async function dropContentIfUnused(rows: Rows, digest: string): Promise<void> {
  const elsewhere = await rows
    .selectFrom('manifests')
    .select('digest')
    .where('digest', '=', digest)
    .limit(1)
    .executeTakeFirst();
  if (elsewhere === undefined)
    await rows.deleteFrom('manifest_contents').where('digest', '=', digest).execute();
}

/** Removes a manifest with its tags and queues what only it referred to. */
export async function deleteManifestRows(
  rows: Transaction<RegistryTables>,
  repositoryId: number,
  digest: string,
  grace: Grace,
): Promise<boolean> {
  const deleted = await rows
    .deleteFrom('manifests')
    .where('repository_id', '=', repositoryId)
    .where('digest', '=', digest)
    .executeTakeFirst();
  if (deleted.numDeletedRows === 0n) return false;
  await rows
    .deleteFrom('tags')
    .where('repository_id', '=', repositoryId)
    .where('digest', '=', digest)
    .execute();
  const references = await rows
    .deleteFrom('manifest_references')
    .where('repository_id', '=', repositoryId)
    .where('manifest', '=', digest)
    .returning('target')
    .execute();
  const dueAt = Date.now() + grace.deletedMs;
  for (const { target } of references) {
    if (await hasReference(rows, repositoryId, target)) continue;
    if (await hasLink(rows, repositoryId, target)) await condemn(rows, repositoryId, target, dueAt);
  }
  await dropContentIfUnused(rows, digest);
  return true;
}

/** Whether a manifest of the repository refers to `target`. */
export async function hasReference(rows: Rows, repositoryId: number, target: string): Promise<boolean> {
  const row = await rows
    .selectFrom('manifest_references')
    .select('manifest')
    .where('repository_id', '=', repositoryId)
    .where('target', '=', target)
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

async function findByTag(rows: Rows, repository: string, tag: string) {
  const row = await rows
    .selectFrom('repositories')
    .innerJoin('tags', 'tags.repository_id', 'repositories.id')
    .innerJoin('manifests', (join) =>
      join
        .onRef('manifests.repository_id', '=', 'tags.repository_id')
        .onRef('manifests.digest', '=', 'tags.digest'),
    )
    .innerJoin('manifest_contents', 'manifest_contents.digest', 'manifests.digest')
    .select(['manifests.digest', 'manifests.media_type', 'manifest_contents.content'])
    .where('repositories.name', '=', repository)
    .where('tags.name', '=', tag)
    .executeTakeFirst();
  return row && { digest: row.digest as Digest, mediaType: row.media_type, bytes: row.content };
}

async function findByDigest(rows: Rows, repository: string, digest: string) {
  const row = await rows
    .selectFrom('repositories')
    .innerJoin('manifests', 'manifests.repository_id', 'repositories.id')
    .innerJoin('manifest_contents', 'manifest_contents.digest', 'manifests.digest')
    .select(['manifests.digest', 'manifests.media_type', 'manifest_contents.content'])
    .where('repositories.name', '=', repository)
    .where('manifests.digest', '=', digest)
    .executeTakeFirst();
  return row && { digest: row.digest as Digest, mediaType: row.media_type, bytes: row.content };
}

async function putManifest(rows: Transaction<RegistryTables>, manifest: NewManifest): Promise<void> {
  const id = await ensureRepository(rows, manifest.repository);
  await checkReferences(rows, id, manifest);
  await rows
    .insertInto('manifest_contents')
    .values({ digest: manifest.digest, content: manifest.bytes })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const annotations = manifest.annotations === undefined ? null : JSON.stringify(manifest.annotations);
  await rows
    .insertInto('manifests')
    .values({
      repository_id: id,
      digest: manifest.digest,
      media_type: manifest.mediaType,
      size: manifest.bytes.byteLength,
      content_size: manifest.contentSizeBytes,
      subject: manifest.subject ?? null,
      artifact_type: manifest.artifactType ?? null,
      annotations,
      pushed_by: manifest.pushedBy,
      created_at: Date.now(),
    })
    .onConflict((conflict) =>
      conflict.columns(['repository_id', 'digest']).doUpdateSet({ media_type: manifest.mediaType }),
    )
    .execute();
  await keepReferences(rows, id, manifest);
  for (const tag of manifest.tags) await moveTag(rows, id, tag, manifest);
}

/** What the manifest needs must be here with the size it says; what it merely names must, if it is here, agree. */
async function checkReferences(
  rows: Transaction<RegistryTables>,
  repositoryId: number,
  manifest: NewManifest,
): Promise<void> {
  const sizes = new Map<string, number>();
  for (const batch of batchesOf(manifest.references)) {
    const digests = batch.map((reference) => reference.digest);
    const blobs = await rows
      .selectFrom('repository_blobs')
      .innerJoin('blobs', 'blobs.digest', 'repository_blobs.digest')
      .select(['blobs.digest', 'blobs.size'])
      .where('repository_blobs.repository_id', '=', repositoryId)
      .where('repository_blobs.digest', 'in', digests)
      .execute();
    for (const row of blobs) sizes.set(`blob ${row.digest}`, Number(row.size));
    if (batch.every((reference) => reference.kind === 'blob')) continue;
    const manifests = await rows
      .selectFrom('manifests')
      .select(['digest', 'size'])
      .where('repository_id', '=', repositoryId)
      .where('digest', 'in', digests)
      .execute();
    for (const row of manifests) sizes.set(`manifest ${row.digest}`, Number(row.size));
  }
  for (const reference of manifest.references) {
    const size = sizes.get(`${reference.kind} ${reference.digest}`);
    if (size === undefined && reference.isRequired) throw missing(reference, manifest.repository);
    if (size !== undefined && size !== reference.sizeBytes) {
      throw new CodedError(
        'invalid_argument',
        `${reference.kind} ${reference.digest} has ${size} bytes, the manifest says ${reference.sizeBytes}`,
        { subject: { kind: 'size', name: reference.digest } },
      );
    }
  }
}

function missing(reference: ManifestReference, repository: string): CodedError {
  return new CodedError(
    'not_found',
    `${reference.kind} ${reference.digest} is not in repository "${repository}"`,
    {
      subject: { kind: 'manifest-blob', name: reference.digest },
      data: { detail: { digest: reference.digest } },
    },
  );
}

/** Remembers what the manifest refers to, which takes it out of the collector's queue in the same transaction. */
async function keepReferences(
  rows: Transaction<RegistryTables>,
  repositoryId: number,
  manifest: NewManifest,
): Promise<void> {
  const targets = [...new Set(manifest.references.map((reference) => reference.digest))];
  for (const batch of batchesOf(targets)) {
    await rows
      .insertInto('manifest_references')
      .values(batch.map((target) => ({ repository_id: repositoryId, manifest: manifest.digest, target })))
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    await rows
      .deleteFrom('garbage')
      .where('repository_id', '=', repositoryId)
      .where('digest', 'in', batch)
      .execute();
  }
}

async function moveTag(
  rows: Transaction<RegistryTables>,
  repositoryId: number,
  tag: string,
  manifest: NewManifest,
): Promise<void> {
  if (manifest.fixedTags.includes(tag)) {
    const known = await rows
      .selectFrom('tags')
      .select('digest')
      .where('repository_id', '=', repositoryId)
      .where('name', '=', tag)
      .executeTakeFirst();
    if (known !== undefined && known.digest !== manifest.digest) {
      throw new CodedError(
        'conflict',
        `tag "${tag}" exists in repository "${manifest.repository}" and must not be moved`,
        {
          subject: { kind: 'tag', name: tag },
          help: {
            id: 'push/immutable-tag',
            cause: `the tag names ${known.digest} and you may add tags here but not move them`,
            fix: ['push under a tag that is not in use yet'],
          },
        },
      );
    }
  }
  const updated = { digest: manifest.digest, updated_at: Date.now(), updated_by: manifest.pushedBy };
  await rows
    .insertInto('tags')
    .values({ repository_id: repositoryId, name: tag, ...updated })
    .onConflict((conflict) => conflict.columns(['repository_id', 'name']).doUpdateSet(updated))
    .execute();
}

async function listTags(
  rows: Rows,
  repository: string,
  { last, limit }: Page,
): Promise<readonly string[] | undefined> {
  const id = await findRepositoryId(rows, repository);
  if (id === undefined) return undefined;
  const found = await rows
    .selectFrom('tags')
    .select('name')
    .where('repository_id', '=', id)
    .$if(last !== undefined, (query) => query.where('name', '>', last ?? ''))
    .orderBy('name')
    .limit(limit)
    .execute();
  return found.map((row) => row.name);
}

async function listReferrers(
  rows: Rows,
  repository: string,
  subject: Digest,
  { last, limit, artifactType }: Page & { readonly artifactType?: string | undefined },
): Promise<readonly Descriptor[]> {
  const found = await rows
    .selectFrom('repositories')
    .innerJoin('manifests', 'manifests.repository_id', 'repositories.id')
    .select([
      'manifests.digest',
      'manifests.media_type',
      'manifests.size',
      'manifests.artifact_type',
      'manifests.annotations',
    ])
    .where('repositories.name', '=', repository)
    .where('manifests.subject', '=', subject)
    .$if(last !== undefined, (query) => query.where('manifests.digest', '>', last ?? ''))
    .$if(artifactType !== undefined, (query) =>
      query.where(sql<boolean>`manifests.artifact_type = ${artifactType ?? ''}`),
    )
    .orderBy('manifests.digest')
    .limit(limit)
    .execute();
  return found.map((row) => ({
    mediaType: row.media_type,
    digest: row.digest as Digest,
    size: Number(row.size),
    ...(row.artifact_type === null ? {} : { artifactType: row.artifact_type }),
    ...(row.annotations === null
      ? {}
      : { annotations: JSON.parse(row.annotations) as Record<string, string> }),
  }));
}

/** Pieces for one `IN (…)` each. */
export function* batchesOf<T>(values: readonly T[]): Generator<readonly T[]> {
  for (let start = 0; start < values.length; start += BATCH) yield values.slice(start, start + BATCH);
}
