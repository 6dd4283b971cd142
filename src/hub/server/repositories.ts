import { CodedError } from '#base/errors/index.ts';
import type { AccountRow } from '#hub/account/index.ts';
import {
  type Catalog,
  decideRights,
  type ImageCatalog,
  namespaceOf,
  OFFICIAL_NAMESPACE,
  type RepositorySettings,
} from '#hub/catalog/index.ts';
import type {
  CreateRepositoryRequest,
  RepositoryDetail,
  UpdateRepositoryRequest,
} from '#hub/protocol/index.ts';
import type { Digest } from '#oci/digest/index.ts';
import { type Exchange, readJson, requireAccount, sendJson, textOf } from './exchange.ts';
import type { LayerFileReader } from './layer-files.ts';

/** What the repository routes work on. */
export interface RepositoryServices {
  readonly catalog: Catalog;
  readonly images: ImageCatalog;
  readonly files: LayerFileReader;
  /** Removes a tag; false if there is none. */
  deleteTag(repository: string, tag: string): Promise<boolean>;
  /** Removes every manifest, tag and blob link of a repository. */
  deleteContent(repository: string): Promise<void>;
  publishDelete(repository: string, tag: string | null): void;
}

type Right = RepositoryDetail['rights'][number];

/** Handlers of `/api/repositories`, `/api/tags`, `/api/image` and `/api/files`. */
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
      await this.#services.catalog.list({ namespace, text: query.get('q') ?? undefined, viewer: account }),
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
    if (confirm !== settings.name) {
      throw new CodedError('invalid_argument', `type ${settings.name} to confirm`, {
        subject: { kind: 'field', name: 'confirm' },
      });
    }
    await this.#services.deleteContent(settings.name);
    await this.#services.catalog.delete(settings.name);
    this.#services.publishDelete(settings.name, null);
    sendJson(exchange.response, 200, {});
  }

  async listTags(exchange: Exchange): Promise<void> {
    const { name } = await this.#find(exchange, 'pull');
    const pulls = await this.#services.catalog.listTagPulls(name);
    sendJson(
      exchange.response,
      200,
      await this.#services.images.listTags(name, { text: exchange.query.get('q') ?? undefined, pulls }),
    );
  }

  async deleteTag(exchange: Exchange): Promise<void> {
    const { name } = await this.#find(exchange, 'delete');
    const tag = exchange.query.get('tag') ?? '';
    if (!(await this.#services.deleteTag(name, tag)))
      throw new CodedError('not_found', `${name} has no tag ${tag}`);
    this.#services.publishDelete(name, tag);
    sendJson(exchange.response, 200, {});
  }

  async describeImage(exchange: Exchange): Promise<void> {
    const { name } = await this.#find(exchange, 'pull');
    sendJson(
      exchange.response,
      200,
      await this.#services.images.describe(name, exchange.query.get('reference') ?? 'latest'),
    );
  }

  async listFiles(exchange: Exchange): Promise<void> {
    const { name } = await this.#find(exchange, 'pull');
    sendJson(
      exchange.response,
      200,
      await this.#services.files.list(name, (exchange.query.get('digest') ?? '') as Digest),
    );
  }

  /** A repository the caller has this right on; one they may not see does not exist for them. */
  async #find(exchange: Exchange, right: Right): Promise<RepositorySettings> {
    const name = `${exchange.params['namespace']}/${exchange.params['name']}`;
    const settings = await this.#services.catalog.findSettings(name);
    const rights = settings === undefined ? [] : rightsOf(settings, exchange.account);
    if (settings === undefined || !rights.includes('pull')) {
      throw new CodedError('not_found', `there is no repository ${name}, or it is private`, {
        help: {
          id: 'page/no-repository',
          cause:
            exchange.account === undefined
              ? 'you are not signed in'
              : `you are signed in as ${exchange.account.username}`,
        },
      });
    }
    if (!rights.includes(right))
      throw new CodedError('permission_denied', `only the owner of ${namespaceOf(name)} may do this`);
    return settings;
  }

  async #detail(settings: RepositorySettings, account: AccountRow | undefined): Promise<RepositoryDetail> {
    const summary = await this.#services.catalog.summarize(settings);
    return {
      ...summary,
      readme: settings.readme,
      tagMutability: settings.tagMutability,
      rights: rightsOf(settings, account),
    };
  }
}

function rightsOf(settings: RepositorySettings, account: AccountRow | undefined): Right[] {
  const granted = decideRights({ account, token: undefined, repository: settings.name, settings });
  const rights: Right[] = [];
  if (granted.has('pull')) rights.push('pull');
  if (granted.has('push')) rights.push('push');
  if (granted.has('delete')) rights.push('delete', 'admin');
  return rights;
}
