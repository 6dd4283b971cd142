import { CodedError } from '#base/errors/index.ts';
import { type Challenge, parseChallenges } from './challenge.ts';
import { isTrustedRealm } from './realm.ts';
import type { Credentials } from './types.ts';

/** One HTTP exchange for a token, made by whoever owns the connections; redirects are not followed. */
export type TokenSender = (request: {
  readonly method: 'GET' | 'POST';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal?: AbortSignal | undefined;
}) => Promise<{ readonly status: number; readonly body: string }>;

/** Options of `createAuthorizer`. */
export interface AuthorizerOptions {
  /** Origin the credentials are for, such as `https://registry-1.docker.io`; nothing is sent to another one. */
  readonly registry: URL;
  readonly credentials: Credentials | undefined;
  readonly send: TokenSender;
  readonly clientId?: string;
  /** Registry host to token host, beside the built-in pairs. */
  readonly knownRealms?: Readonly<Record<string, string>>;
  /** Milliseconds of a clock that never jumps. */
  readonly now?: () => number;
}

/** Answers the challenges of one registry origin. Tokens are cached by scope and asked for once by many waiters. */
export interface Authorizer {
  /** Value for `Authorization`, or `undefined` while no challenge is known. */
  authorize(scopes: readonly string[], signal?: AbortSignal): Promise<string | undefined>;
  /**
   * Learns from a 401. `sent` is the header the refused request carried.
   * Returns whether the request is worth sending again.
   */
  learn(
    challenges: string | readonly string[] | undefined,
    scopes: readonly string[],
    sent: string | undefined,
  ): boolean;
  /** An identity token the service handed out during a login. */
  readonly identityToken: string | undefined;
  /** Why credentials were not used, for an error's help. */
  readonly withheld: string | undefined;
}

interface BearerService {
  readonly realm: URL;
  readonly service: string;
  readonly challengeScope: string;
}
interface CachedToken {
  readonly token: string;
  readonly expiresAt: number;
}

/** Seconds a token lasts when the service does not say. Spec: distribution token authentication. */
const DEFAULT_EXPIRY_S = 60;
const EXPIRY_MARGIN_S = 5;

/** Makes the authorizer of one registry origin and one set of credentials. */
export function createAuthorizer(options: AuthorizerOptions): Authorizer {
  return new OriginAuthorizer(options);
}

class OriginAuthorizer implements Authorizer {
  identityToken: string | undefined;
  withheld: string | undefined;
  readonly #options: AuthorizerOptions;
  readonly #now: () => number;
  readonly #tokens = new Map<string, CachedToken>();
  readonly #waiting = new Map<string, Promise<string>>();
  #scheme: 'unknown' | 'basic' | 'bearer' = 'unknown';
  #service: BearerService | undefined;

