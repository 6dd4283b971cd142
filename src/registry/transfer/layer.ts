/** One layer of a pull: its blob into the content store, its tree into a snapshot. */
import { randomUUID } from 'node:crypto';
import { rm, stat } from 'node:fs/promises';
import { retry } from '#base/async/index.ts';
import { CodedError, hasCode, wrapError } from '#base/errors/index.ts';
import { type ChainId, type DiffId, type Digest, shortIdOf } from '#oci/digest/index.ts';
import type { Descriptor } from '#oci/manifest/index.ts';
import { isTransient, NetworkError } from '#registry/client/index.ts';
import type { RepositoryClient } from '#registry/client/types.ts';
import type { LayerSource } from '#store/changeset/types.ts';
import type { Ingest } from '#store/content/types.ts';
import { countBytes, type Report } from './progress.ts';
import type { TransferContext } from './shared.ts';

/** Attempts that bring no byte at all before a download gives up; one that brings some starts the count anew. */
const FRUITLESS_ATTEMPTS = 5;
const OPEN_WAIT_ATTEMPTS = 50;

/** Nobody waits for the disk before the image is added: that settles everything at once. */
const UNSYNCED = { durable: false };

/** A layer of the image that is being pulled. */
export interface PulledLayer {
  readonly descriptor: Descriptor;
  readonly diffId: DiffId;
  readonly chainId: ChainId;
  readonly parent: ChainId | undefined;
}

/** Brings the compressed bytes of a layer into the content store. Resumes what an earlier pull has left. */
export async function downloadLayer(
  context: TransferContext,
  repository: RepositoryClient,
  { descriptor }: PulledLayer,
  report: Report,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (context.content.findBlob(descriptor.digest) !== undefined) return;
  await context.work.run(`download ${descriptor.digest}`, report, signal, (shared, workSignal) =>
    context.downloads.run(() => download(context, repository, descriptor, shared, workSignal), workSignal),
  );
}

async function download(
  { content }: TransferContext,
  repository: RepositoryClient,
  descriptor: Descriptor,
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  if (content.findBlob(descriptor.digest) !== undefined) return;
  const id = shortIdOf(descriptor.digest);
  const progress = countBytes(report, { id, status: 'Downloading', total: descriptor.size });
  await using ingest = await openFreeIngest(() => content.openIngest(descriptor.digest), signal);
  if (ingest.offset > descriptor.size) await ingest.truncate();
  const resumed = ingest.offset > 0;
  const expected = { digest: descriptor.digest, sizeBytes: descriptor.size };
  try {
    await fill(ingest, repository, descriptor, progress, signal);
    report({ id, status: 'Verifying Checksum' });
    await ingest.commit(expected, UNSYNCED);
  } catch (error) {
    if (!hasCode(error, 'data_loss') || !resumed) throw layerFailure(error, descriptor);
    // The bytes an earlier pull left may be the wrong ones: once more, from the beginning.
    await using fresh = await content.openIngest(descriptor.digest);
    await fresh.truncate();
    await fill(fresh, repository, descriptor, progress, signal);
    await fresh.commit(expected, UNSYNCED).catch((again: unknown) => {
      throw layerFailure(again, descriptor);
    });
  }
  report({ id, status: 'Download complete' });
}

/** A pull that was just cancelled may still be closing the ingest. */
function openFreeIngest(open: () => Promise<Ingest>, signal: AbortSignal): Promise<Ingest> {
  const shouldRetry = (error: unknown): number | false => (hasCode(error, 'unavailable') ? 100 : false);
  return retry({ attempts: OPEN_WAIT_ATTEMPTS, shouldRetry, signal }, open);
}

/** Reads until the ingest holds the whole size; a connection that breaks is taken up where it broke. */
async function fill(
  ingest: Ingest,
  repository: RepositoryClient,
  descriptor: Descriptor,
  progress: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  let reached = ingest.offset;
  let fruitless = 0;
  while (ingest.offset < descriptor.size) {
    try {
      await fillOnce(ingest, repository, descriptor, progress, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!isTransient(error)) throw error;
      fruitless = ingest.offset > reached ? 1 : fruitless + 1;
      reached = Math.max(reached, ingest.offset);
      if (fruitless >= FRUITLESS_ATTEMPTS) throw error;
      await new Promise((resolve) => setTimeout(resolve, Math.min(100 * 2 ** fruitless, 5000)));
      signal.throwIfAborted();
    }
  }
}

async function fillOnce(
  ingest: Ingest,
  repository: RepositoryClient,
  descriptor: Descriptor,
  progress: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const answer = await repository.openBlob(descriptor.digest, { offset: ingest.offset, signal });
  if (answer.offset !== ingest.offset) await ingest.truncate();
  const gathered = new Gatherer(ingest);
  try {
    for await (const chunk of answer.body) {
      if (gathered.offset + chunk.byteLength > descriptor.size) throw tooLong(descriptor);
      await gathered.write(chunk);
      progress(gathered.offset);
    }
  } catch (error) {
    if (hasCode(error, 'data_loss')) await ingest.truncate();
    else await gathered.flush(); // what has come is not asked for again
    throw error;
  }
  await gathered.flush();
  if (ingest.offset < descriptor.size) {
    throw new NetworkError(
      `unexpected EOF: ${ingest.offset} of ${descriptor.size} bytes of ${descriptor.digest}`,
      { transient: true, wrongProtocol: false, cause: undefined },
    );
  }
}

