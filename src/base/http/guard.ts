/** Checks every server of ours makes before it routes a request. */
import type { IncomingMessage } from 'node:http';
import { CodedError } from '#base/errors/index.ts';

/** Parser limits for `http.createServer`: one slow or huge head must not cost others anything. */
export const HTTP_LIMITS = {
  maxHeaderSize: 64 * 1024,
  headersTimeout: 8_000,
  connectionsCheckingInterval: 2_000,
  requireHostHeader: true,
  noDelay: true,
} as const;

const HOST = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._~%/-]*))(?::([0-9]{1,5}))?$/;

/** How many Host headers a request has; more than one is an attack on whatever stands in front of us. */
export function countHostHeaders(rawHeaders: readonly string[]): number {
  let count = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) if (rawHeaders[i]?.toLowerCase() === 'host') count++;
  return count;
}

/** Whether a host (name or address, no port) is this machine's loopback. */
export function isLoopbackHost(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, '').toLowerCase();
  return bare === 'localhost' || bare === '::1' || /^127(?:\.\d{1,3}){3}$/.test(bare);
}

/**
 * Checks the Host header: one, well-formed, and (with `allowed`) the name of this server, which is what stops a web
 * page from reaching us through a DNS name of its own. Addresses cannot be rebound and are allowed.
 * @throws {CodedError} `invalid_argument`, or `permission_denied` for a foreign name.
 */
export function checkHost(request: IncomingMessage, allowed: readonly string[] | undefined): void {
  if (request.httpVersionMajor < 1) throw new CodedError('invalid_argument', 'HTTP/0.9 is not served');
  if (countHostHeaders(request.rawHeaders) > 1)
    throw new CodedError('invalid_argument', 'request has more than one Host header');
  const text = request.headers.host ?? '';
  const match = HOST.exec(text);
  if (match === null)
    throw new CodedError('invalid_argument', `malformed Host header: ${JSON.stringify(text)}`);
  if (allowed === undefined || text === '' || match[1] !== undefined) return;
  const name = (match[2] ?? '').toLowerCase();
  if (isLoopbackHost(name) || /^\d{1,3}(?:\.\d{1,3}){3}$/.test(name) || allowed.includes(name)) return;
  throw new CodedError('permission_denied', `host "${name}" is not served here`, {
    help: { id: 'api/host', cause: 'the Host header names neither this server nor a loopback address' },
  });
}

/**
 * Refuses a request that a web page of another origin caused. Tools send neither header.
 * @throws {CodedError} `permission_denied`.
 */
export function checkOrigin(request: IncomingMessage): void {
  const site = request.headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none') throw foreign(String(site));
  const origin = request.headers.origin;
  if (origin === undefined) return;
  const host = URL.canParse(origin) ? new URL(origin).host : undefined;
  if (host === undefined || host !== request.headers.host) throw foreign(origin);
}

function foreign(from: string): CodedError {
  return new CodedError('permission_denied', `cross-origin request refused: ${JSON.stringify(from)}`);
}
