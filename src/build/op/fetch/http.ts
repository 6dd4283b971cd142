import { createHash } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { createWriteStream } from 'node:fs';
import { STATUS_CODES } from 'node:http';
import { BlockList, isIP } from 'node:net';
import { pipeline } from 'node:stream/promises';
import type { Agent, Dispatcher } from 'undici';
import { CodedError, isSystemError, messageOf, redact } from '#base/errors/index.ts';
import { loadUndici } from '#base/undici/index.ts';
import { type Digest, digestFromHash } from '#oci/digest/index.ts';

const REDIRECT_LIMIT = 10;
const SAID_BYTES = 512;
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
  const { response, finalUrl } = await get(context, url);
  const hash = createHash('sha256');
  let sizeBytes = 0;
  await pipeline(
    response.body,
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
  const modified = Date.parse(headerOf(response, 'last-modified') ?? '');
  return {
    digest: digestFromHash(hash),
    sizeBytes,
    contentType: headerOf(response, 'content-type') ?? '',
    lastModified: Number.isNaN(modified) ? undefined : new Date(modified),
    url: finalUrl,
  };
}

/** Not `fetch`, which refuses whole ports by a browser's rules. */
async function get(
  context: Context,
  start: string,
): Promise<{ readonly response: Dispatcher.ResponseData; readonly finalUrl: string }> {
  let url = start;
  for (let hop = 0; hop <= REDIRECT_LIMIT; hop++) {
    checkUrl(url, context.refused);
    const response = await send(context, url);
    const { statusCode: status } = response;
    const location = headerOf(response, 'location');
    if (status < 300 || status >= 400 || location === undefined) {
      if (status >= 200 && status < 300) return { response, finalUrl: url };
      const said = await startOf(response);
      throw new CodedError(
        status === 404 ? 'not_found' : status < 500 ? 'permission_denied' : 'unavailable',
        `failed to GET ${redact(url)} with status ${status} ${STATUS_CODES[status] ?? ''}: ${said}`.trimEnd(),
        { subject: { kind: 'url', name: redact(url) }, data: { status } },
      );
    }
    await response.body.dump();
    url = new URL(location, url).href;
  }
  throw new CodedError('unavailable', `"${redact(start)}" redirects more than ${REDIRECT_LIMIT} times`);
}

function headerOf({ headers }: Dispatcher.ResponseData, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' ? value : value?.[0];
}

/** The start of what a server says to its refusal, on one line. */
async function startOf({ body }: Dispatcher.ResponseData): Promise<string> {
  const pieces: Buffer[] = [];
  let length = 0;
  try {
    for await (const piece of body as AsyncIterable<Buffer>) {
      pieces.push(piece);
      length += piece.length;
      if (length >= SAID_BYTES) break;
    }
  } catch {
    // What came until then will do.
  }
  const text = Buffer.concat(pieces).toString('utf8', 0, SAID_BYTES);
  return text.replaceAll(/\p{Cc}+/gu, ' ').trim();
}

async function send({ agent, signal }: Context, url: string): Promise<Dispatcher.ResponseData> {
  const { request } = await loadUndici();
  try {
    return await request(url, { dispatcher: agent, signal });
  } catch (error) {
    signal.throwIfAborted();
    const cause = (error as Error).cause ?? error;
    if (cause instanceof CodedError) throw cause;
    throw new CodedError('unavailable', `Get "${redact(url)}": ${reasonOf(cause, new URL(url))}`, {
      cause,
      subject: { kind: 'url', name: redact(url) },
    });
  }
}

/** Why nobody answered, in the words of Docker's client. */
function reasonOf(error: unknown, { hostname, port, protocol }: URL): string {
  const address = `${hostname}:${port || (protocol === 'https:' ? 443 : 80)}`;
  if (isSystemError(error, 'ECONNREFUSED')) return `dial tcp ${address}: connect: connection refused`;
  if (isSystemError(error, 'ENOTFOUND')) return `dial tcp: lookup ${hostname}: no such host`;
  if (isSystemError(error, 'EAI_AGAIN'))
    return `dial tcp: lookup ${hostname}: Temporary failure in name resolution`;
  return messageOf(error);
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