const GATHER_BYTES = 1024 * 1024;

/** Gathers the network's small pieces in one buffer that is used again, instead of keeping each until it is written. */
class Gatherer {
  readonly #ingest: Ingest;
  readonly #buffer = Buffer.allocUnsafeSlow(GATHER_BYTES);
  #held = 0;

  constructor(ingest: Ingest) {
    this.#ingest = ingest;
  }

  get offset(): number {
    return this.#ingest.offset + this.#held;
  }

  async write(chunk: Uint8Array): Promise<void> {
    if (chunk.byteLength > GATHER_BYTES - this.#held) await this.flush();
    if (chunk.byteLength > GATHER_BYTES) {
      await this.#ingest.write(chunk);
      return;
    }
    this.#buffer.set(chunk, this.#held);
    this.#held += chunk.byteLength;
  }

  async flush(): Promise<void> {
    const held = this.#held;
    this.#held = 0;
    if (held > 0) await this.#ingest.write(this.#buffer.subarray(0, held));
  }
}

function tooLong(descriptor: Descriptor): CodedError {
  return new CodedError(
    'data_loss',
    `filesystem layer verification failed for digest ${descriptor.digest}: it has more than the ${descriptor.size} bytes its manifest promises`,
  );
}

function layerFailure(error: unknown, descriptor: Descriptor): unknown {
  if (!hasCode(error, 'data_loss') || error.message.startsWith('filesystem layer')) return error;
  return wrapError(error, `filesystem layer verification failed for digest ${descriptor.digest}`);
}

/** Unpacks a downloaded layer on top of its parent, checks its diffID and makes it known. */
export async function unpackLayer(
  context: TransferContext,
  layer: PulledLayer,
  report: Report,
  signal: AbortSignal | undefined,
): Promise<void> {
  await context.work.run(`unpack ${layer.chainId}`, report, signal, (shared, workSignal) =>
    context.unpacks.run(() => unpack(context, layer, shared, workSignal), workSignal),
  );
}

async function unpack(
  { content, images, snapshots, changesets }: TransferContext,
  layer: PulledLayer,
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  const { descriptor, diffId, chainId, parent } = layer;
  if (snapshots.isWhole(chainId) && images.findLayer(diffId) !== undefined) return;
  const id = shortIdOf(descriptor.digest);
  const source = sourceOf(content, images, layer);
  const progress = countBytes(report, { id, status: 'Extracting', total: descriptor.size });
  progress(0);
  const key = `pull/${shortIdOf(chainId)}/${randomUUID()}`;
  const indexPath = content.reserveFile();
  const active = await snapshots.prepare(key, parent);
  try {
    const facts = await changesets.unpackLayer({
      source,
      compression: 'path' in source ? 'auto' : 'none',
      targetDir: active.upperDir,
      whiteouts: snapshots.driver === 'overlay' ? 'overlay' : 'apply',
      lowerDirs: active.lowerDirs,
      indexPath,
      onProgress: (bytes) => progress(Math.min(bytes, descriptor.size)),
      signal,
    });
    if (facts.diffId !== diffId) throw wrongDiffId(descriptor.digest, diffId, facts.diffId);
    const indexDigest = await adoptIndex(content, indexPath);
    await snapshots.commit(key, chainId, { sizeBytes: facts.contentSizeBytes, durable: false });
    images.addLayer(
      { diffId, indexDigest, tarSizeBytes: facts.tarSizeBytes, contentSizeBytes: facts.contentSizeBytes },
      { chainId },
    );
  } catch (error) {
    await snapshots.remove(key);
    await rm(indexPath, { force: true });
    signal.throwIfAborted();
    throw hasCode(error, 'data_loss')
      ? error
      : wrapError(error, `failed to register layer ${descriptor.digest}`);
  }
}

/** The blob when it is here; else the layer itself, held under another stack of layers. */
function sourceOf(
  content: TransferContext['content'],
  images: TransferContext['images'],
  { descriptor, diffId }: PulledLayer,
): LayerSource {
  if (content.findBlob(descriptor.digest) !== undefined)
    return { path: content.getBlobPath(descriptor.digest) };
  return { stream: images.openLayerTar(diffId) };
}

async function adoptIndex(content: TransferContext['content'], path: string): Promise<Digest> {
  const [digest, { size }] = await Promise.all([content.hashFile(path), stat(path)]);
  await content.adoptFile(path, { digest, sizeBytes: size }, { durable: false });
  return digest;
}

function wrongDiffId(digest: Digest, expected: DiffId, actual: DiffId | undefined): CodedError {
  return new CodedError(
    'data_loss',
    `layers from manifest don't match image configuration: layer ${digest} unpacks to ${actual}, not ${expected}`,
    { data: { digest, expected, actual } },
  );
}
