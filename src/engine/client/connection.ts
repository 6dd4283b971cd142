import { createConnection, type Socket } from 'node:net';
import { CodedError, isSystemError, messageOf } from '#base/errors/index.ts';
import type { EngineEndpoint } from './endpoint.ts';
import { bodyKindOf, ChunkedDecoder, parseHead, type ResponseHead } from './parser.ts';

/** One request to an engine. */
export interface EngineRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE';
  /** Path with query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Text is sent with its length, a stream chunked. */
  readonly body?: string | AsyncIterable<Uint8Array>;
  /** Asks for `Upgrade: tcp`. */
  readonly upgrade?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** One answer. `body` ends the connection when it ends or is left. */
export interface EngineResponse extends ResponseHead {
  readonly body: AsyncIterable<Buffer>;
  /** The raw connection, for a hijacked stream: what came after the head is given first. */
  takeSocket(): { readonly socket: Socket; readonly head: Buffer };
}

const DIAL_TIMEOUT_MS = 30_000;

/** Sends one request on a connection of its own. @throws {CodedError} `unavailable` in Docker's words. */
export async function sendRequest(endpoint: EngineEndpoint, request: EngineRequest): Promise<EngineResponse> {
  const socket = await dial(endpoint, request.signal);
  const onAbort = (): void => {
    socket.destroy();
  };
  request.signal?.addEventListener('abort', onAbort, { once: true });
  socket.once('close', () => request.signal?.removeEventListener('abort', onAbort));
  try {
    const sending = sendBody(socket, request);
    // An engine may answer, and close, before it has read the whole body; then its answer counts.
    const sendFailure = sending.then(
      () => undefined,
      (error: unknown) => (isSourceError(error) ? error : undefined),
    );
    const received = await Promise.race([
      readHead(socket),
      sendFailure.then((failure) =>
        failure === undefined ? new Promise<never>(() => undefined) : Promise.reject(failure.cause),
      ),
    ]);
    return makeResponse(socket, request, received.head, received.rest);
  } catch (error) {
    socket.destroy();
    request.signal?.throwIfAborted();
    throw error;
  }
}

async function dial(endpoint: EngineEndpoint, signal: AbortSignal | undefined): Promise<Socket> {
  signal?.throwIfAborted();
  const socket = await openSocket(endpoint);
  return new Promise((resolve, reject) => {
    const event = endpoint.kind === 'tcp' && endpoint.tls !== undefined ? 'secureConnect' : 'connect';
    const fail = (error: Error): void => {
      socket.destroy();
      reject(dialError(error, endpoint));
    };
    socket.setTimeout(DIAL_TIMEOUT_MS, () => fail(new Error('i/o timeout')));
    socket.once('error', fail);
    socket.once(event, () => {
      socket.setTimeout(0);
      socket.off('error', fail);
      // From here on a broken connection shows itself to whoever reads or writes.
      socket.on('error', () => undefined);
      resolve(socket);
    });
  });
}

async function openSocket(endpoint: EngineEndpoint): Promise<Socket> {
  if (endpoint.kind === 'unix') return createConnection({ path: endpoint.path, allowHalfOpen: true });
  const { host, port, tls } = endpoint;
  if (tls === undefined) return createConnection({ host, port, allowHalfOpen: true, noDelay: true });
  const { connect } = await import('node:tls');
  return connect({
    host,
    port,
    ...(tls.ca ? { ca: tls.ca } : {}),
    ...(tls.cert ? { cert: tls.cert } : {}),
    ...(tls.key ? { key: tls.key } : {}),
    rejectUnauthorized: tls.verify,
  });
}

function dialError(error: Error, endpoint: EngineEndpoint): CodedError {
  const code = isSystemError(error) ? error.code : '';
  const data = { endpoint: endpoint.text, systemCode: code };
  if (code === 'EACCES') {
    return new CodedError(
      'permission_denied',
      `permission denied while trying to connect to the docker API at ${endpoint.text}`,
      { cause: error, data },
    );
  }
  if (code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ENOTSOCK') {
    return new CodedError(
      'unavailable',
      `Cannot connect to the Docker daemon at ${endpoint.text}. Is the docker daemon running?`,
      { cause: error, data },
    );
  }
  return new CodedError('unavailable', `error during connect: ${endpoint.text}: ${messageOf(error)}`, {
    cause: error,
    data,
  });
}

/** Wraps a failure of the caller's own stream, to tell it from the connection's. */
class SourceFailure extends Error {}

function isSourceError(error: unknown): error is SourceFailure {
  return error instanceof SourceFailure;
}

