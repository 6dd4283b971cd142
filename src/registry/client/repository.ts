import type { ByteStream } from '#base/bytes/types.ts';
import { CodedError } from '#base/errors/index.ts';
import { type Digest, digestOf, isDigest } from '#oci/digest/index.ts';
import {
  type DecodedManifest,
  type Descriptor,
  decodeManifest,
  MANIFEST_LIMIT_BYTES,
  MEDIA,
} from '#oci/manifest/index.ts';
import { networkError, RegistryResponseError, responseError } from './errors.ts';
import type { Session, SessionRequest } from './session.ts';
import { discard, type HttpRequest, type HttpResponse, readBody } from './transport.ts';
import type { BlobOpener, RegistryClientOptions, RepositoryClient } from './types.ts';
import { uploadBlob, uploadUnfinished } from './upload.ts';

const ACCEPT = [MEDIA.ociIndex, MEDIA.dockerIndex, MEDIA.ociManifest, MEDIA.dockerManifest].join(', ');
const TAGS_PAGE_LIMIT_BYTES = 8 * 1024 * 1024;
const MAX_TAG_PAGES = 10_000;

/** Facts a repository client is made from. */
export interface RepositoryFacts {
  readonly session: Session;
  readonly registry: string;
  readonly repository: string;
  readonly access: 'pull' | 'push';
  readonly username: string | undefined;
  readonly authenticated: boolean;
  readonly retry: RegistryClientOptions['retry'];
}

/** Makes the client of one repository over an open session. */
export function createRepositoryClient(facts: RepositoryFacts): RepositoryClient {
  return new SessionRepository(facts);
}

class SessionRepository implements RepositoryClient {
  readonly registry: string;
  readonly repository: string;
  readonly #facts: RepositoryFacts;
  readonly #session: Session;
  readonly #scopes: readonly string[];

  constructor(facts: RepositoryFacts) {
    this.registry = facts.registry;
    this.repository = facts.repository;
    this.#facts = facts;
    this.#session = facts.session;
    this.#scopes = [`repository:${facts.repository}:${facts.access === 'push' ? 'pull,push' : 'pull'}`];
  }

  get origin(): string {
    return this.#session.base.origin;
  }

  get access(): RepositoryClient['access'] {
    const { authenticated, username } = this.#facts;
    const { withheld } = this.#session.authorizer;
    return { authenticated, ...(username ? { username } : {}), ...(withheld ? { withheld } : {}) };
  }

  async resolveManifest(tagOrDigest: string, signal?: AbortSignal): Promise<Descriptor> {
    const response = await headManifest(
      this.#session,
      this.#urlOf(`manifests/${tagOrDigest}`),
      this.#scopes,
      signal,
    );
    const described = response === undefined ? undefined : describe(response, tagOrDigest);
    if (described !== undefined) return described;
    // No digest in the answer, or a failure whose reason only a body can tell.
    const manifest = await this.fetchManifest(tagOrDigest, signal);
    return { mediaType: manifest.mediaType, digest: manifest.digest, size: manifest.bytes.byteLength };
  }

