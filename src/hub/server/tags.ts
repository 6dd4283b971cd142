import { CodedError } from '#base/errors/index.ts';
import type { Catalog, RetentionRunner, TagCatalog } from '#hub/catalog/index.ts';
import type { RemoveTagsRequest, RetentionPolicy, TagOrder, TagRemoval } from '#hub/protocol/index.ts';
import { findRepository } from './access.ts';
import { type Exchange, readJson, sendJson } from './exchange.ts';

const ORDERS: readonly TagOrder[] = ['newest', 'name', 'size'];
/** Tags of one request. */
const REMOVE_MAX = 1000;

/** What the tag routes work on. */
export interface TagServices {
  readonly catalog: Pick<Catalog, 'findSettings'>;
  readonly tags: TagCatalog;
  readonly retention: RetentionRunner;
  previewRemoval(repository: string, tags: readonly string[]): Promise<TagRemoval>;
  /** Removes tags with what only they named, and tells everybody. */
  removeTags(repository: string, tags: readonly string[]): Promise<TagRemoval>;
}

/** Handlers of `/api/tags…` and `/api/retention…`. */
export class TagRoutes {
  readonly #services: TagServices;

  constructor(services: TagServices) {
    this.#services = services;
  }

  async list(exchange: Exchange): Promise<void> {
    const settings = await this.#find(exchange, 'pull');
    const { query } = exchange;
    const limit = Number(query.get('limit') ?? Number.NaN);
    const page = await this.#services.tags.list(settings.name, settings, {
      text: query.get('q') ?? undefined,
      order: ORDERS.find((order) => order === query.get('sort')) ?? 'newest',
      limit: Number.isFinite(limit) ? limit : undefined,
      cursor: query.get('cursor') ?? undefined,
    });
    sendJson(exchange.response, 200, page);
  }

  async delete(exchange: Exchange): Promise<void> {
    const { name } = await this.#find(exchange, 'delete');
    const tag = exchange.query.get('tag') ?? '';
    const removal = await this.#services.removeTags(name, [tag]);
    if (removal.tags.length === 0) throw new CodedError('not_found', `${name} has no tag ${tag}`);
    sendJson(exchange.response, 200, removal);
  }

  async preview(exchange: Exchange): Promise<void> {
    const { name } = await this.#find(exchange, 'delete');
    sendJson(exchange.response, 200, await this.#services.previewRemoval(name, await readTags(exchange)));
  }

  async remove(exchange: Exchange): Promise<void> {
    const { name } = await this.#find(exchange, 'delete');
    sendJson(exchange.response, 200, await this.#services.removeTags(name, await readTags(exchange)));
  }

  async showRetention(exchange: Exchange): Promise<void> {
    const { name } = await this.#find(exchange, 'admin');
    sendJson(exchange.response, 200, await this.#services.retention.find(name));
  }

  async saveRetention(exchange: Exchange): Promise<void> {
    const { name } = await this.#find(exchange, 'admin');
    const policy = await readJson<RetentionPolicy>(exchange);
    sendJson(exchange.response, 200, await this.#services.retention.save(name, policy));
  }

  async previewRetention(exchange: Exchange): Promise<void> {
    const settings = await this.#find(exchange, 'admin');
    const policy = await readJson<RetentionPolicy>(exchange);
    sendJson(exchange.response, 200, await this.#services.retention.preview(settings, policy));
  }

  async runRetention(exchange: Exchange): Promise<void> {
    const settings = await this.#find(exchange, 'admin');
    sendJson(exchange.response, 200, await this.#services.retention.run(settings));
  }

  #find(exchange: Exchange, right: 'pull' | 'delete' | 'admin') {
    return findRepository(this.#services.catalog, exchange, right);
  }
}

async function readTags(exchange: Exchange): Promise<readonly string[]> {
  const { tags } = await readJson<RemoveTagsRequest>(exchange);
  const names = Array.isArray(tags) ? tags.map(String) : [];
  if (names.length === 0 || names.length > REMOVE_MAX) {
    throw new CodedError('invalid_argument', `name 1 to ${REMOVE_MAX} tags`, {
      subject: { kind: 'field', name: 'tags' },
    });
  }
  return names;
}
