import type { IncomingMessage, ServerResponse } from 'node:http';
import { CodedError } from '#base/errors/index.ts';
import { Router } from '#base/http/index.ts';
import type { AccountRow, Accounts } from '#hub/account/index.ts';
import { type Catalog, namespaceOf } from '#hub/catalog/index.ts';
import type {
  CreateTokenRequest,
  GuideState,
  HubEvent,
  SessionInfo,
  SignInRequest,
  SignUpRequest,
} from '#hub/protocol/index.ts';
import type { DeviceRoutes } from './device.ts';
import {
  addressOf,
  checkSafe,
  type Exchange,
  isHttps,
  originOf,
  readJson,
  requireAccount,
  sendError,
  sendJson,
  sessionCookie,
  sessionSecret,
  textOf,
} from './exchange.ts';
import type { ImageRoutes } from './image-routes.ts';
import type { LiveEvents } from './live.ts';
import type { RepositoryRoutes } from './repositories.ts';
import type { TagRoutes } from './tags.ts';

/** What the API is made of. */
export interface HubApiOptions {
  readonly accounts: Accounts;
  readonly catalog: Catalog;
  readonly repositories: RepositoryRoutes;
  readonly tags: TagRoutes;
  readonly images: ImageRoutes;
  readonly devices: DeviceRoutes;
  readonly live: LiveEvents;
  /** The address people use, when it is not the one that is served. */
  readonly publicUrl?: string | undefined;
  readonly allowsSignUp: boolean;
  /** Nothing is changed; people may still sign in. */
  readonly isReadOnly: boolean;
  readonly version: string;
  /** Counts failed sign-ins per name and address. @throws `resource_exhausted` when there were too many. */
  readonly limiter: { check(name: string, address: string): void; fail(name: string, address: string): void };
  /** Called with what is a bug. */
  readonly onError: (error: unknown) => void;
}

type Handler = (exchange: Exchange) => Promise<void>;

/** Answers `/api/…`; for anything else the caller has another handler. */
export function createHubApi(
  options: HubApiOptions,
): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  const api = new HubApi(options);
  return (request, response) => api.handle(request, response);
}

class HubApi {
  readonly #options: HubApiOptions;
  readonly #router = new Router<Handler>();

