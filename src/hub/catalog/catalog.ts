import { type Selectable, sql } from 'kysely';
import type { SqlDatabase } from '#base/database/index.ts';
import { CodedError } from '#base/errors/index.ts';
import type {
  CreateRepositoryRequest,
  RepositorySummary,
  UpdateRepositoryRequest,
  Visibility,
} from '#hub/protocol/index.ts';
import type { RegistryTables } from '#registry/server/index.ts';
import { changesOf, checkName, checkText, invalidField, isMutability } from './fields.ts';
import { namespaceOf, OFFICIAL_NAMESPACE, type RepositoryRules } from './policy.ts';
import { CATALOG_MIGRATIONS, type CatalogTables } from './schema.ts';

const LIST_LIMIT = 500;
const FLUSH_MS = 2000;

/** Settings of one repository. */
export interface RepositorySettings extends RepositoryRules {
  readonly name: string;
  readonly description: string;
  readonly readme: string;
  readonly categories: readonly string[];
  readonly createdAt: number;
  readonly pulls: number;
}

/** Options of `Catalog`. */
export interface CatalogOptions {
  /** Repositories that a push creates are public. */
  readonly publicByDefault: boolean;
}

/** What a client asked for. */
export type Pulled = { readonly tag: string } | { readonly digest: string };

interface UncountedPulls {
  count: number;
  readonly tags: Map<string, number>;
  readonly digests: Map<string, number>;
}

/** Repositories as people see them: what they are for, who may see them, how often they are pulled. */
export class Catalog {
  readonly #db: SqlDatabase<CatalogTables & RegistryTables>;
  readonly #options: CatalogOptions;
  readonly #pulls = new Map<string, UncountedPulls>();
  #flush: NodeJS.Timeout | undefined;

  constructor(db: SqlDatabase<unknown>, options: CatalogOptions) {
    this.#db = db.open<CatalogTables & RegistryTables>(CATALOG_MIGRATIONS);
    this.#options = options;
  }

  async findSettings(name: string): Promise<RepositorySettings | undefined> {
    const row = await this.#db.read
      .selectFrom('repository_settings')
      .selectAll()
      .where('name', '=', name)
      .executeTakeFirst();
    return row === undefined ? undefined : settingsOf(row);
  }

