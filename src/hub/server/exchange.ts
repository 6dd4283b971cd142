import type { IncomingMessage, ServerResponse } from 'node:http';
import { CodedError, codeOf, type ErrorCode, messageOf } from '#base/errors/index.ts';
import { checkOrigin, parseJsonBody, readBody } from '#base/http/index.ts';
import type { AccountRow } from '#hub/account/index.ts';
import type { ApiError } from '#hub/protocol/index.ts';

/** One request of the page. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** Who the session cookie belongs to. */
  readonly account: AccountRow | undefined;
}

const BODY_LIMIT_BYTES = 512 * 1024;
const COOKIE = 'slipway_session';

const STATUS: Readonly<Record<ErrorCode, number>> = {
  invalid_argument: 422,
  not_found: 404,
  already_exists: 409,
  conflict: 409,
  failed_precondition: 409,
  unauthenticated: 401,
  permission_denied: 403,
  resource_exhausted: 429,
  unavailable: 503,
  aborted: 500,
  data_loss: 500,
  unimplemented: 501,
  internal: 500,
};

/** The signed-in account. @throws {CodedError} `unauthenticated`. */
export function requireAccount(exchange: Exchange): AccountRow {
  if (exchange.account !== undefined) return exchange.account;
  throw new CodedError('unauthenticated', 'sign in first');
}

/**
 * The JSON body of a request that changes something. It must be ours: JSON by type, from the same origin.
 * @throws {CodedError} `invalid_argument`, `permission_denied`, `resource_exhausted`.
 */
export async function readJson<T extends object>(exchange: Exchange): Promise<Partial<T>> {
  const type = exchange.request.headers['content-type'] ?? '';
  if (!/^application\/json(?:;|$)/i.test(type))
    throw new CodedError('invalid_argument', `content type "${type}" is not JSON`);
  const bytes = await readBody(exchange.request, BODY_LIMIT_BYTES);
  let value: unknown;
  try {
    value = parseJsonBody(bytes);
  } catch (error) {
    throw new CodedError('invalid_argument', `cannot read the request: ${messageOf(error)}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new CodedError('invalid_argument', 'the request is not a JSON object');
  return value as Partial<T>;
}

/** Refuses what another site made the browser send. Reading is free of side effects and needs no check. */
export function checkSafe(request: IncomingMessage): void {
  if (request.method !== 'GET' && request.method !== 'HEAD') checkOrigin(request);
}

/** Where a request came from. */
export function addressOf(request: IncomingMessage): string {
  return request.socket.remoteAddress ?? '';
}

/** Whether a request came over TLS. */
export function isHttps(request: IncomingMessage): boolean {
  return 'encrypted' in request.socket;
}

/** This hub's origin as the caller wrote it. */
export function originOf(request: IncomingMessage): string {
  return `${isHttps(request) ? 'https' : 'http'}://${request.headers.host ?? 'localhost'}`;
}

/** A text field, or `''`. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** Answers with a JSON document that nobody caches. */
export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  const body = Buffer.from(JSON.stringify(value));
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': body.length,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(body);
}

/** The answer to a thrown value; what is no `CodedError` is a bug and shows nothing of itself. */
export function sendError(response: ServerResponse, error: unknown): void {
  const code = codeOf(error);
  const known = error instanceof CodedError ? error : undefined;
  const body: ApiError = {
    error: {
      code: known?.help?.id ?? code,
      message:
        known === undefined ? 'something went wrong here; the log of the hub says what' : known.message,
      ...(known?.subject?.kind === 'field' ? { field: known.subject.name } : {}),
      ...(known?.help?.cause === undefined ? {} : { cause: known.help.cause }),
      ...(known?.help?.fix === undefined ? {} : { fix: known.help.fix }),
    },
  };
  const wait = known?.data?.['retryAfterSeconds'];
  if (typeof wait === 'number') response.setHeader('retry-after', Math.max(1, Math.ceil(wait)));
  sendJson(response, STATUS[code], body);
}

/** The secret in the session cookie, if any. */
export function sessionSecret(request: IncomingMessage): string | undefined {
  for (const part of (request.headers.cookie ?? '').split(';')) {
    const [name, value] = part.trim().split('=');
    if (name === COOKIE && value) return value;
  }
  return undefined;
}

/** `Set-Cookie` for a session; no secret: the cookie is dropped. */
export function sessionCookie(secret: string | undefined, expiresAt: Date, isHttps: boolean): string {
  const attributes = `Path=/; HttpOnly; SameSite=Lax; Expires=${expiresAt.toUTCString()}${isHttps ? '; Secure' : ''}`;
  return `${COOKIE}=${secret ?? ''}; ${attributes}`;
}
