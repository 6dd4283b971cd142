import type { SqlDatabase } from '#base/database/index.ts';
import { messageOf } from '#base/errors/index.ts';
import type { Log } from '#base/log/index.ts';
import type {
  RetentionDecision,
  RetentionPolicy,
  RetentionPreview,
  RetentionState,
  TagRemoval,
} from '#hub/protocol/index.ts';
import type { RegistryMetadata, RemovalLimit } from '#registry/server/index.ts';
import type { Catalog, RepositorySettings } from './catalog.ts';
import { decideRetention, NO_RETENTION, parseRetention } from './retention.ts';
import type { CatalogTables } from './schema.ts';
import type { TagCatalog } from './tags.ts';

const INTERVAL_MS = 3600_000;
const SOON_MS = 60_000;
/** Tags of one transaction; between two, pushes go on. */
const BATCH = 200;

/** What `RetentionRunner` works on. */
export interface RetentionServices {
  readonly db: SqlDatabase<unknown>;
  readonly catalog: Pick<Catalog, 'findSettings'>;
  readonly tags: Pick<TagCatalog, 'listTimes'>;
  readonly metadata: Pick<RegistryMetadata, 'previewRemoval'>;
  /** Removes tags, and tells everybody. */
  removeTags(repository: string, tags: readonly string[], limit?: RemovalLimit): Promise<TagRemoval>;
  readonly log: Log;
  readonly now?: () => number;
}

/** Keeps the rules of every repository, says what they would do, and applies them once an hour. */
export class RetentionRunner {
  readonly #services: RetentionServices;
  readonly #db: SqlDatabase<CatalogTables>;
  #timer: NodeJS.Timeout | undefined;

  constructor(services: RetentionServices) {
    this.#services = services;
    this.#db = services.db as SqlDatabase<CatalogTables>;
  }

  async find(repository: string): Promise<RetentionState> {
    const row = await this.#db.read
      .selectFrom('repository_settings')
      .select(['retention', 'retention_ran_at', 'retention_removed'])
      .where('name', '=', repository)
      .executeTakeFirst();
    return {
      policy: row?.retention == null ? NO_RETENTION : (JSON.parse(row.retention) as RetentionPolicy),
      ranAt: row?.retention_ran_at ?? null,
      removedTags: row?.retention_removed ?? 0,
    };
  }

  /** @throws {CodedError} `invalid_argument` (subject names the field). */
  async save(repository: string, policy: Partial<RetentionPolicy>): Promise<RetentionState> {
    const parsed = parseRetention(policy);
    await this.#db.write(async (transaction) => {
      await transaction
        .updateTable('repository_settings')
        .set({ retention: JSON.stringify(parsed) })
        .where('name', '=', repository)
        .execute();
    });
    return this.find(repository);
  }

  /** What these rules, saved or not, would do now. @throws {CodedError} `invalid_argument`. */
  async preview(settings: RepositorySettings, policy: Partial<RetentionPolicy>): Promise<RetentionPreview> {
    const { goes, spared, total } = await this.#decide(settings, parseRetention(policy), this.#now());
    const removal = await this.#services.metadata.previewRemoval(settings.name, namesOf(goes));
    return { goes, spared, total, removal };
  }

  /** Applies the saved rules now. A tag that is pushed meanwhile stays. */
  async run(settings: RepositorySettings): Promise<RetentionPreview> {
    const now = this.#now();
    const { policy } = await this.find(settings.name);
    const { goes, spared, total } = await this.#decide(settings, policy, now);
    const tags: string[] = [];
    const manifests: string[] = [];
    let freedBytes = 0;
    const names = namesOf(goes);
    for (let start = 0; start < names.length; start += BATCH) {
      const batch = names.slice(start, start + BATCH);
      const removal = await this.#services.removeTags(settings.name, batch, { pushedBefore: new Date(now) });
      tags.push(...removal.tags);
      manifests.push(...removal.manifests);
      freedBytes += removal.freedBytes;
    }
    await this.#db.write(async (transaction) => {
      await transaction
        .updateTable('repository_settings')
        .set({ retention_ran_at: now, retention_removed: tags.length })
        .where('name', '=', settings.name)
        .execute();
    });
    return { goes, spared, total, removal: { tags, manifests, freedBytes } };
  }

  /** Applies the rules of every repository that has some; one that fails does not hold up the others. */
  async runAll(): Promise<void> {
    const rows = await this.#db.read
      .selectFrom('repository_settings')
      .select(['name', 'retention'])
      .where('retention', 'is not', null)
      .execute();
    for (const { name, retention } of rows) {
      if ((JSON.parse(retention ?? '{}') as Partial<RetentionPolicy>).rules?.length === 0) continue;
      try {
        const settings = await this.#services.catalog.findSettings(name);
        if (settings === undefined) continue;
        const { removal } = await this.run(settings);
        if (removal.tags.length > 0)
          this.#services.log.info('retention removed tags', { repository: name, tags: removal.tags.length });
      } catch (error) {
        this.#services.log.error('retention failed', { repository: name, error: messageOf(error) });
      }
    }
  }

  /** Begins to run by itself: soon, since a hub may be restarted more often than once an hour, then every hour. */
  start(): void {
    this.#schedule(SOON_MS);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #schedule(afterMs: number): void {
    this.#timer = setTimeout(() => {
      this.#schedule(INTERVAL_MS);
      this.runAll().catch((error: unknown) =>
        this.#services.log.error('retention failed', { error: messageOf(error) }),
      );
    }, afterMs).unref();
  }

  #now(): number {
    return this.#services.now?.() ?? Date.now();
  }

  async #decide(settings: RepositorySettings, policy: RetentionPolicy, now: number) {
    const tags = await this.#services.tags.listTimes(settings.name);
    return { ...decideRetention({ policy, rules: settings, tags, now }), total: tags.length };
  }
}

function namesOf(decisions: readonly RetentionDecision[]): readonly string[] {
  return decisions.map((decision) => decision.tag);
}
