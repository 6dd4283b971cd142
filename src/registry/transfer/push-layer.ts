/**
 * One layer of a push. What the registry lacks and no compressed form is held of is uploaded while it is made:
 *
 *     tree ─ changeset child ─ tar ─ compressor ─► file in content/ingest ─► blob
 *                                                   └ read behind the writer ─► PATCH … then PUT with the digest
 *
 * The tar is checked against the diffID before the PUT. Whatever goes wrong on the way, the blob is then held and is uploaded whole.
 */
import type { ByteStream } from '#base/bytes/types.ts';
import { CodedError, hasCode } from '#base/errors/index.ts';
import { type Digest, shortIdOf } from '#oci/digest/index.ts';
import { compressionOf, type Descriptor } from '#oci/manifest/index.ts';
import type { RepositoryClient } from '#registry/client/types.ts';
import { blobDamaged } from '#store/content/index.ts';
import type { GrowingBlob, Layer } from '#store/image/types.ts';
import type { Lease } from '#store/lease/types.ts';
import { countBytes, type Report } from './progress.ts';
import type { TransferContext } from './shared.ts';

/** The push that a layer belongs to. */
export interface LayerPush {
  readonly context: TransferContext;
  readonly repository: RepositoryClient;
  readonly lease: Lease;
  readonly report: Report;
  readonly signal: AbortSignal;
}

const MAX_MOUNT_ATTEMPTS = 3;
/** Smaller layers are compressed first: then the registry can say that it has the blob, and an upload is one request less. */
const LEAST_STREAMED_BYTES = 4 * 1024 * 1024;

/** Brings a layer into a repository: it is there, is mounted, or is uploaded. `preferred` is the form a registry once gave us. */
export async function pushLayer(
  push: LayerPush,
  layer: Layer,
  preferred: Descriptor | undefined,
): Promise<Descriptor> {
  const { context, repository, lease, report, signal } = push;
  const id = shortIdOf(layer.diffId);
  const { images } = context;
  const known = images.listLayerBlobs(layer.diffId).filter(({ digest }) => digest !== preferred?.digest);
  const candidates = preferred === undefined ? known : [preferred, ...known];
  for (const candidate of candidates) {
    lease.add({ kind: 'blob', key: candidate.digest });
    if (await repository.hasBlob(candidate.digest, signal)) {
      report({ id, status: 'Layer already exists' });
      return remember(push, candidate);
    }
    const from = await mountFromAnother(push, candidate.digest);
    if (from !== undefined) {
      report({ id, status: `Mounted from ${from}` });
      return remember(push, candidate);
    }
  }
  // A plain tar, as an archive brought it, is compressed first; unless it is the form a registry gave us.
  const held = candidates.find(
    (form) =>
      (form === preferred || compressionOf(form.mediaType) !== 'none') &&
      context.content.findBlob(form.digest) !== undefined,
  );
  const { descriptor, isUploaded } =
    held === undefined ? await makeForm(push, layer) : { descriptor: held, isUploaded: false };
  lease.add({ kind: 'blob', key: descriptor.digest });
  if (!isUploaded) await uploadHeld(push, descriptor, id);
  return remember(push, descriptor);
}

function remember({ context, repository }: LayerPush, descriptor: Descriptor): Descriptor {
  const { registry, repository: name } = repository;
  context.images.addBlobSource(descriptor.digest, { registry, repository: name });
  return descriptor;
}

async function mountFromAnother(
  { context, repository, signal }: LayerPush,
  digest: Digest,
): Promise<string | undefined> {
  const sources = context.images
    .listBlobSources(digest)
    .filter(
      (source) => source.registry === repository.registry && source.repository !== repository.repository,
    );
  for (const source of sources.slice(0, MAX_MOUNT_ATTEMPTS)) {
    try {
      if (await repository.mountBlob(digest, source.repository, signal)) return source.repository;
    } catch (error) {
      // No right on the source is no fault of this push: the blob is uploaded instead.
      signal.throwIfAborted();
      if (!(error instanceof CodedError)) throw error;
    }
  }
  return undefined;
}

interface MadeForm {
  readonly descriptor: Descriptor;
  readonly isUploaded: boolean;
}

