import { CodedError, messageOf } from '#base/errors/index.ts';
import { isLoopbackHost, readBody } from '#base/http/index.ts';
import { DEFAULT_REGISTRY } from '#oci/reference/index.ts';
import { createAuthorizer, type TokenSender } from '#registry/auth/index.ts';
import type { Credentials } from '#registry/auth/types.ts';
import type { ImageBackend, SearchHit } from './backend.ts';

const BODY_LIMIT_BYTES = 4 * 1024 * 1024;
const TIMEOUT_MS = 20_000;
/** What Docker asks a token for when it searches. */
const SCOPE = 'registry:catalog:search';

/**
 * Searches a registry that has Docker's search API (`GET /v1/search?q=&n=`): Docker Hub, or the host a term begins with
 * (`localhost:5000/debian`).
 */
export function createRegistrySearch(options: { readonly userAgent: string }): ImageBackend['search'] {
  return async (term, { limit, credentials, signal }) => {
    const { registry, words } = splitTerm(term);
    const url = searchUrl(registry, words, limit);
    const within = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
    let response: Response;
    try {
      const authorization = await authorizationFor(url, credentials, within);
      response = await fetch(url, {
        headers: {
          'User-Agent': options.userAgent,
          Accept: 'application/json',
          ...(authorization === undefined ? {} : { Authorization: authorization }),
        },
        // Credentials are for this host only.
        redirect: authorization === undefined ? 'follow' : 'error',
        signal: within,
      });
    } catch (error) {
      if (error instanceof CodedError) throw error;
      signal.throwIfAborted();
      throw new CodedError('unavailable', `cannot search ${registry}: ${causeOf(error)}`, { cause: error });
    }
    if (!response.ok || response.body === null) {
      await response.body?.cancel();
      throw refusedBy(registry, response.status);
    }
    return hitsOf(await readBody(response.body, BODY_LIMIT_BYTES), registry);
  };
}

/** A password is sent as it is; what a login left instead of one is exchanged as for a pull. */
async function authorizationFor(
  { origin }: URL,
  credentials: Credentials | undefined,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { username, password, identityToken } = credentials ?? {};
  if (username && password) return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  if (!identityToken) return undefined;
  const registry = new URL(origin);
  const authorizer = createAuthorizer({ registry, credentials, send: sendForToken });
  const ping = await fetch(new URL('/v2/', origin), { redirect: 'error', signal });
  await ping.body?.cancel();
  const challenge = ping.headers.get('www-authenticate') ?? undefined;
  if (ping.status !== 401 || !authorizer.learn(challenge, [SCOPE], undefined)) return undefined;
  return authorizer.authorize([SCOPE], signal);
}

const sendForToken: TokenSender = async ({ method, url, headers, body, signal }) => {
  const init = { method, headers, redirect: 'manual', ...(body === undefined ? {} : { body }) } as const;
  const response = await fetch(url, signal === undefined ? init : { ...init, signal });
  const bytes = response.body === null ? new Uint8Array() : await readBody(response.body, BODY_LIMIT_BYTES);
  return { status: response.status, body: new TextDecoder().decode(bytes) };
};

function splitTerm(term: string): { registry: string; words: string } {
  const slash = term.indexOf('/');
  const first = slash < 0 ? '' : term.slice(0, slash);
  if (first !== 'localhost' && !/[.:]/.test(first)) return { registry: DEFAULT_REGISTRY, words: term };
  return { registry: first === 'index.docker.io' ? DEFAULT_REGISTRY : first, words: term.slice(slash + 1) };
}

function searchUrl(registry: string, words: string, limit: number): URL {
  const isLocal = isLoopbackHost(registry.replace(/:\d+$/, ''));
  const origin =
    registry === DEFAULT_REGISTRY ? 'https://index.docker.io' : `${isLocal ? 'http' : 'https'}://${registry}`;
  if (!URL.canParse(origin)) throw new CodedError('invalid_argument', `invalid registry host "${registry}"`);
  const url = new URL('/v1/search', origin);
  url.searchParams.set('q', words);
  url.searchParams.set('n', String(limit));
  return url;
}

function refusedBy(registry: string, status: number): CodedError {
  if (status === 401 || status === 403)
    return new CodedError('unauthenticated', `cannot search ${registry}: it asks for a login`);
  if (status === 404)
    return new CodedError('not_found', `cannot search ${registry}: this registry has no search`);
  return new CodedError('unavailable', `cannot search ${registry}: it answered ${status}`);
}

function hitsOf(body: Uint8Array, registry: string): readonly SearchHit[] {
  let value: { results?: unknown };
  try {
    value = JSON.parse(new TextDecoder().decode(body)) as { results?: unknown };
  } catch {
    throw new CodedError('unavailable', `cannot search ${registry}: its answer is no JSON`);
  }
  if (!Array.isArray(value?.results))
    throw new CodedError('unavailable', `cannot search ${registry}: its answer has no results`);
  return value.results.map((hit: Readonly<Record<string, unknown>>) => ({
    name: String(hit['name'] ?? ''),
    description: String(hit['description'] ?? ''),
    stars: Number(hit['star_count'] ?? 0) || 0,
    official: hit['is_official'] === true,
    automated: hit['is_automated'] === true,
  }));
}

/** `fetch failed` says nothing; its cause does. */
function causeOf(error: unknown): string {
  return error instanceof Error && error.cause !== undefined ? messageOf(error.cause) : messageOf(error);
}
