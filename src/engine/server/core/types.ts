import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ByteStream } from '#base/bytes/types.ts';
import type { Log } from '#base/log/index.ts';
import type { Filters } from '#engine/protocol/index.ts';

/** Methods the Engine API uses. */
export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE';

/**
 * One operation of the API. `path` has no version prefix; `:id` is one segment, `:name+` is one or more segments
 * (image names have slashes): `/containers/:id/start`, `/images/:name+/json`. Parameters arrive decoded.
 */
export interface Route {
  readonly method: Method;
  readonly path: string;
  /** One line for the generated reference. */
  readonly summary: string;
  /** The handler may call `hijack`; needed there, because the connection must leave the HTTP parser before input arrives. */
  readonly hijacks?: true;
  /** API version that introduced it, such as `1.25`; older requests get 404. */
  readonly since?: string;
  /**
   * Answers the request. A throw before the first byte becomes a status with Docker's `{"message"}`; a throw after it
   * ends the connection (inside `streamJson` it becomes an error line).
   */
  readonly handler: (context: RequestContext) => Promise<void> | void;
}

/** The query string: repeated keys are kept, unknown keys are ignored. */
export interface Query {
  /** First value, or `undefined`. An empty value is an empty string. */
  get(name: string): string | undefined;
  /** All values of a repeated key. */
  all(name: string): readonly string[];
  has(name: string): boolean;
  /** Docker's idea of a boolean: absent, empty, `0`, `no`, `false` and `none` are false, anything else is true. */
  flag(name: string, fallback?: boolean): boolean;
  /** @throws `invalid_argument` when it is no whole number. Empty or absent: `undefined`. */
  integer(name: string): number | undefined;
  /** A JSON value such as `buildargs={"A":"1"}`. @throws `invalid_argument`. Empty or absent: `undefined`. */
  json(name: string): unknown;
  /** The `filters` parameter in both of Docker's forms. @throws `invalid_argument`. */
  filters(): Filters;
}

/** A body of JSON lines. The status line leaves with the first value. */
export interface JsonStream {
  /** Resolves when the client takes more: await it, so that a slow reader slows the writer. */
  write(value: object): Promise<void>;
  /** Whether a value was written. */
  readonly started: boolean;
}

/** How a connection is taken over. */
export interface HijackOptions {
  /** `application/vnd.docker.raw-stream` (default) or `application/vnd.docker.multiplexed-stream`. */
  readonly contentType?: string;
}

/** One request. */
export interface RequestContext {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly method: Method;
  /** Path without version prefix and query. */
  readonly path: string;
  /** The version the client asked for, or our newest; `minor` of 1.x. */
  readonly apiVersion: { readonly major: number; readonly minor: number };
  readonly params: Readonly<Record<string, string>>;
  readonly query: Query;
  /** Aborts when the client is gone (before `hijack`: also when it closed its side), or the daemon stops. */
  readonly signal: AbortSignal;
  readonly log: Log;
  /** The request body, unlimited: for tar uploads. */
  readonly body: ByteStream;
  /** Whether the request announces a body. */
  readonly hasBody: boolean;
  /** Header value, the first of several. */
  header(name: string): string | undefined;
  /** Whether the client's version is at least 1.`minor`. */
  atLeast(minor: number): boolean;
  /**
   * The body as JSON; `undefined` when there is none. `__proto__` keys are dropped. Content-Type must be JSON (default limit: 4 MiB).
   * Fields are unchecked: read them defensively.
   * @throws `invalid_argument` with Docker's texts, `resource_exhausted` beyond the limit.
   */
  readJson<T extends object>(options?: { readonly limitBytes?: number }): Promise<Partial<T> | undefined>;
  sendJson(status: number, value: unknown, headers?: OutgoingHttpHeaders): void;
  /** A status without a body: 204, 304, 200. */
  sendStatus(status: number, headers?: OutgoingHttpHeaders): void;
  /** Sends bytes as they come, with back-pressure; ends the response. */
  sendStream(status: number, headers: OutgoingHttpHeaders, stream: ByteStream): Promise<void>;
  /** Sends the status line and headers now, for a body that comes later (`wait`). */
  flushHeaders(status: number, headers: OutgoingHttpHeaders): void;
  /** One write with back-pressure, after `flushHeaders`. */
  write(chunk: Uint8Array | string): Promise<void>;
  /**
   * Runs `body` with a stream of JSON lines and ends it. When `body` throws after its first line, the error is a last
   * line `{"errorDetail":{"message"},"error"}` with our fields beside it; before, it is an ordinary error status.
   */
  streamJson(
    body: (stream: JsonStream) => Promise<void>,
    options?: { readonly contentType?: string },
  ): Promise<void>;
  /**
   * Takes the connection over after answering 101 (`Upgrade: tcp`) or a plain 200 head. The stream is raw both ways and
   * half-open: its `end` event is the client's end of input, `end()` closes our side. Read any JSON body before. The route
   * must say `hijacks: true`.
   */
  hijack(options?: HijackOptions): Duplex;
  /** The protocol the client wants to upgrade to (`tcp`, `h2c`, `websocket`), when the connection can be taken over that way. */
  readonly upgrade: string | undefined;
}

/** Where the API listens. A socket is made with mode 0660 and, with `gid`, that group. */
export type Listener =
  | { readonly kind: 'unix'; readonly path: string; readonly gid?: number }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number; readonly tls?: TlsFiles };

/** PEM contents for mutual TLS: the client must show a certificate of `ca`. */
export interface TlsFiles {
  readonly ca: string | Buffer;
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
}

/** Options of `createEngineServer`. */
export interface EngineServerOptions {
  readonly routes: readonly Route[];
  readonly log: Log;
  /** `Server` header, such as `Slipway/0.1.0 (linux)`. */
  readonly product: string;
  /** Host names a TCP client may use beside loopback and the listening address. */
  readonly allowedHosts?: readonly string[];
  /** Adds to a failure what the engine can find out about it; called for what a client is told, and never throws. */
  readonly explain?: (error: unknown) => Promise<unknown>;
}

/** The HTTP side of the engine. */
export interface EngineServer {
  /** Listens; returns the address as people write it (`/run/x.sock`, `127.0.0.1:2375`). May be called several times. */
  listen(listener: Listener): Promise<string>;
  /** Stops listening, lets short requests end within `graceMs`, aborts the rest. Idempotent. */
  close(options?: { readonly graceMs?: number }): Promise<void>;
}