  /**
   * Creates a repository.
   * @throws {CodedError} `invalid_argument` (subject names the field), `already_exists`.
   */
  async create(request: CreateRepositoryRequest, createdBy: string): Promise<RepositorySettings> {
    const name = checkName(request.namespace, request.name);
    if (request.visibility !== 'public' && request.visibility !== 'private')
      throw invalidField('visibility', 'choose public or private');
    checkText(request.description, request.readme);
    const row = newRow(name, createdBy, request.visibility, request.description.trim(), request.readme ?? '');
    await this.#db.write(async (transaction) => {
      const found = await transaction
        .selectFrom('repository_settings')
        .select('name')
        .where('name', '=', name)
        .executeTakeFirst();
      if (found !== undefined) {
        throw new CodedError('already_exists', `repository ${name} exists already`, {
          subject: { kind: 'field', name: 'name' },
        });
      }
      await transaction.insertInto('repository_settings').values(row).execute();
    });
    return settingsOf(row);
  }

  /** Makes sure a repository that was pushed to is known; a new one is private, official ones are public. */
  async ensure(name: string, createdBy: string): Promise<void> {
    if ((await this.findSettings(name)) !== undefined) return;
    const isPublic = this.#options.publicByDefault || namespaceOf(name) === OFFICIAL_NAMESPACE;
    const row = newRow(name, createdBy, isPublic ? 'public' : 'private', '', '');
    await this.#db.write(async (transaction) => {
      await transaction
        .insertInto('repository_settings')
        .values(row)
        .onConflict((conflict) => conflict.doNothing())
        .execute();
    });
  }

  /** @throws {CodedError} `invalid_argument` (subject names the field). */
  async update(name: string, request: UpdateRepositoryRequest): Promise<void> {
    const changes = changesOf(name, request);
    if (Object.keys(changes).length === 0) return;
    await this.#db.write(async (transaction) => {
      await transaction.updateTable('repository_settings').set(changes).where('name', '=', name).execute();
    });
  }

  /** Forgets the settings; the registry's rows are the caller's to delete first. */
  async delete(name: string): Promise<void> {
    await this.#db.write(async (transaction) => {
      await transaction.deleteFrom('tag_pulls').where('repository', '=', name).execute();
      await transaction.deleteFrom('repository_stars').where('repository', '=', name).execute();
      await transaction.deleteFrom('repository_settings').where('name', '=', name).execute();
    });
  }

  /** Repositories the viewer may see, newest push first. */
  async list(query: {
    readonly namespace?: string | undefined;
    /** Part of the name or the description. */
    readonly text?: string | undefined;
    readonly category?: string | undefined;
    readonly viewer: { readonly username: string; readonly isAdmin: boolean } | undefined;
  }): Promise<readonly RepositorySummary[]> {
    let select = this.#db.read.selectFrom('repository_settings').selectAll();
    if (query.namespace !== undefined) select = select.where('namespace', '=', query.namespace);
    if (query.text) {
      const pattern = patternOf(query.text);
      select = select.where(
        sql<boolean>`(name like ${pattern} escape '\\' or description like ${pattern} escape '\\')`,
      );
    }
    if (query.category) {
      const pattern = patternOf(JSON.stringify(query.category));
      select = select.where(sql<boolean>`categories like ${pattern} escape '\\'`);
    }
    const { viewer } = query;
    if (viewer?.isAdmin !== true) {
      select = select.where((where) =>
        where.or([where('visibility', '=', 'public'), where('namespace', '=', viewer?.username ?? '')]),
      );
    }
    const rows = await select.orderBy('name').limit(LIST_LIMIT).execute();
    const summaries = await Promise.all(rows.map((row) => this.summarize(settingsOf(row))));
    return summaries.sort((a, b) => (b.pushedAt ?? b.createdAt) - (a.pushedAt ?? a.createdAt));
  }

  /** Adds what the registry knows: size, number of tags, time of the last push. */
  async summarize(settings: RepositorySettings): Promise<RepositorySummary> {
    const { name, visibility, description, createdAt, pulls } = settings;
    const [namespace = '', ...rest] = name.split('/');
    const base = {
      namespace,
      name: rest.join('/'),
      visibility,
      description,
      createdAt,
      pulls: pulls + (this.#pulls.get(name)?.count ?? 0),
      stars: await this.#countStars(name),
    };
    const repository = await this.#db.read
      .selectFrom('repositories')
      .select('id')
      .where('name', '=', name)
      .executeTakeFirst();
    if (repository === undefined) return { ...base, pushedAt: null, sizeBytes: 0, tags: 0 };
    const tags = await this.#db.read
      .selectFrom('tags')
      .select((select) => [
        select.fn.countAll<number>().as('count'),
        select.fn.max('updated_at').as('pushed_at'),
      ])
      .where('repository_id', '=', repository.id)
      .executeTakeFirst();
    const size = await this.#db.read
      .selectFrom('repository_blobs')
      .innerJoin('blobs', 'blobs.digest', 'repository_blobs.digest')
      .select((select) => select.fn.sum<number>('blobs.size').as('bytes'))
      .where('repository_blobs.repository_id', '=', repository.id)
      .executeTakeFirst();
    return {
      ...base,
      pushedAt: tags?.pushed_at ?? null,
      sizeBytes: Number(size?.bytes ?? 0),
      tags: Number(tags?.count ?? 0),
    };
  }

  /** The newest repository of a namespace that has tags, with the tag pushed last; or one without. */
  async findLatest(
    namespace: string,
  ): Promise<{ readonly repository: string | null; readonly tag: string | null }> {
    const pushed = await this.#db.read
      .selectFrom('repository_settings')
      .innerJoin('repositories', 'repositories.name', 'repository_settings.name')
      .select(['repositories.id', 'repositories.name'])
      .where('repository_settings.namespace', '=', namespace)
      .where(({ exists, selectFrom }) =>
        exists(selectFrom('tags').select('tags.name').whereRef('tags.repository_id', '=', 'repositories.id')),
      )
      .orderBy('repository_settings.created_at', 'desc')
      .limit(1)
      .executeTakeFirst();
    if (pushed !== undefined) {
      const newest = await this.#db.read
        .selectFrom('tags')
        .select('name')
        .where('repository_id', '=', pushed.id)
        .orderBy('updated_at', 'desc')
        .limit(1)
        .executeTakeFirst();
      return { repository: pushed.name, tag: newest?.name ?? null };
    }
    const empty = await this.#db.read
      .selectFrom('repository_settings')
      .select('name')
      .where('namespace', '=', namespace)
      .orderBy('created_at', 'desc')
      .limit(1)
      .executeTakeFirst();
    return { repository: empty?.name ?? null, tag: null };
  }

  /** Counts a pull; written in batches, so that pulling costs no write. */
  countPull(repository: string, pulled: Pulled): void {
    const entry = this.#pulls.get(repository) ?? { count: 0, tags: new Map(), digests: new Map() };
    entry.count++;
    if ('tag' in pulled) entry.tags.set(pulled.tag, Date.now());
    else entry.digests.set(pulled.digest, Date.now());
    this.#pulls.set(repository, entry);
    this.#flush ??= setTimeout(() => void this.flush().catch(() => {}), FLUSH_MS).unref();
  }

  /** When a tag was last pulled, by its name or by the digest it has, if that is not written yet. */
  pendingPull(repository: string, tag: string, digest: string): number | undefined {
    const entry = this.#pulls.get(repository);
    const [byName, byDigest] = [entry?.tags.get(tag), entry?.digests.get(digest)];
    return byName === undefined || byDigest === undefined ? (byName ?? byDigest) : Math.max(byName, byDigest);
  }

  async hasStar(repository: string, accountId: number): Promise<boolean> {
    const row = await this.#db.read
      .selectFrom('repository_stars')
      .select('account_id')
      .where('repository', '=', repository)
      .where('account_id', '=', accountId)
      .executeTakeFirst();
    return row !== undefined;
  }

  /** Gives a star, or takes it back; the same again changes nothing. */
  async setStar(repository: string, accountId: number, isStarred: boolean): Promise<void> {
    await this.#db.write(async (transaction) => {
      if (isStarred) {
        await transaction
          .insertInto('repository_stars')
          .values({ repository, account_id: accountId })
          .onConflict((conflict) => conflict.doNothing())
          .execute();
        return;
      }
      await transaction
        .deleteFrom('repository_stars')
        .where('repository', '=', repository)
        .where('account_id', '=', accountId)
        .execute();
    });
  }

  async #countStars(repository: string): Promise<number> {
    const row = await this.#db.read
      .selectFrom('repository_stars')
      .select((select) => select.fn.countAll<number>().as('count'))
      .where('repository', '=', repository)
      .executeTakeFirst();
    return Number(row?.count ?? 0);
  }

  /** The tags that were pulled: clients ask for what a tag is and then pull that digest. */
  async #tagsOf(repository: string, { tags, digests }: UncountedPulls): Promise<ReadonlyMap<string, number>> {
    if (digests.size === 0) return tags;
    const rows = await this.#db.read
      .selectFrom('tags')
      .innerJoin('repositories', 'repositories.id', 'tags.repository_id')
      .select(['tags.name', 'tags.digest'])
      .where('repositories.name', '=', repository)
      .where('tags.digest', 'in', [...digests.keys()])
      .execute();
    const times = new Map(tags);
    for (const { name, digest } of rows)
      times.set(name, Math.max(times.get(name) ?? 0, digests.get(digest) ?? 0));
    return times;
  }

  /** Writes the pulls counted so far. */
  async flush(): Promise<void> {
    clearTimeout(this.#flush);
    this.#flush = undefined;
    const pending = [...this.#pulls];
    this.#pulls.clear();
    if (pending.length === 0) return;
    await this.#db.writeSoon(async (transaction) => {
      for (const [name, entry] of pending) {
        await transaction
          .updateTable('repository_settings')
          .set((set) => ({ pulls: set('pulls', '+', entry.count) }))
          .where('name', '=', name)
          .execute();
        for (const [tag, pulledAt] of await this.#tagsOf(name, entry)) {
          await transaction
            .insertInto('tag_pulls')
            .values({ repository: name, tag, pulled_at: pulledAt })
            .onConflict((conflict) =>
              conflict.columns(['repository', 'tag']).doUpdateSet({ pulled_at: pulledAt }),
            )
            .execute();
        }
      }
    });
  }
}

/** For `like` with `\\` as its escape: `text` is a part, not a pattern. */
function patternOf(text: string): string {
  return `%${text.replace(/[\\%_]/g, '\\$&')}%`;
}

function newRow(
  name: string,
  createdBy: string,
  visibility: Visibility,
  description: string,
  readme: string,
): Selectable<CatalogTables['repository_settings']> {
  return {
    name,
    namespace: namespaceOf(name),
    visibility,
    description,
    readme,
    tag_mutability: 'mutable',
    created_at: Date.now(),
    created_by: createdBy,
    pulls: 0,
    immutable_patterns: '[]',
    categories: '[]',
    retention: null,
    retention_ran_at: null,
    retention_removed: 0,
  };
}

function settingsOf(row: Selectable<CatalogTables['repository_settings']>): RepositorySettings {
  return {
    name: row.name,
    visibility: row.visibility === 'public' ? 'public' : 'private',
    description: row.description,
    readme: row.readme,
    tagMutability: isMutability(row.tag_mutability) ? row.tag_mutability : 'mutable',
    immutablePatterns: JSON.parse(row.immutable_patterns) as string[],
    categories: JSON.parse(row.categories) as string[],
    createdAt: row.created_at,
    pulls: row.pulls,
  };
}
