import { createHash } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { createWriteStream } from 'node:fs';
import { BlockList, isIP } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Agent, Response } from 'undici';
import { CodedError, messageOf, redact } from '#base/errors/index.ts';
import { loadUndici } from '#base/undici/index.ts';
import { type Digest, digestFromHash } from '#oci/digest/index.ts';

const REDIRECT_LIMIT = 10;
const DEFAULT_LIMIT_BYTES = 64 * 1024 ** 3;

/** A file that was fetched. */
export interface Download {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly contentType: string;
  readonly lastModified: Date | undefined;
  /** After redirects. */
  readonly url: string;
}

/** Fetches files of builds. */
export interface Fetcher {
  /** @throws {CodedError} `invalid_argument`, `not_found`, `permission_denied`, `unavailable`. */
  download(
    url: string,
    path: string,
    options: { readonly signal: AbortSignal; readonly limitBytes?: number },
  ): Promise<Download>;
  close(): Promise<void>;
}

/**
 * Makes the fetcher. Addresses are looked up once, checked, and it is the checked address that is connected to, after
 * every redirect anew: link-local ones (cloud metadata lives there) are refused, those of `blocked` too.
 */
export function createFetcher(options: { readonly blocked?: readonly string[] } = {}): Fetcher {
  const refused = new BlockList();
  refused.addSubnet('169.254.0.0', 16, 'ipv4');
  refused.addSubnet('fe80::', 10, 'ipv6');
  for (const subnet of options.blocked ?? []) {
    const [address = '', bits = '32'] = subnet.split('/');
    refused.addSubnet(address, Number(bits), isIP(address) === 6 ? 'ipv6' : 'ipv4');
  }
  let agent: Promise<Agent> | undefined;
  return {
    download: async (url, path, { signal, limitBytes = DEFAULT_LIMIT_BYTES }) => {
      agent ??= createAgent(refused);
      return download({ agent: await agent, refused, signal, limitBytes }, url, path);
    },
    close: async () => (await agent)?.close(),
  };
}

/** Loaded at first use: most builds fetch nothing, and it takes several MiB of memory. */
async function createAgent(refused: BlockList): Promise<Agent> {
  const { Agent } = await loadUndici();
  return new Agent({
    connect: {
      lookup: (host, lookupOptions, callback) => {
        resolveAllowed(host, refused).then(
          (addresses) => {
            const [first] = addresses;
            if (lookupOptions.all === true) callback(null, [...addresses]);
            else callback(null, first?.address ?? '', first?.family ?? 4);
          },
          (error: Error) => callback(error, '', 4),
        );
      },
    },
    headersTimeout: 60_000,
  });
}

interface Context {
  readonly agent: Agent;
  readonly refused: BlockList;
  readonly signal: AbortSignal;
  readonly limitBytes: number;
}

async function download(context: Context, url: string, path: string): Promise<Download> {
  const response = await request(context, url);
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const body = response.body === null ? Readable.from([]) : Readable.fromWeb(response.body as never);
  await pipeline(
    body,
    async function* (chunks: AsyncIterable<Uint8Array>) {
      for await (const chunk of chunks) {
        sizeBytes += chunk.byteLength;
        if (sizeBytes > context.limitBytes)
          throw new CodedError(
            'resource_exhausted',
            `"${redact(url)}" is larger than ${context.limitBytes} bytes`,
          );
        hash.update(chunk);
        yield chunk;
      }
    },
    createWriteStream(path, { mode: 0o600, flags: 'wx' }),
    { signal: context.signal },
  );
  const modified = Date.parse(response.headers.get('last-modified') ?? '');
  return {
    digest: digestFromHash(hash),
    sizeBytes,
    contentType: response.headers.get('content-type') ?? '',
    lastModified: Number.isNaN(modified) ? undefined : new Date(modified),
    url: response.url === '' ? url : response.url,
  };
}

async function request(context: Context, start: string): Promise<Response> {
  let url = start;
  for (let hop = 0; hop <= REDIRECT_LIMIT; hop++) {
    checkUrl(url, context.refused);
    const response = await tryFetch(context, url);
    const location = response.headers.get('location');
    if (response.status < 300 || response.status >= 400 || location === null) {
      if (response.ok) return response;
      await response.body?.cancel();
      throw new CodedError(
        response.status === 404 ? 'not_found' : response.status < 500 ? 'permission_denied' : 'unavailable',
        `failed to GET ${redact(url)} with status ${response.status} ${response.statusText}`.trimEnd(),
        { subject: { kind: 'url', name: redact(url) }, data: { status: response.status } },
      );
    }
    await response.body?.cancel();
    url = new URL(location, url).href;
  }
  throw new CodedError('unavailable', `"${redact(start)}" redirects more than ${REDIRECT_LIMIT} times`);
}

async function tryFetch({ agent, signal }: Context, url: string): Promise<Response> {
  const { fetch } = await loadUndici();
  try {
    return await fetch(url, { dispatcher: agent, redirect: 'manual', signal });
  } catch (error) {
    signal.throwIfAborted();
    const cause = (error as Error).cause ?? error;
    if (cause instanceof CodedError) throw cause;
    throw new CodedError('unavailable', `cannot fetch "${redact(url)}": ${messageOf(cause)}`, {
      cause,
      subject: { kind: 'url', name: redact(url) },
    });
  }
}

function checkUrl(text: string, refused: BlockList): void {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new CodedError('invalid_argument', `invalid URL "${redact(text)}"`);
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new CodedError(
      'invalid_argument',
      `cannot fetch "${redact(text)}": only http and https are fetched`,
    );
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (isIP(host) !== 0 && isRefused(host, refused)) throw refusedAddress(host, host);
}

async function resolveAllowed(
  host: string,
  refused: BlockList,
): Promise<readonly { readonly address: string; readonly family: number }[]> {
  const addresses = await lookup(host, { all: true });
  const bad = addresses.find(({ address }) => isRefused(address, refused));
  if (bad !== undefined) throw refusedAddress(host, bad.address);
  return addresses;
}

function isRefused(address: string, refused: BlockList): boolean {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  const plain = mapped ?? address;
  return refused.check(plain, isIP(plain) === 6 ? 'ipv6' : 'ipv4');
}

function refusedAddress(host: string, address: string): CodedError {
  return new CodedError(
    'permission_denied',
    `cannot fetch from "${host}": address ${address} is not allowed`,
    {
      help: {
        id: 'build/address-refused',
        cause:
          'link-local addresses are not fetched by the builder: they lead to services of the host itself',
        fix: ['put the file on another server, or into the build context'],
      },
    },
  );
}