  constructor(options: HubApiOptions) {
    this.#options = options;
    const { repositories, tags, images, devices } = options;
    const routes: readonly [string, string, Handler][] = [
      ['GET', '/api/session', (exchange) => this.#session(exchange)],
      ['POST', '/api/session', (exchange) => this.#signIn(exchange)],
      ['DELETE', '/api/session', (exchange) => this.#signOut(exchange)],
      ['POST', '/api/signup', (exchange) => this.#signUp(exchange)],
      ['GET', '/api/guide', (exchange) => this.#guide(exchange)],
      ['GET', '/api/events', (exchange) => this.#events(exchange)],
      ['GET', '/api/tokens', (exchange) => this.#listTokens(exchange)],
      ['POST', '/api/tokens', (exchange) => this.#createToken(exchange)],
      ['PATCH', '/api/tokens/:id', (exchange) => this.#updateToken(exchange)],
      ['DELETE', '/api/tokens/:id', (exchange) => this.#deleteToken(exchange)],
      ['POST', '/api/device', (exchange) => devices.start(exchange)],
      ['POST', '/api/device/token', (exchange) => devices.poll(exchange)],
      ['GET', '/api/device', (exchange) => devices.find(exchange)],
      ['POST', '/api/device/decision', (exchange) => devices.decide(exchange)],
      ['GET', '/api/repositories', (exchange) => repositories.list(exchange)],
      ['POST', '/api/repositories', (exchange) => repositories.create(exchange)],
      ['GET', '/api/repositories/:namespace/:name+', (exchange) => repositories.get(exchange)],
      ['PATCH', '/api/repositories/:namespace/:name+', (exchange) => repositories.update(exchange)],
      ['DELETE', '/api/repositories/:namespace/:name+', (exchange) => repositories.delete(exchange)],
      ['POST', '/api/move/:namespace/:name+', (exchange) => repositories.move(exchange)],
      ['PUT', '/api/stars/:namespace/:name+', (exchange) => repositories.star(exchange)],
      ['DELETE', '/api/stars/:namespace/:name+', (exchange) => repositories.star(exchange)],
      ['GET', '/api/tags/:namespace/:name+', (exchange) => tags.list(exchange)],
      ['DELETE', '/api/tags/:namespace/:name+', (exchange) => tags.delete(exchange)],
      ['POST', '/api/tags-preview/:namespace/:name+', (exchange) => tags.preview(exchange)],
      ['POST', '/api/tags-delete/:namespace/:name+', (exchange) => tags.remove(exchange)],
      ['GET', '/api/retention/:namespace/:name+', (exchange) => tags.showRetention(exchange)],
      ['PUT', '/api/retention/:namespace/:name+', (exchange) => tags.saveRetention(exchange)],
      ['POST', '/api/retention-preview/:namespace/:name+', (exchange) => tags.previewRetention(exchange)],
      ['POST', '/api/retention-run/:namespace/:name+', (exchange) => tags.runRetention(exchange)],
      ['GET', '/api/image/:namespace/:name+', (exchange) => images.describe(exchange)],
      ['GET', '/api/tree/:namespace/:name+', (exchange) => images.tree(exchange)],
      ['GET', '/api/file/:namespace/:name+', (exchange) => images.file(exchange)],
      ['GET', '/api/waste/:namespace/:name+', (exchange) => images.waste(exchange)],
      ['GET', '/api/dockerfile/:namespace/:name+', (exchange) => images.dockerfile(exchange)],
      ['GET', '/api/attached/:namespace/:name+', (exchange) => images.attached(exchange)],
      ['GET', '/api/document/:namespace/:name+', (exchange) => images.document(exchange)],
      ['GET', '/api/family/:namespace/:name+', (exchange) => images.family(exchange)],
    ];
    for (const [method, path, handler] of routes) this.#router.add(method, path, handler);
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const url = new URL(request.url ?? '/', 'http://hub.invalid');
      const match = this.#router.find(request.method ?? 'GET', url.pathname);
      if (match === undefined)
        throw new CodedError('not_found', `there is no ${request.method} ${url.pathname}`);
      checkSafe(request);
      if (this.#options.isReadOnly) checkReadOnly(request.method ?? '', url.pathname);
      const secret = sessionSecret(request);
      const account = secret === undefined ? undefined : await this.#options.accounts.findSession(secret);
      await match.value({ request, response, params: match.params, query: url.searchParams, account });
    } catch (error) {
      if (!(error instanceof CodedError) || error.code === 'internal') this.#options.onError(error);
      if (response.headersSent) response.destroy();
      else sendError(response, error);
    }
  }

  async #session({ request, response, account }: Exchange): Promise<void> {
    const info: SessionInfo = {
      account: account === undefined ? null : publicOf(account),
      isFirstRun: await this.#options.accounts.isEmpty(),
      allowsSignUp: this.#options.allowsSignUp,
      isReadOnly: this.#options.isReadOnly,
      registryHost: new URL(this.#options.publicUrl ?? originOf(request)).host,
      version: this.#options.version,
    };
    sendJson(response, 200, info);
  }

  async #signUp(exchange: Exchange): Promise<void> {
    const body = await readJson<SignUpRequest>(exchange);
    if (!this.#options.allowsSignUp && !(await this.#options.accounts.isEmpty())) {
      throw new CodedError(
        'permission_denied',
        'people cannot sign up here by themselves; ask the administrator for an account',
      );
    }
    const account = await this.#options.accounts.create({
      username: textOf(body.username),
      email: textOf(body.email),
      password: textOf(body.password),
    });
    await this.#startSession(exchange, account, 201);
  }

  async #signIn(exchange: Exchange): Promise<void> {
    const body = await readJson<SignInRequest>(exchange);
    const login = textOf(body.login).trim().toLowerCase();
    const address = addressOf(exchange.request);
    this.#options.limiter.check(login, address);
    const account = await this.#options.accounts.verifyPassword(login, textOf(body.password));
    if (account === undefined) {
      this.#options.limiter.fail(login, address);
      throw new CodedError('unauthenticated', 'incorrect username or password', {
        help: { id: 'login/bad-password' },
      });
    }
    await this.#startSession(exchange, account, 200);
  }

  async #startSession({ request, response }: Exchange, account: AccountRow, status: number): Promise<void> {
    const old = sessionSecret(request);
    if (old !== undefined) await this.#options.accounts.closeSession(old);
    const { secret, expiresAt } = await this.#options.accounts.openSession(
      account,
      request.headers['user-agent'] ?? '',
    );
    response.setHeader('set-cookie', sessionCookie(secret, expiresAt, isHttps(request)));
    sendJson(response, status, publicOf(account));
  }

  async #signOut({ request, response }: Exchange): Promise<void> {
    const secret = sessionSecret(request);
    if (secret !== undefined) await this.#options.accounts.closeSession(secret);
    response.setHeader('set-cookie', sessionCookie(undefined, new Date(0), isHttps(request)));
    sendJson(response, 200, {});
  }

  async #guide(exchange: Exchange): Promise<void> {
    const account = requireAccount(exchange);
    const { repository, tag } = await this.#options.catalog.findLatest(account.username);
    const state: GuideState = {
      signedInByClient: await this.#options.accounts.hasClientSignIn(account),
      createdRepository: repository !== null,
      pushedTag: tag !== null,
      repository,
      tag,
    };
    sendJson(exchange.response, 200, state);
  }

  async #events({ response, account }: Exchange): Promise<void> {
    this.#options.live.open(response, (event) => this.#mayObserve(event, account));
  }

  async #mayObserve(event: HubEvent, account: AccountRow | undefined): Promise<boolean> {
    if (event.kind === 'signin') return event.username === account?.username;
    if (account?.isAdmin === true) return true;
    const names = event.kind === 'move' ? [event.repository, event.to] : [event.repository];
    for (const name of names) {
      if (namespaceOf(name) === account?.username) return true;
      if ((await this.#options.catalog.findSettings(name))?.visibility === 'public') return true;
    }
    return false;
  }

  async #listTokens(exchange: Exchange): Promise<void> {
    sendJson(exchange.response, 200, await this.#options.accounts.listTokens(requireAccount(exchange)));
  }

  async #createToken(exchange: Exchange): Promise<void> {
    const account = requireAccount(exchange);
    const body = await readJson<CreateTokenRequest>(exchange);
    const created = await this.#options.accounts.createToken(account, {
      description: textOf(body.description),
      scope: body.scope ?? 'read',
      repositories: Array.isArray(body.repositories) ? body.repositories.map(String) : [],
      expiresInDays: body.expiresInDays ?? null,
      expiresAt: body.expiresAt ?? null,
    });
    sendJson(exchange.response, 201, created);
  }

  async #updateToken(exchange: Exchange): Promise<void> {
    const account = requireAccount(exchange);
    const { isActive } = await readJson<{ isActive: boolean }>(exchange);
    const found = await this.#options.accounts.setTokenActive(
      account,
      exchange.params['id'] ?? '',
      isActive === true,
    );
    if (!found) throw new CodedError('not_found', 'there is no such token');
    sendJson(exchange.response, 200, {});
  }

  async #deleteToken(exchange: Exchange): Promise<void> {
    const account = requireAccount(exchange);
    if (!(await this.#options.accounts.deleteToken(account, exchange.params['id'] ?? ''))) {
      throw new CodedError('not_found', 'there is no such token');
    }
    sendJson(exchange.response, 200, {});
  }
}

/** Sessions and sign-ins of command lines do not touch what is kept for people. */
function checkReadOnly(method: string, path: string): void {
  if (method === 'GET' || method === 'HEAD' || /^\/api\/(?:session$|device)/.test(path)) return;
  throw new CodedError('failed_precondition', 'the hub is read-only for now: nothing can be changed', {
    help: {
      id: 'hub/read-only',
      cause: 'its administrator started it with --read-only',
      fix: ['pulling and looking work; try again later'],
    },
  });
}

function publicOf(account: AccountRow): SessionInfo['account'] {
  const { username, email, isAdmin, createdAt } = account;
  return { username, email, isAdmin, createdAt };
}
