import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { getCACertificates } from 'node:tls';
import type { Dispatcher } from 'undici';
import { CodedError } from '#base/errors/index.ts';
import { loadUndici } from '#base/undici/index.ts';
import { networkError } from './errors.ts';
import type { RegistryClientOptions } from './types.ts';

/** One HTTP request; redirects are the caller's affair. */
export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string | Readable;
  readonly signal?: AbortSignal | undefined;
  /** Time until the answer's headers, for requests whose work is done before they come. */
  readonly headersTimeoutMs?: number;
}

/** One answer. The body must be read to its end or dropped with `discard`. */
export interface HttpResponse {
  readonly method: string;
  readonly url: URL;
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Dispatcher.ResponseData['body'];
}

/** Connections to registries, pooled by origin. */
export interface Transport {
  send(request: HttpRequest): Promise<HttpResponse>;
  close(): Promise<void>;
}

const CONNECTIONS_PER_ORIGIN = 16;
const KEEP_ALIVE_MS = 10_000;
const CONNECT_TIMEOUT_MS = 15_000;
const HEADERS_TIMEOUT_MS = 30_000;
const BODY_TIMEOUT_MS = 60_000;

/** Makes the transport; `isInsecure` tells whether a host's certificate may be anything. */
export function createTransport(
  options: RegistryClientOptions,
  isInsecure: (host: string) => boolean,
): Transport {
  const pools = new Map<string, Dispatcher>();
  const timeouts = options.timeouts ?? {};
  const poolOf = async (url: URL): Promise<Dispatcher> => {
    // Several MiB of memory, which an engine that never asks a registry saves.
    const undici = await loadUndici();
    let pool = pools.get(url.origin);
    if (pool === undefined) {
      pool = createPool(undici, url, options, isInsecure(url.host));
      pools.set(url.origin, pool);
    }
    return pool;
  };
  return {
    async send(request) {
      try {
        const answer = await (await poolOf(request.url)).request({
          method: request.method,
          path: request.url.pathname + request.url.search,
          origin: request.url.origin,
          headers: {
            'user-agent': options.userAgent ?? 'slipway',
            'accept-encoding': 'identity',
            ...request.headers,
          },
          body: request.body ?? null,
          signal: request.signal ?? null,
          headersTimeout: request.headersTimeoutMs ?? timeouts.headersMs ?? HEADERS_TIMEOUT_MS,
          bodyTimeout: timeouts.bodyMs ?? BODY_TIMEOUT_MS,
        });
        return {
          method: request.method,
          url: request.url,
          status: answer.statusCode,
          headers: answer.headers,
          body: answer.body,
        };
      } catch (error) {
        if (request.signal?.aborted) throw request.signal.reason;
        throw networkError(error, request.method, request.url);
      }
    },
    async close() {
      const open = [...pools.values()];
      pools.clear();
      await Promise.all(open.map((pool) => pool.destroy()));
    },
  };
}

function createPool(
  { Pool, ProxyAgent }: typeof import('undici'),
  url: URL,
  options: RegistryClientOptions,
  insecure: boolean,
): Dispatcher {
  const tls = url.protocol === 'https:' ? tlsOptions(url.host, options.certsDirs ?? [], insecure) : {};
  const shared = {
    connections: CONNECTIONS_PER_ORIGIN,
    keepAliveTimeout: KEEP_ALIVE_MS,
    pipelining: 1,
    maxHeaderSize: 64 * 1024,
  };
  const proxy = proxyFor(url, options.proxy);
  if (proxy !== undefined) {
    // A tunnel for TLS; plain HTTP is asked of the proxy itself, as many allow no tunnel to other ports.
    return new ProxyAgent({ uri: proxy, requestTls: tls, proxyTunnel: url.protocol === 'https:', ...shared });
  }
  const timeout = options.timeouts?.connectMs ?? CONNECT_TIMEOUT_MS;
  return new Pool(url.origin, { ...shared, connect: { timeout, ...tls } });
}

function tlsOptions(
  host: string,
  dirs: readonly string[],
  insecure: boolean,
): { ca?: string[]; cert?: string; key?: string; rejectUnauthorized?: boolean } {
  const roots: string[] = [];
  let client: { cert: string; key: string } | undefined;
  for (const dir of dirs) {
    const folder = join(dir, host);
    for (const name of listFolder(folder)) {
      if (name.endsWith('.crt')) roots.push(readFileSync(join(folder, name), 'utf8'));
      if (!name.endsWith('.cert')) continue;
      const keyName = `${name.slice(0, -'.cert'.length)}.key`;
      try {
        client ??= {
          cert: readFileSync(join(folder, name), 'utf8'),
          key: readFileSync(join(folder, keyName), 'utf8'),
        };
      } catch (error) {
        throw new CodedError('failed_precondition', `missing key ${keyName} for client certificate ${name}`, {
          cause: error,
        });
      }
    }
  }
  return {
    ca: [...new Set([...getCACertificates('default'), ...getCACertificates('system'), ...roots])],
    ...client,
    ...(insecure ? { rejectUnauthorized: false } : {}),
  };
}

function listFolder(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return []; // no folder: nothing special for this host
  }
}

function proxyFor(url: URL, proxy: RegistryClientOptions['proxy']): string | undefined {
  const uri = url.protocol === 'https:' ? proxy?.https : proxy?.http;
  if (!uri || isLoopbackHost(url.hostname)) return undefined;
  const host = url.hostname.toLowerCase();
  const excluded = (proxy?.no ?? []).some((entry) => {
    const name = entry
      .trim()
      .toLowerCase()
      .replace(/^\*?\./, '');
    return name === '*' || name === url.host || (name !== '' && (host === name || host.endsWith(`.${name}`)));
  });
  return excluded ? undefined : uri;
}

/** Whether a host name or address is this machine itself. */
export function isLoopbackHost(hostname: string): boolean {
  const host = hostname.toLowerCase().replace(/^\[|\]$/g, '');
  return (
    host === 'localhost' || host.endsWith('.localhost') || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
  );
}

/** Drops what is left of a body so that its connection can be used again. */
export async function discard(response: HttpResponse): Promise<void> {
  await response.body.dump({ limit: 256 * 1024 }).catch(() => undefined);
}

/** Reads at most `limit` bytes of a body. @throws {CodedError} `resource_exhausted` when there are more. */
export async function readBody(response: HttpResponse, limit: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
      length += chunk.byteLength;
      if (length > limit) {
        response.body.destroy();
        throw new CodedError(
          'resource_exhausted',
          `answer of ${response.url.host}${response.url.pathname} is larger than ${limit} bytes`,
        );
      }
      chunks.push(chunk);
    }
  } catch (error) {
    throw networkError(error, response.method, response.url);
  }
  return Buffer.concat(chunks, length);
}
