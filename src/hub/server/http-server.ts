/**
 * The hub's one HTTP server. Parts are mounted under prefixes; the longest that matches answers.
 *
 *     /v2         registry          /healthz   the process answers
 *     /token      token service     /readyz    the database answers too
 *     /api        JSON for the page (when mounted)
 *     /v1         search for container clients (when mounted)
 *     /           page              (when mounted)
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { messageOf } from '#base/errors/index.ts';
import type { Log } from '#base/log/index.ts';

/** Answers requests; a rejection is logged and answered with 500. */
export type HttpHandler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;

/** Parts of a hub. */
export interface HubServerOptions {
  readonly log: Log;
  /** Under `/v2`. */
  readonly registry: HttpHandler;
  /** Under `/token`. */
  readonly token?: HttpHandler | undefined;
  /** Under `/api`. */
  readonly api?: HttpHandler | undefined;
  /** Under `/`. */
  readonly page?: HttpHandler | undefined;
  /** Rejects when the hub cannot serve now. */
  readonly checkReady: () => Promise<void>;
}

/** A running hub. */
export interface HubServer {
  readonly server: Server;
  /** Serves `handler` for `prefix` and what is below it. */
  mount(prefix: string, handler: HttpHandler): void;
  /** Begins to listen; resolves with the address, such as `http://127.0.0.1:5000`. */
  listen(address: { readonly host: string; readonly port: number }): Promise<string>;
  /** Takes no more requests, lets the running ones end for `graceMs`, then cuts them. */
  close(graceMs?: number): Promise<void>;
}

const HEADERS_TIMEOUT_MS = 10_000;
const IDLE_TIMEOUT_MS = 120_000;
const KEEP_ALIVE_MS = 65_000;
const HEADER_LIMIT_BYTES = 64 * 1024;
const CLOSE_GRACE_MS = 10_000;

/** Makes a hub's server; nothing listens until `listen`. */
export function createHubServer(options: HubServerOptions): HubServer {
  const mounts = new Mounts();
  mounts.add('/v2', options.registry);
  if (options.token !== undefined) mounts.add('/token', options.token);
  if (options.api !== undefined) mounts.add('/api', options.api);
  if (options.page !== undefined) mounts.add('/', options.page);
  mounts.add('/healthz', (_, response) => sendText(response, 200, 'ok'));
  mounts.add('/readyz', async (_, response) => {
    try {
      await options.checkReady();
      sendText(response, 200, 'ok');
    } catch (error) {
      options.log.warn('hub is not ready', { error: messageOf(error) });
      sendText(response, 503, 'not ready');
    }
  });
  const server = createServer(
    {
      maxHeaderSize: HEADER_LIMIT_BYTES,
      headersTimeout: HEADERS_TIMEOUT_MS,
      // A body may take as long as it moves: the idle timeout below ends those that do not.
      requestTimeout: 0,
      connectionsCheckingInterval: 2000,
      keepAliveTimeout: KEEP_ALIVE_MS,
      noDelay: true,
    },
    (request, response) => {
      void answer(mounts, options.log, request, response);
    },
  );
  server.timeout = IDLE_TIMEOUT_MS;
  server.on('clientError', (_, socket) => {
    if (!socket.writable) {
      socket.destroy();
      return;
    }
    socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    // A peer that goes on sending must not keep the connection.
    (socket as Socket).destroySoon();
  });
  return {
    server,
    mount: (prefix, handler) => mounts.add(prefix, handler),
    listen: (address) => listen(server, address),
    close: (graceMs = CLOSE_GRACE_MS) => close(server, graceMs),
  };
}

/** Prefixes, longest first. */
class Mounts {
  #entries: readonly (readonly [prefix: string, handler: HttpHandler])[] = [];

  add(prefix: string, handler: HttpHandler): void {
    const rest = this.#entries.filter(([known]) => known !== prefix);
    this.#entries = [...rest, [prefix, handler] as const].sort(([a], [b]) => b.length - a.length);
  }

  find(url: string): HttpHandler | undefined {
    return this.#entries.find(([prefix]) => isBelow(url, prefix))?.[1];
  }
}

function isBelow(url: string, prefix: string): boolean {
  if (prefix === '/') return true;
  if (!url.startsWith(prefix)) return false;
  const next = url[prefix.length];
  return next === undefined || next === '/' || next === '?';
}

async function answer(
  mounts: Mounts,
  log: Log,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    if (!hasOneHost(request)) {
      response.setHeader('Connection', 'close');
      sendText(response, 400, 'bad request');
      return;
    }
    const handler = mounts.find(request.url ?? '');
    if (handler === undefined) sendText(response, 404, 'not found');
    else await handler(request, response);
  } catch (error) {
    log.error('request failed', { method: request.method, url: request.url, error: messageOf(error) });
    if (response.headersSent) response.destroy();
    else sendText(response, 500, 'internal error');
  }
}

/** Two Host headers are two readings of one request; a request target must be a path, so that there is only one. */
function hasOneHost(request: IncomingMessage): boolean {
  const { rawHeaders, headers, url, httpVersion } = request;
  if (httpVersion === '0.9' || url?.startsWith('/') !== true) return false;
  let hosts = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i];
    if (name !== undefined && name.length === 4 && name.toLowerCase() === 'host') hosts++;
  }
  return hosts === 1 && /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$/.test(headers.host ?? '');
}

function sendText(response: ServerResponse, status: number, text: string): void {
  const body = `${text}\n`;
  response.writeHead(status, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': Buffer.byteLength(body),
    'X-Content-Type-Options': 'nosniff',
  });
  response.end(response.req.method === 'HEAD' ? undefined : body);
}

function listen(
  server: Server,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port, backlog: 1024 }, () => {
      server.off('error', reject);
      const { address, family, port: bound } = server.address() as AddressInfo;
      resolve(`http://${family === 'IPv6' ? `[${address}]` : address}:${bound}`);
    });
  });
}

function close(server: Server, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), graceMs);
    timer.unref();
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
    server.closeIdleConnections();
  });
}