async function sendBody(socket: Socket, request: EngineRequest): Promise<void> {
  const { body } = request;
  const isStream = body !== undefined && typeof body !== 'string';
  const headers: Record<string, string> = {
    host: 'docker',
    'user-agent': 'slipway-client',
    ...(request.upgrade ? { connection: 'Upgrade', upgrade: 'tcp' } : { connection: 'close' }),
    ...(typeof body === 'string' ? { 'content-type': 'application/json' } : {}),
    ...(isStream ? { 'transfer-encoding': 'chunked' } : {}),
    ...request.headers,
  };
  if (!isStream && request.method !== 'GET' && request.method !== 'HEAD')
    headers['content-length'] = String(Buffer.byteLength(body ?? ''));
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  if (lines.some((line) => /[\r\n]/.test(line)))
    throw new SourceFailure('', { cause: new CodedError('invalid_argument', 'a header holds a line break') });
  const head = `${request.method} ${request.path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`;
  socket.write(isStream ? head : head + (body ?? ''));
  if (!isStream) return;
  for await (const chunk of guardSource(body)) {
    if (socket.destroyed) return;
    if (chunk.byteLength === 0) continue;
    socket.cork();
    socket.write(`${chunk.byteLength.toString(16)}\r\n`);
    socket.write(chunk);
    const flowing = socket.write('\r\n');
    socket.uncork();
    if (!flowing) await drained(socket);
  }
  socket.write('0\r\n\r\n');
}

async function* guardSource(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* source;
  } catch (error) {
    throw new SourceFailure(messageOf(error), { cause: error });
  }
}

function drained(socket: Socket): Promise<void> {
  if (socket.destroyed || !socket.writableNeedDrain) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off('drain', done);
      socket.off('close', done);
      resolve();
    };
    socket.on('drain', done);
    socket.on('close', done);
  });
}

function readHead(socket: Socket): Promise<{ head: ResponseHead; rest: Buffer }> {
  return new Promise((resolve, reject) => {
    let held: Buffer = Buffer.alloc(0);
    const settle = (): void => {
      socket.off('data', onData);
      socket.off('end', onEnd);
      socket.off('close', onEnd);
      socket.pause();
    };
    const onData = (chunk: Buffer): void => {
      held = held.byteLength === 0 ? chunk : Buffer.concat([held, chunk]);
      try {
        let parsed = parseHead(held);
        while (parsed !== undefined && parsed.head.status < 200 && parsed.head.status !== 101) {
          held = held.subarray(parsed.length);
          parsed = parseHead(held);
        }
        if (parsed === undefined) return;
        settle();
        resolve({ head: parsed.head, rest: held.subarray(parsed.length) });
      } catch (error) {
        settle();
        reject(error);
      }
    };
    const onEnd = (): void => {
      settle();
      reject(new CodedError('unavailable', 'the engine closed the connection without an answer (EOF)'));
    };
    socket.on('data', onData);
    socket.on('end', onEnd);
    socket.on('close', onEnd);
  });
}

function makeResponse(
  socket: Socket,
  request: EngineRequest,
  head: ResponseHead,
  rest: Buffer,
): EngineResponse {
  return {
    ...head,
    body: readBody(socket, request, head, rest),
    takeSocket: () => ({ socket, head: rest }),
  };
}

async function* readBody(
  socket: Socket,
  request: EngineRequest,
  head: ResponseHead,
  rest: Buffer,
): AsyncGenerator<Buffer> {
  const kind = bodyKindOf(request.method, head);
  try {
    if (kind.kind === 'none') return;
    let left = kind.kind === 'length' ? kind.bytes : Number.POSITIVE_INFINITY;
    const chunked = kind.kind === 'chunked' ? new ChunkedDecoder() : undefined;
    for await (const bytes of bytesOf(socket, rest)) {
      if (chunked !== undefined) yield* chunked.decode(bytes);
      else if (bytes.byteLength > 0) yield bytes.subarray(0, Math.min(bytes.byteLength, left));
      left -= bytes.byteLength;
      if (chunked?.isDone || left <= 0) return;
    }
    request.signal?.throwIfAborted();
    if (kind.kind !== 'close')
      throw new CodedError('unavailable', 'the engine went away in the middle of its answer');
  } finally {
    socket.destroy();
  }
}

async function* bytesOf(socket: Socket, rest: Buffer): AsyncGenerator<Buffer> {
  yield rest;
  try {
    for await (const chunk of socket) yield chunk as Buffer;
  } catch {
    // Told by the caller: the body did not reach its end.
  }
}
