import { CodedError } from '#base/errors/index.ts';
import type { AccountRow } from '#hub/account/index.ts';
import { type Catalog, OFFICIAL_NAMESPACE, type RepositorySettings } from '#hub/catalog/index.ts';
import type {
  CreateRepositoryRequest,
  MoveRepositoryRequest,
  RepositoryDetail,
  UpdateRepositoryRequest,
} from '#hub/protocol/index.ts';
import { findRepository, type PageRight, rightsOnPage } from './access.ts';
import { type Exchange, readJson, requireAccount, sendJson, textOf } from './exchange.ts';

/** What the repository routes work on. */
export interface RepositoryServices {
  readonly catalog: Catalog;
  /** Gives a repository another name. @throws {CodedError} as `moveRepository` and `Catalog.create`. */
  moveRepository(from: string, namespace: string, name: string): Promise<void>;
  hasAccount(username: string): Promise<boolean>;
  /** Removes every manifest, tag and blob link of a repository. */
  deleteContent(repository: string): Promise<void>;
  publishDelete(repository: string, tag: string | null): void;
}

/** Handlers of `/api/repositories`, `/api/move` and `/api/stars`. */
export class RepositoryRoutes {
  readonly #services: RepositoryServices;

  constructor(services: RepositoryServices) {
    this.#services = services;
  }

  async list({ query, account, response }: Exchange): Promise<void> {
    const namespace = query.get('namespace') ?? undefined;
    sendJson(
      response,
      200,
      await this.#services.catalog.list({
        namespace,
        text: query.get('q') ?? undefined,
        category: query.get('category') ?? undefined,
        viewer: account,
      }),
    );
  }

  async create(exchange: Exchange): Promise<void> {
    const account = requireAccount(exchange);
    const body = await readJson<CreateRepositoryRequest>(exchange);
    const namespace = textOf(body.namespace) || account.username;
    if (namespace !== account.username && !(account.isAdmin && namespace === OFFICIAL_NAMESPACE)) {
      throw new CodedError('permission_denied', `you cannot create repositories in "${namespace}"`, {
        subject: { kind: 'field', name: 'namespace' },
      });
    }
    const settings = await this.#services.catalog.create(
      {
        namespace,
        name: textOf(body.name),
        description: textOf(body.description),
        visibility: body.visibility ?? 'private',
        readme: textOf(body.readme),
      },
      account.username,
    );
    sendJson(exchange.response, 201, await this.#detail(settings, account));
  }

  async get(exchange: Exchange): Promise<void> {
    const settings = await this.#find(exchange, 'pull');
    sendJson(exchange.response, 200, await this.#detail(settings, exchange.account));
  }

  async update(exchange: Exchange): Promise<void> {
    const settings = await this.#find(exchange, 'admin');
    const body = await readJson<UpdateRepositoryRequest>(exchange);
    await this.#services.catalog.update(settings.name, body);
    const updated = (await this.#services.catalog.findSettings(settings.name)) ?? settings;
    sendJson(exchange.response, 200, await this.#detail(updated, exchange.account));
  }

  async delete(exchange: Exchange): Promise<void> {
    const settings = await this.#find(exchange, 'admin');
    const { confirm } = await readJson<{ confirm: string }>(exchange);
    checkConfirm(settings, confirm);
    await this.#services.deleteContent(settings.name);
    await this.#services.catalog.delete(settings.name);
    this.#services.publishDelete(settings.name, null);
    sendJson(exchange.response, 200, {});
  }

  async move(exchange: Exchange): Promise<void> {
    const account = requireAccount(exchange);
    const settings = await this.#find(exchange, 'admin');
    const body = await readJson<MoveRepositoryRequest>(exchange);
    checkConfirm(settings, body.confirm);
    const [oldNamespace = '', ...oldName] = settings.name.split('/');
    const namespace = textOf(body.namespace).trim() || oldNamespace;
    const name = textOf(body.name).trim() || oldName.join('/');
    if (namespace !== oldNamespace) await this.#checkReceiver(namespace, account);
    await this.#services.moveRepository(settings.name, namespace, name);
    const moved = await this.#services.catalog.findSettings(`${namespace}/${name}`);
    if (moved === undefined) throw new CodedError('not_found', `${namespace}/${name} is gone already`);
    sendJson(exchange.response, 200, await this.#detail(moved, account));
  }

  async star(exchange: Exchange): Promise<void> {
    const account = requireAccount(exchange);
    const settings = await this.#find(exchange, 'pull');
    const isStarred = exchange.request.method === 'PUT';
    await this.#services.catalog.setStar(settings.name, account.id, isStarred);
    sendJson(exchange.response, 200, await this.#detail(settings, account));
  }

  #find(exchange: Exchange, right: PageRight): Promise<RepositorySettings> {
    return findRepository(this.#services.catalog, exchange, right);
  }

  async #checkReceiver(namespace: string, account: AccountRow): Promise<void> {
    const isOfficial = namespace === OFFICIAL_NAMESPACE && account.isAdmin;
    if (isOfficial || (await this.#services.hasAccount(namespace))) return;
    throw new CodedError('invalid_argument', `there is no account "${namespace.slice(0, 100)}" here`, {
      subject: { kind: 'field', name: 'namespace' },
    });
  }

  async #detail(settings: RepositorySettings, account: AccountRow | undefined): Promise<RepositoryDetail> {
    const summary = await this.#services.catalog.summarize(settings);
    return {
      ...summary,
      readme: settings.readme,
      categories: settings.categories,
      tagMutability: settings.tagMutability,
      immutablePatterns: settings.immutablePatterns,
      isStarred: account !== undefined && (await this.#services.catalog.hasStar(settings.name, account.id)),
      rights: rightsOnPage(settings, account),
    };
  }
}

function checkConfirm(settings: RepositorySettings, confirm: unknown): void {
  if (confirm === settings.name) return;
  throw new CodedError('invalid_argument', `type ${settings.name} to confirm`, {
    subject: { kind: 'field', name: 'confirm' },
  });
}
