import { CodedError } from '#base/errors/index.ts';
import { digestOf } from '#oci/digest/index.ts';
import { type Authorizer, createAuthorizer, normalizeRegistry } from '#registry/auth/index.ts';
import type { Credentials } from '#registry/auth/types.ts';
import { createInsecureCheck, type Endpoint, listEndpoints } from './endpoint.ts';
import { NetworkError, RegistryResponseError } from './errors.ts';
import { createMirroredRepository } from './mirrored.ts';
import { createRepositoryClient } from './repository.ts';
import { createSession } from './session.ts';
import { createTransport, discard, readBody, type Transport } from './transport.ts';
import type { RegistryClient, RegistryClientOptions, RepositoryClient, RepositoryOptions } from './types.ts';

const TOKEN_BODY_LIMIT = 1024 * 1024;
/** How long a working endpoint is used without asking again. */
const ENDPOINT_TTL_MS = 5 * 60_000;
const MAX_AUTHORIZERS = 64;

/** Makes a registry client. It holds connections and tokens: one per process is enough. */
export function createRegistryClient(options: RegistryClientOptions = {}): RegistryClient {
  return new HttpRegistryClient(options);
}

class HttpRegistryClient implements RegistryClient {
  readonly #options: RegistryClientOptions;
  readonly #isInsecure: (host: string) => boolean;
  readonly #transport: Transport;
  readonly #authorizers = new Map<string, Authorizer>();
  readonly #working = new Map<string, { endpoint: Endpoint; until: number }>();

  constructor(options: RegistryClientOptions) {
    this.#options = options;
    this.#isInsecure = createInsecureCheck(options.insecureRegistries ?? []);
    this.#transport = createTransport(options, this.#isInsecure);
  }