/** Compresses a layer, and uploads it meanwhile unless it is small. Pushes to one repository at the same time do it once. */
function makeForm({ context, repository, report, signal }: LayerPush, layer: Layer): Promise<MadeForm> {
  const isStreamed = layer.tarSizeBytes >= LEAST_STREAMED_BYTES;
  const key = isStreamed
    ? `stream ${repository.origin} ${repository.repository} ${layer.diffId}`
    : `pack ${layer.diffId}`;
  return context.work.run(key, report, signal, async (shared, workSignal) => {
    const push = { context, repository, report: shared, signal: workSignal };
    if (isStreamed) return streamForm(push, layer);
    const line = { id: shortIdOf(layer.diffId), status: 'Preparing', total: layer.tarSizeBytes };
    const onProgress = countBytes(shared, line);
    return {
      descriptor: await ensureForm(context, layer, { onProgress, signal: workSignal }),
      isUploaded: false,
    };
  });
}

function ensureForm(
  { packs, images }: TransferContext,
  layer: Layer,
  options: NonNullable<Parameters<TransferContext['images']['ensureLayerBlob']>[2]> & { signal: AbortSignal },
): Promise<Descriptor> {
  return packs.run(() => images.ensureLayerBlob(layer.diffId, 'gzip', options), options.signal);
}

async function streamForm(push: Omit<LayerPush, 'lease'>, layer: Layer): Promise<MadeForm> {
  const { context, repository, report } = push;
  const id = shortIdOf(layer.diffId);
  const finished = Promise.withResolvers<Descriptor>();
  finished.promise.catch(() => undefined); // told by the making itself
  // An upload that is refused ends the making, too.
  const refused = new AbortController();
  const signal = AbortSignal.any([push.signal, refused.signal]);
  const progress = new StreamProgress(report, id, layer.tarSizeBytes);
  let upload: Promise<boolean> | undefined;
  const onGrowing = (blob: GrowingBlob): void => {
    upload ??= context.uploads.run(
      async () =>
        blob.isGrowing &&
        (await repository.uploadUnfinished(() => progress.watch(blob), finished.promise, { signal })),
      signal,
    );
    upload.catch((error: unknown) => refused.abort(error));
  };
  try {
    const onProgress = (tarBytes: number): void => progress.packed(tarBytes);
    const descriptor = await ensureForm(context, layer, { onProgress, onGrowing, signal });
    finished.resolve(descriptor);
    const isUploaded = upload !== undefined && (await upload);
    if (isUploaded) report({ id, status: 'Pushed' });
    return { descriptor, isUploaded };
  } catch (error) {
    finished.reject(error);
    await upload?.catch(() => undefined);
    throw error;
  }
}

/** Tells, in bytes of the tar, how far an upload has got whose compressed size nobody knows yet. */
class StreamProgress {
  readonly #tell: (current: number) => void;
  readonly #total: number;
  #tarBytes = 0;

  constructor(report: Report, id: string, total: number) {
    this.#tell = countBytes(report, { id, status: 'Pushing', total });
    this.#total = total;
    this.#tell(0);
  }

  packed(tarBytes: number): void {
    this.#tarBytes = tarBytes;
  }

  async *watch(blob: GrowingBlob): AsyncGenerator<Uint8Array, void, undefined> {
    let sent = 0;
    for await (const chunk of blob.open()) {
      yield chunk;
      sent += chunk.byteLength;
      const tarBytes = blob.isGrowing ? this.#tarBytes : this.#total;
      this.#tell(Math.min(this.#total - 1, Math.round(tarBytes * (sent / blob.sizeBytes))));
    }
  }
}

async function uploadHeld(
  { context, repository, report, signal }: LayerPush,
  descriptor: Descriptor,
  id: string,
): Promise<void> {
  const key = `upload ${repository.origin} ${repository.repository} ${descriptor.digest}`;
  await context.work.run(key, report, signal, (shared, workSignal) =>
    context.uploads.run(() => upload(context, repository, descriptor, id, shared, workSignal), workSignal),
  );
}

async function upload(
  { content }: TransferContext,
  repository: RepositoryClient,
  descriptor: Descriptor,
  id: string,
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  // A blob we compressed just now may be there from an earlier push.
  if (await repository.hasBlob(descriptor.digest, signal)) {
    report({ id, status: 'Layer already exists' });
    return;
  }
  const onProgress = countBytes(report, { id, status: 'Pushing', total: descriptor.size });
  onProgress(0);
  const open = (offset: number): ByteStream => content.openBlob(descriptor.digest, { start: offset });
  try {
    await repository.uploadBlob(descriptor, open, { onProgress, signal });
  } catch (error) {
    signal.throwIfAborted();
    // A registry that refuses the bytes may be right about them.
    const isDoubtful = hasCode(error, 'invalid_argument') || hasCode(error, 'data_loss');
    if (!isDoubtful || content.isDamaged(descriptor.digest) || (await content.checkBlob(descriptor.digest)))
      throw error;
    throw blobDamaged(descriptor.digest, error);
  }
  report({ id, status: 'Pushed' });
}
