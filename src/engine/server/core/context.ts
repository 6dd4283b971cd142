import { once } from 'node:events';
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ByteStream } from '#base/bytes/types.ts';
import { CodedError, messageOf } from '#base/errors/index.ts';
import { parseJsonBody, readBody } from '#base/http/index.ts';
import type { Log } from '#base/log/index.ts';
import { type ApiVersion, errorLine } from '#engine/protocol/index.ts';
import { takeOver } from './hijack.ts';
import { hasBody } from './linger.ts';
import type { HijackOptions, JsonStream, Method, Query, RequestContext, Route } from './types.ts';

const JSON_LIMIT_BYTES = 4 * 1024 * 1024;

/** What the server knows of a request before its handler runs. */
export interface RequestFacts {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly route: Route;
  readonly path: string;
  readonly apiVersion: ApiVersion;
  readonly params: Readonly<Record<string, string>>;
  readonly query: Query;
  readonly upgrade: string | undefined;
  readonly log: Log;
  readonly abort: AbortController;
  readonly explain: ((error: unknown) => Promise<unknown>) | undefined;
  /** Told when the connection is taken over. */
  readonly onHijack: () => void;
}

/** The one implementation of `RequestContext`. */
export class HttpRequestContext implements RequestContext {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly method: Method;
  readonly path: string;
  readonly apiVersion: ApiVersion;
  readonly params: Readonly<Record<string, string>>;
  readonly query: Query;
  readonly upgrade: string | undefined;
  readonly signal: AbortSignal;
  readonly log: Log;
  readonly #facts: RequestFacts;
  #hijacked = false;

  constructor(facts: RequestFacts) {
    this.#facts = facts;
    this.request = facts.request;
    this.response = facts.response;
    this.method = (facts.request.method ?? 'GET') as Method;
    this.path = facts.path;
    this.apiVersion = facts.apiVersion;
    this.params = facts.params;
    this.query = facts.query;
    this.upgrade = facts.upgrade;
    this.signal = facts.abort.signal;
    this.log = facts.log;
  }

  get body(): ByteStream {
    return this.request;
  }

  get hasBody(): boolean {
    return hasBody(this.request);
  }

  /** Whether the connection was taken over: there is no HTTP response to end any more. */
  get hijacked(): boolean {
    return this.#hijacked;
  }

  header(name: string): string | undefined {
    const value = this.request.headers[name.toLowerCase()];
    return Array.isArray(value) ? value[0] : value;
  }

  atLeast(minor: number): boolean {
    return this.apiVersion.major > 1 || this.apiVersion.minor >= minor;
  }

  async readJson<T extends object>(
    options: { readonly limitBytes?: number } = {},
  ): Promise<Partial<T> | undefined> {
    if (!this.hasBody) return undefined;
    checkJsonType(this.header('content-type') ?? '');
    const bytes = await readBody(this.request, options.limitBytes ?? JSON_LIMIT_BYTES);
    if (bytes.length === 0) return undefined;
    let value: unknown;
    try {
      value = parseJsonBody(bytes);
    } catch (error) {
      throw new CodedError('invalid_argument', `invalid JSON: ${messageOf(error)}`);
    }
    if (value === null) return undefined;
    if (typeof value !== 'object' || Array.isArray(value))
      throw new CodedError('invalid_argument', 'invalid JSON: the request body must be an object');
    return value as Partial<T>;
  }

  sendJson(status: number, value: unknown, headers: OutgoingHttpHeaders = {}): void {
    const bytes = Buffer.from(`${JSON.stringify(value)}\n`);
    this.response.writeHead(status, {
      'Content-Type': 'application/json',
      'Content-Length': bytes.length,
      ...headers,
    });
    this.response.end(this.method === 'HEAD' ? undefined : bytes);
  }

  sendStatus(status: number, headers: OutgoingHttpHeaders = {}): void {
    const length = status === 204 || status === 304 ? {} : { 'Content-Length': 0 };
    this.response.writeHead(status, { ...length, ...headers });
    this.response.end();
  }

  async sendStream(status: number, headers: OutgoingHttpHeaders, stream: ByteStream): Promise<void> {
    this.flushHeaders(status, headers);
    if (this.method !== 'HEAD') for await (const chunk of stream) await this.write(chunk);
    this.response.end();
  }

  flushHeaders(status: number, headers: OutgoingHttpHeaders): void {
    this.response.writeHead(status, headers);
    this.response.flushHeaders();
  }

  async write(chunk: Uint8Array | string): Promise<void> {
    const { response } = this;
    if (response.destroyed || response.socket === null) throw clientGone();
    if (response.write(chunk)) return;
    // A client that vanished never drains; its `close` ends the wait.
    const waiting = new AbortController();
    try {
      await Promise.race([
        once(response, 'drain', { signal: waiting.signal }),
        once(response, 'close', { signal: waiting.signal }),
      ]);
    } finally {
      waiting.abort();
    }
    if (response.destroyed && !response.writableFinished) throw clientGone();
  }

  async streamJson(
    body: (stream: JsonStream) => Promise<void>,
    options: { readonly contentType?: string } = {},
  ): Promise<void> {
    let started = false;
    const start = (): void => {
      if (started) return;
      started = true;
      this.response.writeHead(200, { 'Content-Type': options.contentType ?? 'application/json' });
    };
    const stream: JsonStream = {
      get started() {
        return started;
      },
      write: async (value) => {
        start();
        await this.write(`${JSON.stringify(value)}\r\n`);
      },
    };
    try {
      await body(stream);
    } catch (error) {
      if (!started || this.response.destroyed) throw error;
      this.log.info('request failed while streaming', { path: this.path, error });
      const explained = (await this.#facts.explain?.(error)) ?? error;
      this.response.write(`${JSON.stringify(errorLine(explained))}\r\n`);
    }
    start();
    this.response.end();
  }

  hijack(options: HijackOptions = {}): Duplex {
    if (this.#facts.route.hijacks !== true)
      throw new Error(`route ${this.method} ${this.#facts.route.path} does not say that it hijacks`);
    this.#hijacked = true;
    const stream = takeOver(this.#facts, this.upgrade, options);
    this.#facts.onHijack();
    return stream;
  }
}

function checkJsonType(header: string): void {
  const type = header.split(';')[0]?.trim().toLowerCase() ?? '';
  if (type === 'application/json') return;
  throw new CodedError(
    'invalid_argument',
    /^[\w.+-]+\/[\w.+-]+$/.test(type)
      ? `unsupported Content-Type header (${header}): must be 'application/json'`
      : `malformed Content-Type header (${header}): mime: no media type`,
  );
}

function clientGone(): CodedError {
  return new CodedError('aborted', 'the client closed the connection');
}