  async fetchManifest(tagOrDigest: string, signal?: AbortSignal): Promise<DecodedManifest> {
    const response = await this.#send('GET', this.#urlOf(`manifests/${tagOrDigest}`), [200], signal, {
      headers: { accept: ACCEPT },
    });
    const bytes = await read(response, MANIFEST_LIMIT_BYTES, signal);
    const decoded = decodeManifest(bytes, headerOf(response, 'content-type'));
    const wanted = isDigest(tagOrDigest) ? tagOrDigest : headerOf(response, 'docker-content-digest');
    checkDigest(bytes, decoded.digest, wanted, `${this.registry}/${this.repository}`);
    return isDigest(tagOrDigest) ? { ...decoded, digest: tagOrDigest } : decoded;
  }

  openBlob(
    digest: Digest,
    options: { readonly offset?: number; readonly signal?: AbortSignal | undefined } = {},
  ): ReturnType<RepositoryClient['openBlob']> {
    const url = this.#urlOf(`blobs/${digest}`);
    return openBlob(this.#session, url, this.#scopes, options.offset ?? 0, options.signal);
  }

  async hasBlob(digest: Digest, signal?: AbortSignal): Promise<boolean> {
    const response = await this.#send('HEAD', this.#urlOf(`blobs/${digest}`), [200, 404], signal);
    await discard(response);
    return response.status === 200;
  }

  async mountBlob(digest: Digest, from: string, signal?: AbortSignal): Promise<boolean> {
    const url = this.#urlOf('blobs/uploads/');
    url.searchParams.set('mount', digest);
    url.searchParams.set('from', from);
    const response = await this.#session.send({
      method: 'POST',
      url,
      headers: { 'content-length': '0' },
      scopes: [...this.#scopes, `repository:${from}:pull`],
      expect: [201, 202],
      signal,
    });
    await discard(response);
    if (response.status === 202) await cancelUpload(this.#session, response, this.#scopes, signal);
    return response.status === 201;
  }

  uploadBlob(
    descriptor: Pick<Descriptor, 'digest' | 'size'>,
    open: BlobOpener,
    options: {
      readonly onProgress?: (sentBytes: number) => void;
      readonly signal?: AbortSignal | undefined;
    } = {},
  ): Promise<void> {
    const { retry } = this.#facts;
    return uploadBlob(this.#session, this.#urlOf('blobs/uploads/'), descriptor, open, {
      scopes: this.#scopes,
      signal: options.signal,
      ...(retry === undefined ? {} : { retry }),
      ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
    });
  }

  uploadUnfinished(
    open: () => ByteStream,
    finished: Promise<Pick<Descriptor, 'digest' | 'size'>>,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<boolean> {
    return uploadUnfinished(this.#session, this.#urlOf('blobs/uploads/'), open, finished, {
      scopes: this.#scopes,
      signal: options.signal,
    });
  }

  async putManifest(
    tagOrDigest: string,
    manifest: { readonly bytes: Uint8Array; readonly mediaType: string },
    signal?: AbortSignal,
  ): Promise<Digest> {
    const url = this.#urlOf(`manifests/${tagOrDigest}`);
    const response = await this.#send('PUT', url, [200, 201, 202], signal, {
      headers: { 'content-type': manifest.mediaType },
      body: () => manifest.bytes,
    });
    await discard(response);
    const kept = headerOf(response, 'docker-content-digest');
    const own = decodeManifest(manifest.bytes, manifest.mediaType).digest;
    if (kept?.startsWith('sha256:') && kept !== own)
      throw new CodedError('data_loss', `${this.registry} keeps manifest ${own} as ${kept}`);
    return own;
  }

  listTags(signal?: AbortSignal): AsyncIterable<string> {
    return listTags(this.#session, this.#urlOf('tags/list'), this.#scopes, signal);
  }

  async listReferrers(
    digest: Digest,
    artifactType?: string,
    signal?: AbortSignal,
  ): Promise<readonly Descriptor[]> {
    const url = this.#urlOf(`referrers/${digest}`);
    if (artifactType !== undefined) url.searchParams.set('artifactType', artifactType);
    const response = await this.#send('GET', url, [200, 404], signal);
    if (response.status === 404) {
      await discard(response);
      return [];
    }
    const bytes = await read(response, MANIFEST_LIMIT_BYTES, signal);
    const index = decodeManifest(bytes, headerOf(response, 'content-type'));
    return index.kind === 'index' ? index.value.manifests : [];
  }

  async deleteManifest(tagOrDigest: string, signal?: AbortSignal): Promise<void> {
    await discard(await this.#send('DELETE', this.#urlOf(`manifests/${tagOrDigest}`), [200, 202], signal));
  }

  #urlOf(path: string): URL {
    const { base } = this.#session;
    return new URL(`${base.pathname.replace(/\/$/, '')}/v2/${this.repository}/${path}`, base);
  }

  #send(
    method: HttpRequest['method'],
    url: URL,
    expect: readonly number[],
    signal: AbortSignal | undefined,
    more: Pick<SessionRequest, 'headers' | 'body'> = {},
  ): Promise<HttpResponse> {
    return this.#session.send({ method, url, scopes: this.#scopes, expect, signal, ...more });
  }
}

/** `undefined` when the registry refuses HEAD or has nothing to tell: the GET that follows carries the reason. */
async function headManifest(
  session: Session,
  url: URL,
  scopes: readonly string[],
  signal: AbortSignal | undefined,
): Promise<HttpResponse | undefined> {
  try {
    const response = await session.send({
      method: 'HEAD',
      url,
      headers: { accept: ACCEPT },
      scopes,
      expect: [200],
      signal,
    });
    await discard(response);
    return response;
  } catch (error) {
    if (error instanceof RegistryResponseError && error.status !== 429) return undefined;
    throw error;
  }
}

function describe(response: HttpResponse, tagOrDigest: string): Descriptor | undefined {
  const digest = headerOf(response, 'docker-content-digest');
  const size = Number(headerOf(response, 'content-length') ?? Number.NaN);
  const mediaType = headerOf(response, 'content-type')?.split(';')[0]?.trim();
  if (!digest || !isDigest(digest) || !mediaType || !Number.isSafeInteger(size)) return undefined;
  if (isDigest(tagOrDigest) && tagOrDigest !== digest) return undefined;
  return { mediaType, digest, size };
}

