/** A small registry for tests, and a host that records what credentials reach it. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { CredentialSource, Credentials } from '#registry/auth/types.ts';
import { createRegistryClient } from '#registry/client/index.ts';
import type { RegistryClient, RegistryClientOptions, RepositoryClient } from '#registry/client/types.ts';

/** What the double received. */
export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly authorization: string | undefined;
  readonly range: string | undefined;
}

/** Answers a request itself and returns true, or leaves it to the double. */
export type Interceptor = (request: IncomingMessage, response: ServerResponse, body: Buffer) => boolean;

/** A registry double that keeps its blobs in memory. */
export interface RegistryDouble extends AsyncDisposable {
  readonly host: string;
  readonly seen: SeenRequest[];
  readonly blobs: Map<string, Buffer>;
  readonly manifests: Map<string, { readonly bytes: Buffer; readonly type: string }>;
  intercept: Interceptor | undefined;
}

/** The digest of bytes as text. */
export function sha256Of(bytes: Uint8Array | string): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** A source that knows the same credentials for each host of `hosts`. */
export function credentialsOf(hosts: readonly string[], credentials: Credentials): CredentialSource {
  return async (registry) => (hosts.includes(registry) ? credentials : undefined);
}

/** Nobody's credentials. */
export const anonymous: CredentialSource = async () => undefined;

/** Starts a double on a free port of 127.0.0.1. */
export async function startRegistryDouble(): Promise<RegistryDouble> {
  const blobs = new Map<string, Buffer>();
  const manifests = new Map<string, { bytes: Buffer; type: string }>();
  const uploads = new Map<string, Buffer>();
  const seen: SeenRequest[] = [];
  const double: { intercept: Interceptor | undefined } = { intercept: undefined };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    seen.push({
      method: request.method ?? '',
      url: request.url ?? '',
      authorization: request.headers.authorization,
      range: request.headers.range,
    });
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('error', () => undefined);
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      if (double.intercept?.(request, response, body)) return;
      answer(request, response, body, { blobs, manifests, uploads });
    });
  });
  const host = await listen(server);
  return {
    host,
    seen,
    blobs,
    manifests,
    get intercept() {
      return double.intercept;
    },
    set intercept(value) {
      double.intercept = value;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

interface State {
  readonly blobs: Map<string, Buffer>;
  readonly manifests: Map<string, { bytes: Buffer; type: string }>;
  readonly uploads: Map<string, Buffer>;
}

/** Sends a registry error. */
export function sendError(response: ServerResponse, status: number, code: string, message: string): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ errors: [{ code, message }] }));
}

function answer(request: IncomingMessage, response: ServerResponse, body: Buffer, state: State): unknown {
  const url = new URL(request.url ?? '/', 'http://double');
  const path = url.pathname;
  if (path === '/v2/') return response.writeHead(200).end('{}');
  const manifest = /^\/v2\/(.+)\/manifests\/([^/]+)$/.exec(path);
  if (manifest) return answerManifest(request, response, body, manifest[1] ?? '', manifest[2] ?? '', state);
  const blob = /^\/v2\/(.+)\/blobs\/(sha256:[0-9a-f]+)$/.exec(path);
  if (blob) return answerBlob(request, response, blob[2] ?? '', state);
  if (/^\/v2\/.+\/blobs\/uploads\//.test(path)) return answerUpload(request, response, body, url, state);
  const tags = /^\/v2\/(.+)\/tags\/list$/.exec(path);
  if (tags) {
    const prefix = `${tags[1]} `;
    const names = [...state.manifests.keys()].filter((k) => k.startsWith(prefix) && !k.includes(' sha256:'));
    response.writeHead(200, { 'content-type': 'application/json' });
    return response.end(JSON.stringify({ name: tags[1], tags: names.map((k) => k.slice(prefix.length)) }));
  }
  return sendError(response, 404, 'NOT_FOUND', 'not found');
}

function answerManifest(
  request: IncomingMessage,
  response: ServerResponse,
  body: Buffer,
  name: string,
  reference: string,
  { manifests }: State,
): unknown {
  if (request.method === 'PUT') {
    const entry = { bytes: body, type: request.headers['content-type'] ?? '' };
    manifests.set(`${name} ${reference}`, entry);
    manifests.set(`${name} ${sha256Of(body)}`, entry);
    return response.writeHead(201, { 'docker-content-digest': sha256Of(body) }).end();
  }
  const entry = manifests.get(`${name} ${reference}`);
  if (entry === undefined) return sendError(response, 404, 'MANIFEST_UNKNOWN', 'manifest unknown');
  const headers = {
    'content-type': entry.type,
    'docker-content-digest': sha256Of(entry.bytes),
    'content-length': entry.bytes.byteLength,
  };
  return response.writeHead(200, headers).end(request.method === 'HEAD' ? undefined : entry.bytes);
}

function answerBlob(
  request: IncomingMessage,
  response: ServerResponse,
  digest: string,
  { blobs }: State,
): unknown {
  const bytes = blobs.get(digest);
  if (bytes === undefined) return sendError(response, 404, 'BLOB_UNKNOWN', 'blob unknown to registry');
  const range = /^bytes=(\d+)-$/.exec(request.headers.range ?? '');
  const start = range ? Number(range[1]) : 0;
  const part = bytes.subarray(start);
  response.writeHead(range ? 206 : 200, {
    'content-type': 'application/octet-stream',
    'content-length': part.byteLength,
    ...(range ? { 'content-range': `bytes ${start}-${bytes.byteLength - 1}/${bytes.byteLength}` } : {}),
  });
  return response.end(request.method === 'HEAD' ? undefined : part);
}

function answerUpload(
  request: IncomingMessage,
  response: ServerResponse,
  body: Buffer,
  url: URL,
  { blobs, uploads }: State,
): unknown {
  if (request.method === 'POST') {
    const mount = url.searchParams.get('mount');
    if (mount !== null && blobs.has(mount)) return response.writeHead(201).end();
    const id = String(uploads.size + 1);
    uploads.set(id, Buffer.alloc(0));
    return response.writeHead(202, { location: `${url.pathname}${id}?state=x` }).end();
  }
  const id = url.pathname.split('/').at(-1) ?? '';
  const whole = Buffer.concat([uploads.get(id) ?? Buffer.alloc(0), body]);
  if (request.method === 'PATCH') {
    uploads.set(id, whole);
    return response.writeHead(202, { location: url.pathname, range: `0-${whole.byteLength - 1}` }).end();
  }
  if (request.method === 'DELETE') return response.writeHead(204).end();
  const digest = url.searchParams.get('digest') ?? '';
  if (sha256Of(whole) !== digest) return sendError(response, 400, 'DIGEST_INVALID', 'digest did not match');
  blobs.set(digest, whole);
  return response.writeHead(201, { location: `/blobs/${digest}` }).end();
}

/** Retries that do not slow a test down. */
export const FAST: RegistryClientOptions = { retry: { baseDelayMs: 1, attempts: 4 } };
/** What `openDouble` signs in with. */
export const SECRET: Credentials = { username: 'user', password: 'secret' };

/** A client that closes itself. */
export function clientOf(options: RegistryClientOptions = FAST): RegistryClient & AsyncDisposable {
  const client = createRegistryClient(options);
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.close() });
}

/** `team/app` on a double, with `SECRET` for that host. */
export function openDouble(
  client: RegistryClient,
  host: string,
  access: 'pull' | 'push' = 'pull',
): Promise<RepositoryClient> {
  return client.openRepository(
    { registry: host, repository: 'team/app' },
    { credentials: credentialsOf([host], SECRET), access },
  );
}
