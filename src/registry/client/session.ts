import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError } from '#base/errors/index.ts';
import type { Authorizer } from '#registry/auth/index.ts';
import { isTransient, networkError, RegistryResponseError, responseError } from './errors.ts';
import { discard, type HttpRequest, type HttpResponse, readBody, type Transport } from './transport.ts';
import type { RegistryClientOptions } from './types.ts';

/** A request to a registry: what `send` needs beside the HTTP request itself. */
export interface SessionRequest extends Omit<HttpRequest, 'body'> {
  /** Called for each attempt: a stream can be sent once only. */
  readonly body?: () => NonNullable<HttpRequest['body']>;
  readonly scopes: readonly string[];
  /** Statuses that are answers, not failures. */
  readonly expect: readonly number[];
  /** False for a request whose failure the caller handles, such as an upload that starts anew. */
  readonly retry?: boolean;
}

/** Requests to one registry origin: authorization, redirects and retries. */
export interface Session {
  readonly base: URL;
  readonly authorizer: Authorizer;
  /** @throws {RegistryResponseError} for a status that is not expected; {NetworkError} when retries did not help. */
  send(request: SessionRequest): Promise<HttpResponse>;
}

const MAX_REDIRECTS = 5;
const ERROR_BODY_LIMIT = 64 * 1024;
const ATTEMPTS = 5;
const BASE_DELAY_MS = 250;
const MAX_DELAY_MS = 10_000;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/** Makes a session. The authorizer's credentials go to `base`'s origin and nowhere else. */
export function createSession(
  transport: Transport,
  base: URL,
  authorizer: Authorizer,
  retry: RegistryClientOptions['retry'] = {},
): Session {
  return {
    base,
    authorizer,
    send: (request) =>
      request.retry === false
        ? sendAuthorized(transport, base, authorizer, request)
        : withRetries(() => sendAuthorized(transport, base, authorizer, request), retry, request.signal),
  };
}

/** Runs `attempt` again while its failure may pass: back-off doubles, `Retry-After` is honoured when it is short. */
export async function withRetries<T>(
  attempt: () => Promise<T>,
  options: RegistryClientOptions['retry'] = {},
  signal?: AbortSignal,
): Promise<T> {
  const attempts = options.attempts ?? ATTEMPTS;
  for (let failed = 1; ; failed++) {
    try {
      return await attempt();
    } catch (error) {
      if (failed >= attempts || !isTransient(error) || signal?.aborted) throw error;
      const asked = error instanceof RegistryResponseError ? error.retryAfterMs : undefined;
      const limit = options.maxDelayMs ?? MAX_DELAY_MS;
      if (asked !== undefined && asked > limit) throw error;
      const backOff = (options.baseDelayMs ?? BASE_DELAY_MS) * 2 ** (failed - 1) * (0.5 + Math.random());
      await sleep(Math.min(Math.max(asked ?? 0, backOff), limit), undefined, signal ? { signal } : {}).catch(
        (reason: unknown) => {
          throw signal?.aborted ? signal.reason : reason;
        },
      );
    }
  }
}

async function sendAuthorized(
  transport: Transport,
  base: URL,
  authorizer: Authorizer,
  request: SessionRequest,
): Promise<HttpResponse> {
  let url = request.url;
  let challenged = 0;
  for (let hops = 0; hops <= MAX_REDIRECTS; ) {
    request.signal?.throwIfAborted();
    const isHome = url.origin === base.origin;
    const authorization = isHome ? await authorizer.authorize(request.scopes, request.signal) : undefined;
    const { authorization: _, ...headers } = request.headers ?? {};
    const response = await transport.send({
      method: request.method,
      url,
      headers: authorization === undefined ? headers : { ...headers, authorization },
      signal: request.signal,
      ...(request.body === undefined ? {} : { body: request.body() }),
      ...(request.headersTimeoutMs === undefined ? {} : { headersTimeoutMs: request.headersTimeoutMs }),
    });
    if (request.expect.includes(response.status)) return response;
    if (REDIRECTS.has(response.status) && (request.method === 'GET' || request.method === 'HEAD')) {
      await discard(response);
      url = redirectTarget(response);
      hops++;
      continue;
    }
    // A foreign host may not ask for the credentials of this registry.
    if (response.status === 401 && isHome && challenged++ < 2) {
      if (authorizer.learn(response.headers['www-authenticate'], request.scopes, authorization)) {
        await discard(response);
        continue;
      }
    }
    throw await failure(response, request.signal);
  }
  throw new CodedError(
    'unavailable',
    `${request.method} "${request.url.href}": stopped after ${MAX_REDIRECTS} redirects`,
  );
}

/** Resolves a `Location` of a registry's own; a plain HTTP one for the same host of a TLS registry is put right. */
export function resolveLocation(response: HttpResponse): URL {
  const header = response.headers['location'];
  const text = Array.isArray(header) ? header[0] : header;
  if (!text || !URL.canParse(text, response.url)) {
    throw new CodedError('unavailable', `${response.url.host} answered without a usable Location`);
  }
  const target = new URL(text, response.url);
  if (target.protocol !== 'http:' && target.protocol !== 'https:')
    throw new CodedError('unavailable', `${response.url.host} sends us to "${target.protocol}"`);
  if (response.url.protocol === 'https:' && target.protocol === 'http:') {
    if (target.hostname !== response.url.hostname)
      throw new CodedError(
        'unavailable',
        `${response.url.host} sends us to ${target.host} without TLS: refused`,
      );
    target.protocol = 'https:';
    target.port = response.url.port;
  }
  target.username = '';
  target.password = '';
  return target;
}

function redirectTarget(response: HttpResponse): URL {
  return resolveLocation(response);
}

async function failure(response: HttpResponse, signal: AbortSignal | undefined): Promise<CodedError> {
  let body = '';
  try {
    if (response.method !== 'HEAD') body = (await readBody(response, ERROR_BODY_LIMIT)).toString('utf8');
    else await discard(response);
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    if (!(error instanceof CodedError)) throw networkError(error, response.method, response.url);
  }
  return responseError({ ...response, body });
}