  constructor(options: AuthorizerOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  async authorize(scopes: readonly string[], signal?: AbortSignal): Promise<string | undefined> {
    const { credentials, registry } = this.#options;
    if (credentials?.registryToken) return `Bearer ${credentials.registryToken}`;
    if (this.#scheme === 'unknown') return undefined;
    if (this.#scheme === 'bearer') return `Bearer ${await this.#bearerToken(scopes, signal)}`;
    const { username = '', password = '' } = credentials ?? {};
    if (username === '' && password === '') throw noBasicCredentials(registry);
    return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  }

  learn(
    headers: string | readonly string[] | undefined,
    scopes: readonly string[],
    sent: string | undefined,
  ): boolean {
    const challenges = parseChallenges(headers);
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
    const read = bearer === undefined ? undefined : readBearer(bearer, this.#options.registry);
    if (read !== undefined) return this.#learnBearer(read, bearer?.parameters['error'], scopes, sent);
    if (!challenges.some(({ scheme }) => scheme === 'basic')) return false;
    this.#scheme = 'basic';
    return sent === undefined || !sent.startsWith('Basic ');
  }

  #learnBearer(
    read: BearerService,
    error: string | undefined,
    scopes: readonly string[],
    sent: string | undefined,
  ): boolean {
    const known = this.#scheme === 'bearer' && this.#service?.realm.href === read.realm.href;
    this.#service = read;
    this.#scheme = 'bearer';
    if (this.#options.credentials?.registryToken) return false;
    if (!known || sent === undefined || !sent.startsWith('Bearer ')) return true;
    // Our token was refused. A stale one is worth one more try; a too narrow one is an answer.
    if (error === 'insufficient_scope') return false;
    const key = keyOf(scopes);
    return sent === `Bearer ${this.#tokens.get(key)?.token}` && this.#tokens.delete(key);
  }

  async #bearerToken(scopes: readonly string[], signal: AbortSignal | undefined): Promise<string> {
    const service = this.#service;
    if (service === undefined) throw new CodedError('internal', 'no token service is known');
    const wanted = scopes.length === 0 && service.challengeScope ? [service.challengeScope] : scopes;
    const key = keyOf(wanted);
    const cached = this.#tokens.get(key);
    if (cached !== undefined && cached.expiresAt > this.#now()) return cached.token;
    const pending = this.#waiting.get(key);
    if (pending !== undefined) return pending;
    const request = this.#fetch(service, wanted, key, signal);
    this.#waiting.set(key, request);
    try {
      return await request;
    } finally {
      this.#waiting.delete(key);
    }
  }

  async #fetch(
    service: BearerService,
    scopes: readonly string[],
    key: string,
    signal: AbortSignal | undefined,
  ): Promise<string> {
    const { registry, knownRealms } = this.#options;
    const trusted = isTrustedRealm(service.realm, registry, knownRealms);
    const credentials = trusted ? this.#options.credentials : undefined;
    if (!trusted && this.#options.credentials !== undefined) {
      this.withheld = `the registry names ${service.realm.origin} as its token service, which is not part of ${registry.host}: the stored credentials were not sent`;
    }
    const started = this.#now();
    const answer = await fetchToken(service, scopes, credentials, this.#options, signal);
    const lastsMs = Math.max(answer.expiresInS - EXPIRY_MARGIN_S, 1) * 1000;
    this.#tokens.set(key, { token: answer.token, expiresAt: started + lastsMs });
    this.identityToken ??= answer.refreshToken;
    return answer.token;
  }
}

function keyOf(scopes: readonly string[]): string {
  return [...scopes].sort().join(' ');
}

function readBearer(challenge: Challenge, registry: URL): BearerService | undefined {
  const text = challenge.parameters['realm'] ?? '';
  if (!URL.canParse(text, registry)) return undefined;
  const realm = new URL(text, registry);
  if (realm.protocol !== 'https:' && realm.protocol !== 'http:') return undefined;
  return {
    realm,
    service: challenge.parameters['service'] ?? '',
    challengeScope: challenge.parameters['scope'] ?? '',
  };
}

interface TokenAnswer {
  readonly token: string;
  readonly expiresInS: number;
  readonly refreshToken: string | undefined;
}

/** GET for a name and password or nobody; POST when we hold an identity token, as the OAuth form demands. */
async function fetchToken(
  service: BearerService,
  scopes: readonly string[],
  credentials: Credentials | undefined,
  options: AuthorizerOptions,
  signal: AbortSignal | undefined,
): Promise<TokenAnswer> {
  const clientId = options.clientId ?? 'slipway';
  if (credentials?.identityToken) {
    const form = new URLSearchParams({
      grant_type: 'refresh_token',
      refresh_token: credentials.identityToken,
      service: service.service,
      client_id: clientId,
      access_type: 'offline',
    });
    if (scopes.length > 0) form.set('scope', scopes.join(' '));
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const answer = await options.send({
      method: 'POST',
      url: service.realm,
      headers,
      body: form.toString(),
      signal,
    });
    return readToken(answer, service.realm, credentials);
  }
  const url = new URL(service.realm);
  if (service.service) url.searchParams.set('service', service.service);
  for (const scope of scopes) url.searchParams.append('scope', scope);
  const headers: Record<string, string> = {};
  if (credentials?.username) {
    url.searchParams.set('account', credentials.username);
    url.searchParams.set('client_id', clientId);
    url.searchParams.set('offline_token', 'true');
    const pair = `${credentials.username}:${credentials.password ?? ''}`;
    headers['authorization'] = `Basic ${Buffer.from(pair).toString('base64')}`;
  }
  return readToken(await options.send({ method: 'GET', url, headers, signal }), url, credentials);
}

function readToken(
  answer: { readonly status: number; readonly body: string },
  url: URL,
  credentials: Credentials | undefined,
): TokenAnswer {
  const value = parseObject(answer.body);
  if (answer.status !== 200) throw tokenError(answer.status, value, url, credentials);
  const text = (key: string): string | undefined =>
    typeof value[key] === 'string' && value[key] !== '' ? value[key] : undefined;
  const token = text('token') ?? text('access_token');
  if (token === undefined || /[\r\n\0]/.test(token)) {
    throw new CodedError(
      'unavailable',
      `authorization server ${url.origin} did not include a token in the response`,
    );
  }
  const expires = value['expires_in'];
  return {
    token,
    expiresInS: typeof expires === 'number' && expires > 0 ? expires : DEFAULT_EXPIRY_S,
    refreshToken: text('refresh_token'),
  };
}

function tokenError(
  status: number,
  value: Record<string, unknown>,
  url: URL,
  credentials: Credentials | undefined,
): CodedError {
  const first: unknown = Array.isArray(value['errors']) ? value['errors'][0] : undefined;
  const fromList =
    typeof first === 'object' && first !== null && 'message' in first ? String(first.message) : undefined;
  const said = fromList ?? (typeof value['details'] === 'string' ? value['details'] : undefined);
  const shown = `${url.origin}${url.pathname}`;
  if (status === 401 || status === 403) {
    const detail =
      said ?? (credentials?.username ? 'incorrect username or password' : 'authentication required');
    return new CodedError('unauthenticated', `Get "${shown}": unauthorized: ${detail}`, {
      subject: { kind: 'registry', name: url.host },
      help: {
        id: 'login/bad-password',
        cause: credentials?.username
          ? `${url.host} does not accept the password stored for ${credentials.username}; with 2FA or SSO it wants an access token`
          : `${url.host} gives no token to an anonymous user`,
        fix: ['slipway login'],
      },
    });
  }
  const code = status === 429 ? 'resource_exhausted' : 'unavailable';
  return new CodedError(
    code,
    `Get "${shown}": unexpected status from token service: ${status}${said ? `: ${said}` : ''}`,
  );
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function noBasicCredentials(registry: URL): CodedError {
  return new CodedError('unauthenticated', 'no basic auth credentials', {
    subject: { kind: 'registry', name: registry.host },
    help: {
      id: 'auth/none-for-host',
      cause: `no credentials are stored for ${registry.host}`,
      fix: [`slipway login ${registry.host}`],
    },
  });
}
