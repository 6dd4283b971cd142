import { type Selectable, sql } from 'kysely';
import type { SqlDatabase } from '#base/database/index.ts';
import { CodedError } from '#base/errors/index.ts';
import type { TagOrder, TagPage, TagSummary } from '#hub/protocol/index.ts';
import type { Digest } from '#oci/digest/index.ts';
import type { RegistryTables } from '#registry/server/index.ts';
import { isFixed, type RepositoryRules } from './policy.ts';
import type { CatalogTables } from './schema.ts';

const PAGE_DEFAULT = 50;
const PAGE_MAX = 1000;
/** Manifests described before what is known of them is written. */
const BATCH = 100;

/** Types of artifacts that sign what they refer to. */
const SIGNATURE = /cosign|notary|signature|sigstore/i;

/** What the list shows of a manifest. */
export interface ManifestFacts {
  readonly platforms: readonly string[];
  /** Compressed bytes of config and layers of the first platform. */
  readonly sizeBytes: number;
}

/** What `TagCatalog` reads of others. */
export interface TagSources {
  readonly db: SqlDatabase<unknown>;
  /** Reads a manifest and its config. @throws {CodedError} `not_found`. */
  describe(repository: string, digest: Digest): Promise<ManifestFacts>;
  /** When a tag was last pulled, if no row says so yet. */
  pendingPull(repository: string, tag: string, digest: string): number | undefined;
}

/** A page of tags to be listed. */
export interface TagQuery {
  /** Part of the name. */
  readonly text?: string | undefined;
  readonly order: TagOrder;
  readonly limit?: number | undefined;
  readonly cursor?: string | undefined;
}

/** A tag with the times that rules ask for. */
export interface TagTimes {
  readonly name: string;
  readonly pushedAt: number;
  readonly pulledAt: number | null;
}

type Tables = RegistryTables & CatalogTables;
type Position = readonly [key: number | string, name: string];

/**
 * The list of tags. What it shows of a manifest is written when a tag is pushed, so that a page is one query over an
 * index; a row that is missing (an older hub wrote the manifest, or a crash came between) is made when it is first shown.
 */
export class TagCatalog {
  readonly #sources: TagSources;
  readonly #db: SqlDatabase<Tables>;

  constructor(sources: TagSources) {
    this.#sources = sources;
    this.#db = sources.db as SqlDatabase<Tables>;
  }