async function openBlob(
  session: Session,
  url: URL,
  scopes: readonly string[],
  offset: number,
  signal: AbortSignal | undefined,
): Promise<{ body: ByteStream; offset: number }> {
  const headers: Record<string, string> = offset > 0 ? { range: `bytes=${offset}-` } : {};
  const response = await session.send({ method: 'GET', url, headers, scopes, expect: [200, 206], signal });
  const encoding = headerOf(response, 'content-encoding');
  if (encoding !== undefined && encoding !== 'identity') {
    response.body.destroy();
    throw responseError({ ...response, status: 502, body: '' });
  }
  const start = response.status === 206 ? rangeStart(response) : 0;
  if (start !== 0 && start !== offset) {
    response.body.destroy();
    throw responseError({ ...response, status: 502, body: '' });
  }
  return { body: guarded(response, signal), offset: start };
}

function rangeStart(response: HttpResponse): number {
  const match = /^bytes (\d+)-/.exec(headerOf(response, 'content-range') ?? '');
  return match?.[1] === undefined ? -1 : Number(match[1]);
}

/** The body with the network's failures in our words. */
async function* guarded(response: HttpResponse, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  try {
    yield* response.body as AsyncIterable<Uint8Array>;
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw networkError(error, response.method, response.url);
  } finally {
    response.body.destroy();
  }
}

async function cancelUpload(
  session: Session,
  response: HttpResponse,
  scopes: readonly string[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const location = response.headers['location'];
  if (typeof location !== 'string' || !URL.canParse(location, response.url)) return;
  const url = new URL(location, response.url);
  if (url.origin !== session.base.origin) return;
  try {
    const expect = [200, 202, 204, 404, 405];
    await discard(await session.send({ method: 'DELETE', url, scopes, expect, signal, retry: false }));
  } catch (error) {
    // The session it would have opened expires by itself; only our own cancellation matters.
    if (signal?.aborted) throw error;
  }
}

async function* listTags(
  session: Session,
  first: URL,
  scopes: readonly string[],
  signal: AbortSignal | undefined,
): AsyncGenerator<string> {
  let url: URL | undefined = first;
  for (let page = 0; url !== undefined && page < MAX_TAG_PAGES; page++) {
    const response: HttpResponse = await session.send({
      method: 'GET',
      url,
      scopes,
      expect: [200],
      signal,
    });
    const bytes = await read(response, TAGS_PAGE_LIMIT_BYTES, signal);
    yield* readTags(bytes, url);
    url = nextPage(response, session.base);
  }
}

function readTags(bytes: Uint8Array, url: URL): readonly string[] {
  try {
    const { tags } = JSON.parse(Buffer.from(bytes).toString('utf8')) as { tags?: unknown };
    if (tags === null || tags === undefined) return [];
    if (Array.isArray(tags)) return tags.filter((tag): tag is string => typeof tag === 'string');
  } catch {
    // Told below.
  }
  throw new CodedError('unavailable', `${url.host} sent a tag list that cannot be read`);
}

function nextPage(response: HttpResponse, base: URL): URL | undefined {
  const match = /<([^>]+)>\s*;\s*rel="?next"?/i.exec(headerOf(response, 'link') ?? '');
  if (match?.[1] === undefined || !URL.canParse(match[1], response.url)) return undefined;
  const next = new URL(match[1], response.url);
  return next.origin === base.origin ? next : new URL(next.pathname + next.search, base);
}

function checkDigest(bytes: Uint8Array, sha256: Digest, wanted: string | undefined, where: string): void {
  if (wanted === undefined || wanted === sha256) return;
  const actual = wanted.startsWith('sha512:') ? digestOf(bytes, 'sha512') : sha256;
  if (actual === wanted) return;
  throw new CodedError('data_loss', `manifest verification failed for digest ${wanted}`, {
    subject: { kind: 'manifest', name: wanted },
    help: {
      id: 'pull/digest-mismatch',
      cause: `${where} answered with other bytes (${actual}) than the digest names: the registry or something between is broken or lies`,
    },
    data: { expected: wanted, actual },
  });
}

async function read(
  response: HttpResponse,
  limit: number,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  try {
    return await readBody(response, limit);
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw error;
  }
}

function headerOf(response: HttpResponse, name: string): string | undefined {
  const value = response.headers[name];
  return Array.isArray(value) ? value[0] : value;
}
