import { Readable } from 'node:stream';
import { CodedError } from '#base/errors/index.ts';
import type { Descriptor } from '#oci/manifest/index.ts';
import { RegistryResponseError } from './errors.ts';
import { resolveLocation, type Session, withRetries } from './session.ts';
import { discard, type HttpResponse } from './transport.ts';
import type { BlobOpener, RegistryClientOptions } from './types.ts';

/** What an upload reports and heeds. */
export interface UploadOptions {
  readonly scopes: readonly string[];
  readonly onProgress?: (sentBytes: number) => void;
  readonly signal?: AbortSignal | undefined;
  readonly retry?: RegistryClientOptions['retry'];
}

const CHUNK_BYTES = 16 * 1024 * 1024;
/** Registries hash and sync a blob before they answer its last request. */
const COMMIT_TIMEOUT_MS = 10 * 60_000;

/**
 * Uploads a blob: POST, then one PUT with the whole body. A registry (or its proxy) that refuses so large a body gets
 * PATCH chunks. A failure that may pass starts a new upload.
 */
export async function uploadBlob(
  session: Session,
  uploadsUrl: URL,
  descriptor: Pick<Descriptor, 'digest' | 'size'>,
  open: BlobOpener,
  options: UploadOptions,
): Promise<void> {
  await withRetries(
    async () => {
      try {
        await putWhole(session, uploadsUrl, descriptor, open, options);
      } catch (error) {
        if (!(error instanceof RegistryResponseError) || !wantsChunks(error.status)) throw error;
        await putChunks(session, uploadsUrl, descriptor, open, options);
      }
    },
    options.retry,
    options.signal,
  );
}

function wantsChunks(status: number): boolean {
  return status === 413 || status === 411 || status === 405;
}

async function startUpload(session: Session, url: URL, options: UploadOptions): Promise<HttpResponse> {
  const response = await session.send({
    method: 'POST',
    url,
    headers: { 'content-length': '0' },
    scopes: options.scopes,
    expect: [202],
    signal: options.signal,
  });
  await discard(response);
  return response;
}

async function putWhole(
  session: Session,
  uploadsUrl: URL,
  descriptor: Pick<Descriptor, 'digest' | 'size'>,
  open: BlobOpener,
  options: UploadOptions,
): Promise<void> {
  const started = await startUpload(session, uploadsUrl, options);
  const url = resolveLocation(started);
  url.searchParams.append('digest', descriptor.digest);
  const source = new SourceError();
  try {
    const response = await session.send({
      method: 'PUT',
      url,
      headers: { 'content-type': 'application/octet-stream', 'content-length': String(descriptor.size) },
      body: () => source.watch(countBytes(open(0), 0, options.onProgress)),
      scopes: options.scopes,
      expect: [201],
      signal: options.signal,
      headersTimeoutMs: COMMIT_TIMEOUT_MS,
      retry: false,
    });
    await discard(response);
  } catch (error) {
    throw source.error ?? error;
  }
}

/**
 * Uploads bytes whose digest is known only at their end: POST, one PATCH as they come, PUT with the digest. Once: `false` for any
 * failure after the registry has agreed to an upload.
 */
export async function uploadUnfinished(
  session: Session,
  uploadsUrl: URL,
  open: () => AsyncIterable<Uint8Array>,
  finished: Promise<Pick<Descriptor, 'digest'>>,
  options: Pick<UploadOptions, 'scopes' | 'signal'>,
): Promise<boolean> {
  const started = await startUpload(session, uploadsUrl, options);
  const { scopes, signal } = options;
  const shared = { scopes, signal, headersTimeoutMs: COMMIT_TIMEOUT_MS, retry: false };
  try {
    const sent = await session.send({
      ...shared,
      method: 'PATCH',
      url: resolveLocation(started),
      headers: { 'content-type': 'application/octet-stream' },
      body: () => Readable.from(open(), { objectMode: false, highWaterMark: 1024 * 1024 }),
      expect: [202],
    });
    await discard(sent);
    const url = resolveLocation(sent);
    url.searchParams.append('digest', (await finished).digest);
    const headers = { 'content-length': '0' };
    const closed = await session.send({ ...shared, method: 'PUT', url, headers, expect: [201] });
    await discard(closed);
    return true;
  } catch (error) {
    signal?.throwIfAborted();
    if (!(error instanceof CodedError)) throw error;
    return false;
  }
}

async function putChunks(
  session: Session,
  uploadsUrl: URL,
  descriptor: Pick<Descriptor, 'digest' | 'size'>,
  open: BlobOpener,
  options: UploadOptions,
): Promise<void> {
  const started = await startUpload(session, uploadsUrl, options);
  const least = Number(started.headers['oci-chunk-min-length'] ?? 0) || 0;
  const chunkBytes = Math.max(CHUNK_BYTES, least);
  let url = resolveLocation(started);
  let sent = 0;
  for await (const chunk of chunksOf(open(0), chunkBytes)) {
    const at = sent;
    const patch = (): Promise<HttpResponse> =>
      session.send({
        method: 'PATCH',
        url,
        headers: {
          'content-type': 'application/octet-stream',
          'content-length': String(chunk.byteLength),
          'content-range': `${at}-${at + chunk.byteLength - 1}`,
        },
        body: () => chunk,
        scopes: options.scopes,
        expect: [202],
        signal: options.signal,
        headersTimeoutMs: COMMIT_TIMEOUT_MS,
        retry: false,
      });
    const response = await patch();
    await discard(response);
    url = resolveLocation(response);
    sent += chunk.byteLength;
    options.onProgress?.(sent);
  }
  url.searchParams.append('digest', descriptor.digest);
  const closed = await session.send({
    method: 'PUT',
    url,
    headers: { 'content-length': '0' },
    scopes: options.scopes,
    expect: [201],
    signal: options.signal,
    headersTimeoutMs: COMMIT_TIMEOUT_MS,
    retry: false,
  });
  await discard(closed);
}

/** Remembers that the bytes could not be read here, so that it is not taken for a fault of the network. */
class SourceError {
  error: unknown;

  watch(source: AsyncIterable<Uint8Array>): Readable {
    const keep = (error: unknown): void => {
      this.error = error;
    };
    return Readable.from(
      (async function* () {
        try {
          yield* source;
        } catch (error) {
          keep(error);
          throw error;
        }
      })(),
      { objectMode: false, highWaterMark: 1024 * 1024 },
    );
  }
}

async function* countBytes(
  source: AsyncIterable<Uint8Array>,
  start: number,
  onProgress: ((bytes: number) => void) | undefined,
): AsyncIterable<Uint8Array> {
  let bytes = start;
  for await (const chunk of source) {
    yield chunk;
    bytes += chunk.byteLength;
    onProgress?.(bytes);
  }
}

async function* chunksOf(source: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Uint8Array> {
  let held: Uint8Array[] = [];
  let length = 0;
  for await (const piece of source) {
    // A producer may use its buffer again once it is asked for more.
    held.push(Uint8Array.from(piece));
    length += piece.byteLength;
    if (length < size) continue;
    yield Buffer.concat(held, length);
    held = [];
    length = 0;
  }
  if (length > 0) yield Buffer.concat(held, length);
}