  /** @throws {CodedError} `invalid_argument` about a cursor that is none of ours. */
  async list(repository: string, rules: RepositoryRules, query: TagQuery): Promise<TagPage> {
    const id = await this.#findId(repository);
    if (id === undefined) return { tags: [], total: 0, next: null };
    const after = query.cursor === undefined ? undefined : parseCursor(query.cursor, query.order);
    if (query.order === 'size') await this.#completeFacts(repository, id);
    const limit = Math.min(Math.max(1, Math.trunc(query.limit ?? PAGE_DEFAULT)), PAGE_MAX);
    const rows = await this.#select(id, repository, query, after, limit + 1);
    const shown = rows.slice(0, limit);
    const missing = shown.filter((row) => row.platforms === null).map((row) => row.digest as Digest);
    const made = await this.#makeFacts(repository, id, missing);
    const signed = await this.#findSigned(
      id,
      shown.map((row) => row.digest),
    );
    const tags = shown.map((row): TagSummary => {
      const facts = made.get(row.digest) ?? factsOf(row);
      return {
        name: row.name,
        digest: row.digest,
        mediaType: row.media_type,
        ...facts,
        pushedAt: row.updated_at,
        pushedBy: row.updated_by,
        pulledAt: this.#sources.pendingPull(repository, row.name, row.digest) ?? row.pulled_at,
        isImmutable: isFixed(rules, row.name),
        isSigned: signed.has(row.digest),
      };
    });
    const last = tags.at(-1);
    return {
      tags,
      total: await this.#count(id, query.text),
      next: rows.length > limit && last !== undefined ? cursorOf(last, query.order) : null,
    };
  }

  /** Every tag of a repository with its times, for rules. */
  async listTimes(repository: string): Promise<readonly TagTimes[]> {
    const id = await this.#findId(repository);
    if (id === undefined) return [];
    const rows = await this.#db.read
      .selectFrom('tags')
      .leftJoin('tag_pulls', (join) =>
        join.onRef('tag_pulls.tag', '=', 'tags.name').on('tag_pulls.repository', '=', repository),
      )
      .select(['tags.name', 'tags.digest', 'tags.updated_at', 'tag_pulls.pulled_at'])
      .where('tags.repository_id', '=', id)
      .execute();
    return rows.map((row) => ({
      name: row.name,
      pushedAt: row.updated_at,
      pulledAt: this.#sources.pendingPull(repository, row.name, row.digest) ?? row.pulled_at,
    }));
  }

  /** A manifest was pushed: what its tags show is written, and what an index that lists it shows is made again. */
  async noteManifest(repository: string, digest: Digest, isTagged: boolean): Promise<void> {
    const id = await this.#findId(repository);
    if (id === undefined) return;
    await this.#forgetParents(id, digest);
    if (isTagged) await this.#makeFacts(repository, id, [digest]);
  }

  /** A manifest was deleted. */
  async forgetManifest(repository: string, digest: Digest): Promise<void> {
    const id = await this.#findId(repository);
    if (id === undefined) return;
    await this.#forgetParents(id, digest);
    await this.#forget(id, [digest]);
  }

  /** A repository is about to be deleted. */
  async forgetRepository(repository: string): Promise<void> {
    const id = await this.#findId(repository);
    if (id === undefined) return;
    await this.#db.writeSoon(async (transaction) => {
      await transaction.deleteFrom('manifest_facts').where('repository_id', '=', id).execute();
    });
  }

  async #findId(repository: string): Promise<number | undefined> {
    const row = await this.#db.read
      .selectFrom('repositories')
      .select('id')
      .where('name', '=', repository)
      .executeTakeFirst();
    return row?.id;
  }

  /** Those of `digests` that a signature names: as its subject, or by cosign's tag. */
  async #findSigned(id: number, digests: readonly string[]): Promise<ReadonlySet<string>> {
    if (digests.length === 0) return new Set();
    const referrers = await this.#db.read
      .selectFrom('manifests')
      .select(['subject', 'artifact_type'])
      .where('repository_id', '=', id)
      .where('subject', 'in', digests)
      .execute();
    const tags = await this.#db.read
      .selectFrom('tags')
      .select('name')
      .where('repository_id', '=', id)
      .where(
        'name',
        'in',
        digests.map((digest) => `${digest.replace(':', '-')}.sig`),
      )
      .execute();
    return new Set([
      ...referrers.filter((row) => SIGNATURE.test(row.artifact_type ?? '')).map((row) => row.subject ?? ''),
      ...tags.map((row) => row.name.replace(/\.sig$/, '').replace('-', ':')),
    ]);
  }

  async #count(id: number, text: string | undefined): Promise<number> {
    let select = this.#db.read
      .selectFrom('tags')
      .select((count) => count.fn.countAll<number>().as('count'))
      .where('repository_id', '=', id);
    if (text) select = select.where(contains(text));
    return Number((await select.executeTakeFirst())?.count ?? 0);
  }

  async #select(id: number, repository: string, query: TagQuery, after: Position | undefined, limit: number) {
    let select = this.#db.read
      .selectFrom('tags')
      .innerJoin('manifests', (join) =>
        join
          .onRef('manifests.repository_id', '=', 'tags.repository_id')
          .onRef('manifests.digest', '=', 'tags.digest'),
      )
      .leftJoin('manifest_facts', (join) =>
        join
          .onRef('manifest_facts.repository_id', '=', 'tags.repository_id')
          .onRef('manifest_facts.digest', '=', 'tags.digest'),
      )
      .leftJoin('tag_pulls', (join) =>
        join.onRef('tag_pulls.tag', '=', 'tags.name').on('tag_pulls.repository', '=', repository),
      )
      .select([
        'tags.name',
        'tags.digest',
        'tags.updated_at',
        'tags.updated_by',
        'manifests.media_type',
        'manifest_facts.platforms',
        'manifest_facts.size',
        'tag_pulls.pulled_at',
      ])
      .where('tags.repository_id', '=', id);
    if (query.text) select = select.where(contains(query.text));
    const [key, name] = after ?? [];
    switch (query.order) {
      case 'newest':
        if (after !== undefined)
          select = select.where(sql<boolean>`(tags.updated_at, tags.name) < (${key}, ${name})`);
        return select.orderBy('tags.updated_at', 'desc').orderBy('tags.name', 'desc').limit(limit).execute();
      case 'name':
        if (after !== undefined) select = select.where(sql<boolean>`tags.name > ${name}`);
        return select.orderBy('tags.name').limit(limit).execute();
      case 'size':
        if (after !== undefined)
          select = select.where(sql<boolean>`(manifest_facts.size, tags.name) < (${key}, ${name})`);
        return select
          .orderBy('manifest_facts.size', 'desc')
          .orderBy('tags.name', 'desc')
          .limit(limit)
          .execute();
    }
  }

  /** Everything a list by size needs; at most once per manifest that an older hub wrote. */
  async #completeFacts(repository: string, id: number): Promise<void> {
    for (;;) {
      const rows = await this.#db.read
        .selectFrom('tags')
        .leftJoin('manifest_facts', (join) =>
          join
            .onRef('manifest_facts.repository_id', '=', 'tags.repository_id')
            .onRef('manifest_facts.digest', '=', 'tags.digest'),
        )
        .select('tags.digest')
        .distinct()
        .where('tags.repository_id', '=', id)
        .where('manifest_facts.digest', 'is', null)
        .limit(BATCH)
        .execute();
      if (rows.length === 0) return;
      const made = await this.#makeFacts(
        repository,
        id,
        rows.map((row) => row.digest as Digest),
      );
      if (made.size === 0) return;
    }
  }

  async #makeFacts(
    repository: string,
    id: number,
    digests: readonly Digest[],
  ): Promise<ReadonlyMap<string, ManifestFacts>> {
    const made = new Map<string, ManifestFacts>();
    for (const digest of new Set(digests)) {
      try {
        made.set(digest, await this.#sources.describe(repository, digest));
      } catch (error) {
        // It was deleted meanwhile.
        if (!(error instanceof CodedError && error.code === 'not_found')) throw error;
      }
    }
    if (made.size === 0) return made;
    await this.#db.writeSoon(async (transaction) => {
      for (const [digest, { platforms, sizeBytes }] of made) {
        const values = { platforms: JSON.stringify(platforms), size: sizeBytes };
        await transaction
          .insertInto('manifest_facts')
          .values({ repository_id: id, digest, ...values })
          .onConflict((conflict) => conflict.columns(['repository_id', 'digest']).doUpdateSet(values))
          .execute();
      }
    });
    return made;
  }

  async #forgetParents(id: number, digest: string): Promise<void> {
    const parents = await this.#db.read
      .selectFrom('manifest_references')
      .select('manifest')
      .where('repository_id', '=', id)
      .where('target', '=', digest)
      .execute();
    await this.#forget(
      id,
      parents.map((row) => row.manifest),
    );
  }

  async #forget(id: number, digests: readonly string[]): Promise<void> {
    if (digests.length === 0) return;
    await this.#db.writeSoon(async (transaction) => {
      for (const digest of digests) {
        await transaction
          .deleteFrom('manifest_facts')
          .where('repository_id', '=', id)
          .where('digest', '=', digest)
          .execute();
      }
    });
  }
}

/** `text` is a part of the name, not a pattern. */
function contains(text: string) {
  return sql<boolean>`tags.name like ${`%${text.replace(/[\\%_]/g, '\\$&')}%`} escape '\\'`;
}

function factsOf(row: Partial<Selectable<{ platforms: string | null; size: number | null }>>): ManifestFacts {
  return { platforms: JSON.parse(row.platforms ?? '[]') as string[], sizeBytes: row.size ?? 0 };
}

function cursorOf(tag: TagSummary, order: TagOrder): string {
  const key = { newest: tag.pushedAt, name: '', size: tag.sizeBytes }[order];
  return Buffer.from(JSON.stringify([order, key, tag.name])).toString('base64url');
}

function parseCursor(text: string, order: TagOrder): Position {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, 'base64url').toString());
    if (Array.isArray(value)) {
      const [made, key, name] = value as readonly unknown[];
      const isKey = order === 'name' ? key === '' : typeof key === 'number';
      if (made === order && isKey && typeof name === 'string') return [key as number | string, name];
    }
  } catch {
    // said below
  }
  throw new CodedError('invalid_argument', `"${text.slice(0, 100)}" does not continue this list of tags`);
}