  async openRepository(
    name: { readonly registry: string; readonly repository: string },
    options: RepositoryOptions,
  ): Promise<RepositoryClient> {
    const endpoints = listEndpoints(name.registry, options.access, this.#options, this.#isInsecure);
    const mirrors = endpoints.filter(({ isMirror }) => isMirror);
    const own = endpoints.filter(({ isMirror }) => !isMirror);
    const open = (some: readonly Endpoint[]) => this.#open(name, some, options);
    if (mirrors.length === 0) return open(own);
    return createMirroredRepository([...mirrors.map((mirror) => () => open([mirror])), () => open(own)]);
  }

  async checkLogin(
    registry: string,
    credentials: Credentials,
    signal?: AbortSignal,
  ): Promise<{ readonly status: string; readonly identityToken?: string }> {
    let failure: unknown;
    for (const { base } of listEndpoints(registry, 'push', this.#options, this.#isInsecure)) {
      // A fresh authorizer: a cached token would say yes to a wrong password.
      const authorizer = newAuthorizer(base, credentials, this.#options, this.#transport);
      try {
        await login(this.#transport, base, authorizer, signal);
      } catch (error) {
        if (!(error instanceof NetworkError)) throw loginError(error, base, credentials);
        failure = worse(failure, error);
        continue;
      }
      const { identityToken } = authorizer;
      return { status: 'Login Succeeded', ...(identityToken ? { identityToken } : {}) };
    }
    throw failure;
  }

  close(): Promise<void> {
    return this.#transport.close();
  }

  async #open(
    name: { readonly registry: string; readonly repository: string },
    endpoints: readonly Endpoint[],
    options: RepositoryOptions,
  ): Promise<RepositoryClient> {
    const { endpoint, credentials, authorizer } = await this.#connect(name.registry, endpoints, options);
    return createRepositoryClient({
      session: createSession(this.#transport, endpoint.base, authorizer, this.#options.retry),
      registry: normalizeRegistry(name.registry),
      repository: name.repository,
      access: options.access,
      username: credentials?.username,
      authenticated: credentials !== undefined,
      retry: this.#options.retry,
    });
  }

  /** The first address that answers; the one that did is used for a while without asking again. */
  async #connect(
    registry: string,
    endpoints: readonly Endpoint[],
    { credentials: source, access, signal }: RepositoryOptions,
  ): Promise<Connection> {
    const cacheKey = `${access} ${normalizeRegistry(registry)} ${endpoints[0]?.base.origin}`;
    const known = this.#working.get(cacheKey);
    if (known !== undefined && known.until > performance.now())
      return this.#connectionTo(known.endpoint, await source(known.endpoint.credentialsKey));
    let failure: unknown;
    for (const endpoint of endpoints) {
      const connection = this.#connectionTo(endpoint, await source(endpoint.credentialsKey));
      try {
        await ping(this.#transport, endpoint.base, connection.authorizer, signal);
      } catch (error) {
        if (signal?.aborted) throw signal.reason;
        failure = worse(failure, error);
        continue;
      }
      this.#working.set(cacheKey, { endpoint, until: performance.now() + ENDPOINT_TTL_MS });
      return connection;
    }
    throw failure;
  }

  #connectionTo(endpoint: Endpoint, credentials: Credentials | undefined): Connection {
    return { endpoint, credentials, authorizer: this.#authorizerFor(endpoint.base, credentials) };
  }

  #authorizerFor(base: URL, credentials: Credentials | undefined): Authorizer {
    // Tokens belong to one user at one origin; the key does not hold the secret itself.
    const key = `${base.origin} ${digestOf(JSON.stringify(credentials ?? null))}`;
    const known = this.#authorizers.get(key);
    if (known !== undefined) return known;
    const oldest = this.#authorizers.keys().next();
    if (this.#authorizers.size >= MAX_AUTHORIZERS && !oldest.done) this.#authorizers.delete(oldest.value);
    const made = newAuthorizer(base, credentials, this.#options, this.#transport);
    this.#authorizers.set(key, made);
    return made;
  }
}

interface Connection {
  readonly endpoint: Endpoint;
  readonly credentials: Credentials | undefined;
  readonly authorizer: Authorizer;
}

/** Of the failures of one registry's addresses, the one that tells most: a wrong protocol says only "try the other". */
function worse(before: unknown, now: unknown): unknown {
  if (before === undefined || (before instanceof NetworkError && before.wrongProtocol)) return now;
  return before;
}

function newAuthorizer(
  base: URL,
  credentials: Credentials | undefined,
  options: RegistryClientOptions,
  transport: Transport,
): Authorizer {
  return createAuthorizer({
    registry: base,
    credentials,
    ...(options.knownRealms === undefined ? {} : { knownRealms: options.knownRealms }),
    async send(request) {
      const response = await transport.send(request);
      const body = await readBody(response, TOKEN_BODY_LIMIT);
      return { status: response.status, body: body.toString('utf8') };
    },
  });
}

/** `GET /v2/` without credentials: whether a registry answers here, and how it wants to be authorized. */
async function ping(
  transport: Transport,
  base: URL,
  authorizer: Authorizer,
  signal: AbortSignal | undefined,
): Promise<number> {
  const url = pingUrl(base);
  const response = await transport.send({ method: 'GET', url, signal });
  const { status } = response;
  if (status === 400) {
    const text = (await readBody(response, 64 * 1024)).toString('utf8');
    if (/HTTPS server|plain HTTP request was sent to HTTPS/i.test(text))
      throw new NetworkError(`Get "${url.href}": the server wants TLS`, {
        transient: false,
        wrongProtocol: true,
        cause: undefined,
      });
  } else await discard(response);
  if (status === 401) authorizer.learn(response.headers['www-authenticate'], [], undefined);
  if (status >= 500)
    throw new NetworkError(`Get "${url.href}": received unexpected HTTP status: ${status}`, {
      transient: true,
      wrongProtocol: false,
      cause: undefined,
    });
  return status;
}

async function login(
  transport: Transport,
  base: URL,
  authorizer: Authorizer,
  signal: AbortSignal | undefined,
): Promise<void> {
  if ((await ping(transport, base, authorizer, signal)) !== 401) return;
  const session = createSession(transport, base, authorizer);
  await discard(await session.send({ method: 'GET', url: pingUrl(base), scopes: [], expect: [200], signal }));
}

function pingUrl(base: URL): URL {
  return new URL(`${base.pathname.replace(/\/$/, '')}/v2/`, base);
}

function loginError(error: unknown, base: URL, credentials: Credentials): unknown {
  const refused =
    error instanceof CodedError &&
    (error.code === 'unauthenticated' || (error instanceof RegistryResponseError && error.status === 403));
  if (!refused) return error;
  const detail = /unauthorized: (.*)$/.exec(error.message)?.[1] ?? 'incorrect username or password';
  const said = detail === 'authentication required' ? 'incorrect username or password' : detail;
  return new CodedError('unauthenticated', `Get "${pingUrl(base).href}": unauthorized: ${said}`, {
    cause: error,
    subject: { kind: 'registry', name: base.host },
    help: {
      id: 'login/bad-password',
      cause: `${base.host} does not accept this name and password${credentials.username ? ` (user ${credentials.username})` : ''}; with 2FA or SSO it wants an access token`,
      fix: [`slipway login ${base.host}`],
    },
  });
}
