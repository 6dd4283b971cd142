import type { Socket } from 'node:net';
import { CodedError, type ErrorCode, type ErrorHelp } from '#base/errors/index.ts';
import { type EngineResponse, sendRequest } from './connection.ts';
import type { EngineEndpoint } from './endpoint.ts';

/** A query: `undefined` and `false` are left out, arrays are repeated. */
export type Query = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

/** What a call may carry. */
export interface CallOptions {
  readonly query?: Query;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as it is. */
  readonly stream?: AsyncIterable<Uint8Array>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

/** A hijacked connection: bytes both ways. */
export interface HijackedStream {
  readonly socket: Socket;
  /** Bytes that came with the answer's head; they come before what the socket gives. */
  readonly head: Buffer;
  readonly isRaw: boolean;
}

/** Methods of the Engine API's routes. */
export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE';

/** Calls to one engine; failures are `CodedError`s with the engine's message and help. */
export interface EngineClient {
  readonly endpoint: EngineEndpoint;
  /** A JSON answer. */
  call<T>(method: Method, path: string, options?: CallOptions): Promise<T>;
  /** JSON documents one after the other; an `error` line is thrown. */
  lines<T>(method: Method, path: string, options?: CallOptions): AsyncIterable<T>;
  /** The bytes of an answer. */
  bytes(method: Method, path: string, options?: CallOptions): AsyncIterable<Buffer>;
  /** The answer itself, whatever its status. */
  send(method: Method, path: string, options?: CallOptions): Promise<EngineResponse>;
  hijack(method: Method, path: string, options?: CallOptions): Promise<HijackedStream>;
  /** Reads an answer of `send` to its end and throws when it is a failure. */
  check(response: EngineResponse): Promise<void>;
}

const ANSWER_LIMIT_BYTES = 256 * 1024 * 1024;
const LINE_LIMIT_BYTES = 16 * 1024 * 1024;

/** Makes a client; nothing is opened before the first call. `explain` adds to a failed connection what only the caller knows. */
export function createEngineClient(
  endpoint: EngineEndpoint,
  explain: (error: unknown) => Promise<unknown> = async (error) => error,
): EngineClient {
  const send = (
    method: Method,
    path: string,
    options: CallOptions = {},
    upgrade = false,
  ): Promise<EngineResponse> =>
    sendRequest(endpoint, {
      method,
      path: path + encodeQuery(options.query),
      upgrade,
      signal: options.signal,
      ...(options.headers === undefined ? {} : { headers: options.headers }),
      ...(options.stream !== undefined
        ? { body: options.stream }
        : options.json === undefined
          ? {}
          : { body: JSON.stringify(options.json) }),
    }).catch(async (error: unknown) => {
      throw await explain(error);
    });
  const ok = async (method: Method, path: string, options?: CallOptions): Promise<EngineResponse> => {
    const response = await send(method, path, options);
    if (response.status >= 400) throw await readError(response);
    return response;
  };
  return {
    endpoint,
    send,
    async check(response) {
      if (response.status >= 400) throw await readError(response);
      await readText(response);
    },
    async call<T>(method: Method, path: string, options?: CallOptions): Promise<T> {
      const response = await ok(method, path, options);
      const text = await readText(response);
      // The caller names the document that the route promises.
      return (text === '' ? undefined : JSON.parse(text)) as T;
    },
    async *lines<T>(method: Method, path: string, options?: CallOptions): AsyncGenerator<T> {
      const response = await ok(method, path, options);
      for await (const value of parseJsonStream(response.body)) {
        const failure = streamError(value);
        if (failure !== undefined) throw failure;
        yield value as T;
      }
    },
    async *bytes(method, path, options) {
      const response = await ok(method, path, options);
      yield* response.body;
    },
    async hijack(method, path, options) {
      const response = await send(method, path, options, true);
      if (response.status >= 400) throw await readError(response);
      const { socket, head } = response.takeSocket();
      const isRaw = response.headers['content-type'] === 'application/vnd.docker.raw-stream';
      return { socket, head, isRaw };
    },
  };
}

/** `?a=1&b=2` or nothing. */
export function encodeQuery(query: Query | undefined): string {
  const parameters = new URLSearchParams();
  for (const [key, value] of Object.entries(query ?? {})) {
    if (value === undefined || value === false) continue;
    if (typeof value === 'object') for (const one of value) parameters.append(key, one);
    else parameters.set(key, value === true ? '1' : String(value));
  }
  const text = parameters.toString();
  return text === '' ? '' : `?${text}`;
}

async function readText(response: EngineResponse): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response.body) {
    length += chunk.byteLength;
    if (length > ANSWER_LIMIT_BYTES)
      throw new CodedError('resource_exhausted', 'the answer of the engine is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length).toString('utf8');
}

const CODE_OF_STATUS: Readonly<Record<number, ErrorCode>> = {
  400: 'invalid_argument',
  401: 'unauthenticated',
  403: 'permission_denied',
  404: 'not_found',
  409: 'conflict',
  501: 'unimplemented',
  503: 'unavailable',
};

async function readError(response: EngineResponse): Promise<CodedError> {
  const text = await readText(response);
  const body = parseObject(text);
  const message = typeof body?.['message'] === 'string' ? body['message'] : text.trim();
  return engineError(
    message || `status ${response.status}`,
    CODE_OF_STATUS[response.status] ?? 'internal',
    body,
    response.status,
  );
}

function streamError(value: unknown): CodedError | undefined {
  if (typeof value !== 'object' || value === null || !('error' in value)) return undefined;
  const { error, errorDetail } = value as {
    error?: unknown;
    errorDetail?: { message?: unknown; code?: unknown };
  };
  const message = typeof errorDetail?.message === 'string' ? errorDetail.message : String(error);
  return engineError(message, 'internal', { ...value, exitCode: errorDetail?.code }, undefined);
}

function engineError(
  message: string,
  fallback: ErrorCode,
  body: Record<string, unknown> | undefined,
  status: number | undefined,
): CodedError {
  const help = body?.['help'] as ErrorHelp | undefined;
  const data = body?.['data'] as Record<string, unknown> | undefined;
  const code = typeof body?.['code'] === 'string' ? (body['code'] as ErrorCode) : fallback;
  return new CodedError(code, message, {
    help: typeof help?.id === 'string' ? help : undefined,
    data: {
      ...data,
      fromEngine: true,
      ...(status === undefined ? {} : { status }),
      exitCode: body?.['exitCode'],
    },
  });
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** JSON documents, one a line, from bytes that break anywhere. */
export async function* parseJsonStream(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<unknown> {
  const decoder = new TextDecoder();
  let held = '';
  for await (const chunk of bytes) {
    held += decoder.decode(chunk, { stream: true });
    let end = held.indexOf('\n');
    let start = 0;
    while (end >= 0) {
      const line = held.slice(start, end).trim();
      if (line !== '') yield JSON.parse(line);
      start = end + 1;
      end = held.indexOf('\n', start);
    }
    held = held.slice(start);
    if (held.length > LINE_LIMIT_BYTES)
      throw new CodedError('resource_exhausted', 'a line from the engine is too long');
  }
  if (held.trim() !== '') yield JSON.parse(held);
}
