import type { Selectable } from 'kysely';
import type { SqlDatabase } from '#base/database/index.ts';
import { CodedError } from '#base/errors/index.ts';
import type {
  CreateRepositoryRequest,
  RepositorySummary,
  TagMutability,
  UpdateRepositoryRequest,
  Visibility,
} from '#hub/protocol/index.ts';
import { isRepository } from '#oci/reference/index.ts';
import type { RegistryTables } from '#registry/server/index.ts';
import { namespaceOf, OFFICIAL_NAMESPACE } from './policy.ts';
import { CATALOG_MIGRATIONS, type CatalogTables } from './schema.ts';

const DESCRIPTION_MAX = 100;
const README_MAX = 256 * 1024;
const LIST_LIMIT = 500;
const FLUSH_MS = 2000;

/** Settings of one repository. */
export interface RepositorySettings {
  readonly name: string;
  readonly visibility: Visibility;
  readonly description: string;
  readonly readme: string;
  readonly tagMutability: TagMutability;
  readonly createdAt: number;
  readonly pulls: number;
}

/** Options of `Catalog`. */
export interface CatalogOptions {
  /** Repositories that a push creates are public. */
  readonly publicByDefault: boolean;
}

/** Repositories as people see them: what they are for, who may see them, how often they are pulled. */
export class Catalog {
  readonly #db: SqlDatabase<CatalogTables & RegistryTables>;
  readonly #options: CatalogOptions;
  readonly #pulls = new Map<string, { count: number; readonly tags: Map<string, number> }>();
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
    const name = `${request.namespace}/${request.name}`;
    if (
      request.name.length < 2 ||
      !isRepository(request.name) ||
      request.name.includes('/') ||
      !isRepository(name)
    ) {
      throw invalidField(
        'name',
        'use 2 to 255 lower-case letters, digits, "-", "_" or ".", beginning and ending with a letter or digit',
      );
    }
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
    checkText(request.description ?? '', request.readme);
    const { visibility, tagMutability } = request;
    if (visibility !== undefined && visibility !== 'public' && visibility !== 'private')
      throw invalidField('visibility', 'choose public or private');
    if (tagMutability !== undefined && tagMutability !== 'mutable' && tagMutability !== 'immutable') {
      throw invalidField('tagMutability', 'choose mutable or immutable');
    }
    if (visibility !== undefined && request.confirm !== name)
      throw invalidField('confirm', `type ${name} to confirm`);
    const changes = {
      ...(request.description === undefined ? {} : { description: request.description.trim() }),
      ...(request.readme === undefined ? {} : { readme: request.readme }),
      ...(visibility === undefined ? {} : { visibility }),
      ...(tagMutability === undefined ? {} : { tag_mutability: tagMutability }),
    };
    if (Object.keys(changes).length === 0) return;
    await this.#db.write(async (transaction) => {
      await transaction.updateTable('repository_settings').set(changes).where('name', '=', name).execute();
    });
  }

  /** Forgets the settings; the registry's rows are the caller's to delete first. */
  async delete(name: string): Promise<void> {
    await this.#db.write(async (transaction) => {
      await transaction.deleteFrom('tag_pulls').where('repository', '=', name).execute();
      await transaction.deleteFrom('repository_settings').where('name', '=', name).execute();
    });
  }

  /** Repositories the viewer may see, newest push first. */
  async list(query: {
    readonly namespace?: string | undefined;
    readonly text?: string | undefined;
    readonly viewer: { readonly username: string; readonly isAdmin: boolean } | undefined;
  }): Promise<readonly RepositorySummary[]> {
    let select = this.#db.read.selectFrom('repository_settings').selectAll();
    if (query.namespace !== undefined) select = select.where('namespace', '=', query.namespace);
    if (query.text) select = select.where('name', 'like', `%${query.text.replace(/[%_]/g, '')}%`);
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

  /** Counts a pull; written in batches, so that pulling costs no write. */
  countPull(repository: string, tag: string | undefined): void {
    const entry = this.#pulls.get(repository) ?? { count: 0, tags: new Map<string, number>() };
    entry.count++;
    if (tag !== undefined) entry.tags.set(tag, Date.now());
    this.#pulls.set(repository, entry);
    this.#flush ??= setTimeout(() => void this.flush().catch(() => {}), FLUSH_MS).unref();
  }

  async listTagPulls(repository: string): Promise<ReadonlyMap<string, number>> {
    const rows = await this.#db.read
      .selectFrom('tag_pulls')
      .select(['tag', 'pulled_at'])
      .where('repository', '=', repository)
      .execute();
    return new Map([
      ...rows.map((row) => [row.tag, row.pulled_at] as const),
      ...(this.#pulls.get(repository)?.tags ?? []),
    ]);
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
        for (const [tag, pulledAt] of entry.tags) {
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
  };
}

function settingsOf(row: Selectable<CatalogTables['repository_settings']>): RepositorySettings {
  return {
    name: row.name,
    visibility: row.visibility === 'public' ? 'public' : 'private',
    description: row.description,
    readme: row.readme,
    tagMutability: row.tag_mutability === 'immutable' ? 'immutable' : 'mutable',
    createdAt: row.created_at,
    pulls: row.pulls,
  };
}

function checkText(description: string, readme = ''): void {
  if (description.length > DESCRIPTION_MAX)
    throw invalidField('description', `use at most ${DESCRIPTION_MAX} characters`);
  if (Buffer.byteLength(readme) > README_MAX)
    throw invalidField('readme', `use at most ${README_MAX / 1024} KiB`);
}

function invalidField(field: string, message: string): CodedError {
  return new CodedError('invalid_argument', message, { subject: { kind: 'field', name: field } });
}
