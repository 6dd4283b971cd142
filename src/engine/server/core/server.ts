import type { Server } from 'node:http';
import { createServer, type IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { CodedError, codeOf, messageOf } from '#base/errors/index.ts';
import { checkHost, checkOrigin, HTTP_LIMITS, isLoopbackHost, Router } from '#base/http/index.ts';
import {
  API_VERSION,
  type ApiVersion,
  checkApiVersion,
  errorBody,
  statusOf,
} from '#engine/protocol/index.ts';
import { HttpRequestContext } from './context.ts';
import { releaseWhenRead, returnEarlyInput } from './hijack.ts';
import { closeWhenBothEnd, discardRest, hasBody } from './linger.ts';
import { listenOn } from './listen.ts';
import { parseQuery } from './query.ts';
import { runInScope } from './scope.ts';
import type { EngineServer, EngineServerOptions, Listener, Route } from './types.ts';

const VERSION_PREFIX = /^\/v([0-9]{1,4}\.[0-9]{1,4})(?=\/|$)/;
/** A connection without a request is closed after this time. */
const IDLE_MS = 60_000;
/** When the engine stops, taken-over connections get this long to deliver what was written. */
const TAKEN_OVER_GRACE_MS = 250;
const NEWEST = checkApiVersion(API_VERSION);

/** Serves routes with Docker's rules of versions, errors and hijacking. Nothing listens before `listen`. */
export function createEngineServer(options: EngineServerOptions): EngineServer {
  return new HttpEngineServer(options);
}

interface Serving {
  readonly server: Server | TlsServer;
  readonly listener: Listener;
}

class HttpEngineServer implements EngineServer {
  readonly #options: EngineServerOptions;
  readonly #router = new Router<Route>();
  readonly #serving: Serving[] = [];
  readonly #running = new Set<AbortController>();
  readonly #sockets = new Set<Socket>();
  readonly #takenOver = new Set<Socket>();
  #closed = false;

  constructor(options: EngineServerOptions) {
    this.#options = options;
    for (const route of options.routes) this.#router.add(route.method, route.path, route);
  }

  async listen(listener: Listener): Promise<string> {
    const server = this.#createServer(listener);
    const address = await listenOn(server, listener);
    this.#serving.push({ server, listener });
    return address;
  }

  async close(options: { readonly graceMs?: number } = {}): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const ended = this.#serving.map(({ server }) => new Promise<void>((done) => server.close(() => done())));
    for (const { server } of this.#serving) server.closeIdleConnections();
    for (const abort of this.#running) abort.abort(new CodedError('aborted', 'the daemon is stopping'));
    // A connection that was taken over has no request that could end.
    for (const socket of this.#takenOver) socket.end();
    const timers = [
      setTimeout(() => destroyAll(this.#takenOver), TAKEN_OVER_GRACE_MS),
      setTimeout(() => destroyAll(this.#sockets), options.graceMs ?? 2000),
    ];
    await Promise.all(ended);
    for (const timer of timers) clearTimeout(timer);
  }

  #createServer(listener: Listener): Server | TlsServer {
    const limits = {
      ...HTTP_LIMITS,
      shouldUpgradeCallback: isUpgrade,
      requestTimeout: 0,
      keepAliveTimeout: IDLE_MS,
    };
    const server =
      listener.kind === 'tcp' && listener.tls !== undefined
        ? createTlsServer({
            ...limits,
            ...listener.tls,
            requestCert: true,
            rejectUnauthorized: true,
            minVersion: 'TLSv1.2',
          })
        : createServer(limits);
    // A client may close its side after the request and still wait for the answer.
    (server as Server & { httpAllowHalfOpen: boolean }).httpAllowHalfOpen = true;
    server.on('request', (request, response) => this.#serve(listener, request, response));
    server.on('checkContinue', (request, response) => {
      response.writeContinue();
      this.#serve(listener, request, response);
    });
    server.on('upgrade', (request: IncomingMessage, stream: Duplex, head: Buffer) => {
      // A unix or TCP listener hands out sockets; the type is wider for servers over other streams.
      const socket = stream as Socket;
      if (head.length > 0) socket.unshift(head);
      const response = new ServerResponse(request);
      response.shouldKeepAlive = false;
      response.assignSocket(socket);
      response.once('finish', () => {
        response.detachSocket(socket);
        socket.end();
      });
      socket.on('error', () => {});
      this.#serve(listener, request, response, upgradeOf(request));
    });
    server.on('clientError', (error: ParserError, socket) => onClientError(error, socket as Socket));
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.setTimeout(IDLE_MS);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    return server;
  }

  #serve(listener: Listener, request: IncomingMessage, response: ServerResponse, upgrade?: string): void {
    const scope = {
      method: request.method ?? '',
      path: (request.url ?? '').split('?')[0] ?? '',
      abandon: () => request.socket.destroy(),
    };
    runInScope(scope, () => void this.#answer(listener, request, response, upgrade));
  }

  async #answer(
    listener: Listener,
    request: IncomingMessage,
    response: ServerResponse,
    upgrade: string | undefined,
  ): Promise<void> {
    const startedAt = performance.now();
    request.socket.setTimeout(0);
    const keepAlive = response.shouldKeepAlive;
    const life = followClient(request.socket, response);
    this.#running.add(life.abort);
    response.setHeader('Api-Version', API_VERSION);
    response.setHeader('Ostype', 'linux');
    response.setHeader('Server', this.#options.product);
    let context: HttpRequestContext | undefined;
    try {
      // Until the request is known to be well-formed, nothing after it on this connection is believed.
      response.shouldKeepAlive = false;
      this.#guard(listener, request, upgrade);
      response.shouldKeepAlive = keepAlive;
      const target = splitTarget(request.url ?? '/');
      if (redirectUnclean(target, response)) return;
      const { route, params, path, apiVersion } = this.#match(request.method ?? 'GET', target.path);
      if (route.hijacks === true && upgrade === undefined) await releaseWhenRead(request, response);
      else if (upgrade === undefined && !keepAlive && hasBody(request)) closeWhenBothEnd(request, response);
      context = new HttpRequestContext({
        request,
        response,
        route,
        path,
        apiVersion,
        params,
        query: parseQuery(target.search.slice(1)),
        upgrade,
        log: this.#options.log,
        abort: life.abort,
        explain: this.#options.explain,
        onHijack: () => {
          life.followConnection();
          this.#takenOver.add(request.socket);
          request.socket.once('close', () => this.#takenOver.delete(request.socket));
        },
      });
      await route.handler(context);
      if (!context.hijacked && !response.writableEnded) response.end();
    } catch (error) {
      await this.#fail(error, request, response, context?.hijacked === true);
    } finally {
      this.#running.delete(life.abort);
      life.stop();
      const status = context?.hijacked === true ? 'hijacked' : response.statusCode;
      const tookMs = Math.round(performance.now() - startedAt);
      this.#options.log.debug('request', {
        method: request.method,
        path: request.url?.split('?')[0],
        status,
        tookMs,
      });
    }
  }

  #match(
    method: string,
    rawPath: string,
  ): { route: Route; params: Readonly<Record<string, string>>; path: string; apiVersion: ApiVersion } {
    const prefix = VERSION_PREFIX.exec(rawPath);
    const path = prefix === null ? rawPath : rawPath.slice(prefix[0].length);
    const match = this.#router.find(method, path);
    if (match === undefined) throw new CodedError('not_found', 'page not found');
    const apiVersion = prefix === null ? NEWEST : checkApiVersion(prefix[1] ?? '');
    if (!isServed(match.value, apiVersion)) throw new CodedError('not_found', 'page not found');
    return { route: match.value, params: match.params, path, apiVersion };
  }

  #guard(listener: Listener, request: IncomingMessage, upgrade: string | undefined): void {
    if (this.#closed) throw new CodedError('unavailable', 'the daemon is stopping');
    checkHost(request, listener.kind === 'unix' ? undefined : this.#hostsOf(listener.host));
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    if (!isRead || upgrade !== undefined) checkOrigin(request);
  }

  #hostsOf(host: string): readonly string[] {
    const own = isLoopbackHost(host) ? [] : [host.toLowerCase()];
    return [...own, ...(this.#options.allowedHosts ?? []).map((name) => name.toLowerCase())];
  }

  async #fail(
    error: unknown,
    request: IncomingMessage,
    response: ServerResponse,
    hijacked: boolean,
  ): Promise<void> {
    const status = statusOf(error);
    const fields = { method: request.method, path: request.url?.split('?')[0], status, error };
    if (codeOf(error) === 'internal') this.#options.log.error('request failed', fields);
    else this.#options.log.debug('request refused', fields);
    if (hijacked || response.headersSent || response.destroyed) {
      response.socket?.destroy();
      if (hijacked) request.socket.destroy();
      return;
    }
    if (!request.complete) discardRest(request);
    const explained = (await this.#options.explain?.(error)) ?? error;
    const bytes = Buffer.from(`${JSON.stringify(errorBody(explained))}\n`);
    response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': bytes.length });
    response.end(request.method === 'HEAD' ? undefined : bytes);
  }
}

/** Aborts when the client is gone: it closed the connection or, until it is taken over, its side of it. */
function followClient(
  socket: Socket,
  response: ServerResponse,
): { abort: AbortController; followConnection: () => void; stop: () => void } {
  const abort = new AbortController();
  const gone = (): void => abort.abort(new CodedError('aborted', 'the client closed the connection'));
  socket.once('end', gone);
  response.once('close', gone);
  const stop = (): void => {
    socket.removeListener('end', gone);
    response.removeListener('close', gone);
    socket.removeListener('close', gone);
  };
  const followConnection = (): void => {
    stop();
    socket.once('close', gone);
  };
  return { abort, followConnection, stop };
}

function destroyAll(sockets: Iterable<Socket>): void {
  for (const socket of sockets) socket.destroy();
}

interface Target {
  readonly path: string;
  /** Empty, or the query with its `?`. */
  readonly search: string;
}

function splitTarget(target: string): Target {
  if (!target.startsWith('/'))
    throw new CodedError(
      'invalid_argument',
      `malformed request path: ${JSON.stringify(target.slice(0, 200))}`,
    );
  const mark = target.indexOf('?');
  return mark < 0
    ? { path: target, search: '' }
    : { path: target.slice(0, mark), search: target.slice(mark) };
}

/** Docker's router answers an unclean path with a redirect to the clean one. */
function redirectUnclean({ path, search }: Target, response: ServerResponse): boolean {
  if (!/\/\/|\/\.{1,2}(?:\/|$)/.test(path)) return false;
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  const clean = `/${parts.join('/')}${path.endsWith('/') && parts.length > 0 ? '/' : ''}`;
  response.writeHead(301, { Location: clean + search, 'Content-Length': 0 });
  response.end();
  return true;
}

function isServed(route: Route, asked: ApiVersion): boolean {
  if (route.since === undefined) return true;
  const [major = 0, minor = 0] = route.since.split('.').map(Number);
  return asked.major > major || (asked.major === major && asked.minor >= minor);
}

/** Only the protocols we can hand a connection over to; Java's client offers h2c on every request. */
function isUpgrade(request: IncomingMessage): boolean {
  const token = upgradeOf(request);
  const path = (request.url ?? '').split('?')[0] ?? '';
  if (token === 'tcp') return request.method === 'POST';
  if (token === 'h2c') return request.method === 'POST' && /\/(?:session|grpc)$/.test(path);
  return token === 'websocket' && request.method === 'GET' && path.endsWith('/attach/ws');
}

function upgradeOf(request: IncomingMessage): string {
  return (request.headers.upgrade ?? '').toLowerCase();
}

type ParserError = NodeJS.ErrnoException & { readonly rawPacket?: Buffer; readonly bytesParsed?: number };

function onClientError(error: ParserError, socket: Socket): void {
  if (returnEarlyInput(socket, error.rawPacket, error.bytesParsed ?? 0)) return;
  if (!socket.writable || error.code === 'ECONNRESET') socket.destroy();
  else refuseMalformed(error, socket);
}

function refuseMalformed(error: ParserError, socket: Socket): void {
  const [status, reason] = MALFORMED[error.code ?? ''] ?? [400, 'Bad Request'];
  const body = `${JSON.stringify({ message: `malformed request: ${messageOf(error)}`, code: 'invalid_argument' })}\n`;
  socket.end(
    `HTTP/1.1 ${status} ${reason}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
  // The rest of the bad input is not read; a client that does not close is not waited for.
  setTimeout(() => socket.destroy(), 1000).unref();
}

const MALFORMED: Readonly<Record<string, readonly [number, string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'Request Header Fields Too Large'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'Request Timeout'],
};
