import { mapConcurrently } from '#base/async/index.ts';
import { type DiffId, type Digest, shortIdOf } from '#oci/digest/index.ts';
import {
  compressionOf,
  type Descriptor,
  decodeManifest,
  encodeDocument,
  MANIFEST_LIMIT_BYTES,
  type Manifest,
  MEDIA,
} from '#oci/manifest/index.ts';
import { formatFamiliar, type Reference, withDefaultTag } from '#oci/reference/index.ts';
import type { RepositoryClient } from '#registry/client/types.ts';
import type { Image } from '#store/image/types.ts';
import type { Lease } from '#store/lease/types.ts';
import { pushFailure } from './failure.ts';
import type { Report } from './progress.ts';
import { pushLayer } from './push-layer.ts';
import type { TransferContext } from './shared.ts';
import type { TransferOptions } from './types.ts';

const LEASE_TTL_MS = 24 * 60 * 60_000;
/** Layers in hand at once: what is uploaded and what is compressed is limited apart. */
const LAYERS_AT_ONCE = 8;

/** Pushes one image under one reference. */
export async function pushImage(
  context: TransferContext,
  image: Image,
  reference: Reference,
  options: TransferOptions,
): Promise<{ readonly digest: Digest; readonly sizeBytes: number }> {
  const named = withDefaultTag(reference);
  await using lease = context.leases.createLease({
    ttlMs: LEASE_TTL_MS,
    label: `push ${formatFamiliar(named)}`,
  });
  let repository: RepositoryClient | undefined;
  options.onProgress?.({ status: `The push refers to repository [${named.registry}/${named.repository}]` });
  try {
    repository = await context.client.openRepository(named, {
      credentials: options.credentials,
      access: 'push',
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    return await push(context, repository, image, named, lease, options);
  } catch (error) {
    options.signal?.throwIfAborted();
    throw pushFailure(error, named, repository);
  }
}

async function push(
  context: TransferContext,
  repository: RepositoryClient,
  image: Image,
  named: Reference,
  lease: Lease,
  options: TransferOptions,
): Promise<{ digest: Digest; sizeBytes: number }> {
  const { images } = context;
  const report: Report = options.onProgress ?? (() => undefined);
  const unique = [...new Map(image.layers.map((layer) => [layer.diffId, layer])).values()];
  for (const { diffId } of unique) lease.add({ kind: 'layer', key: diffId });
  for (const { diffId } of unique.toReversed()) report({ id: shortIdOf(diffId), status: 'Preparing' });
  const known = await findKnownManifest(context, image);
  const pushed = await mapConcurrently(
    unique.toReversed(),
    { concurrency: LAYERS_AT_ONCE, ...(options.signal === undefined ? {} : { signal: options.signal }) },
    async (layer, _index, signal) => {
      const push = { context, repository, lease, report, signal };
      const descriptor = await pushLayer(push, layer, known?.layers.get(layer.diffId));
      return [layer.diffId, descriptor] as const;
    },
  );
  const descriptors = new Map<DiffId, Descriptor>(pushed);
  const layers = image.layers.flatMap(({ diffId }) => descriptors.get(diffId) ?? []);
  await pushConfig(repository, image, options.signal);
  const manifest = encodeManifest(image, layers, known);
  const digest = await repository.putManifest(
    named.tag ?? named.digest ?? 'latest',
    manifest,
    options.signal,
  );
  images.addRepoDigest({ registry: named.registry, repository: named.repository, digest }, image.id);
  const sizeBytes = manifest.bytes.byteLength;
  report({ status: `${named.tag ?? named.digest}: digest: ${digest} size: ${sizeBytes}` });
  return { digest, sizeBytes };
}

interface KnownManifest {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
  readonly layers: ReadonlyMap<DiffId, Descriptor>;
}

/** The manifest under which a registry gave us this image: pushed again as it was, it keeps its digest. */
async function findKnownManifest(context: TransferContext, image: Image): Promise<KnownManifest | undefined> {
  for (const descriptor of context.images.listManifests(image.id)) {
    const { content } = context;
    // A damaged one is said, not passed over: the image would get another digest.
    if (content.findBlob(descriptor.digest) === undefined && !content.isDamaged(descriptor.digest)) continue;
    const bytes = await content.readBlob(descriptor.digest, MANIFEST_LIMIT_BYTES);
    const decoded = decodeManifest(bytes, descriptor.mediaType);
    if (decoded.kind !== 'manifest' || decoded.value.config.digest !== image.id) continue;
    if (decoded.value.layers.length !== image.layers.length) continue;
    const layers = new Map(
      image.layers.flatMap(({ diffId }, i) => {
        const layer = decoded.value.layers[i];
        return layer === undefined ? [] : [[diffId, layer] as const];
      }),
    );
    return { bytes, mediaType: decoded.mediaType, layers };
  }
  return undefined;
}

async function pushConfig(
  repository: RepositoryClient,
  image: Image,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (await repository.hasBlob(image.id, signal)) return;
  const descriptor = { digest: image.id, size: image.configBytes.byteLength };
  await repository.uploadBlob(
    descriptor,
    async function* () {
      yield image.configBytes;
    },
    { signal },
  );
}

/** Docker schema 2 as `docker push` writes it; an OCI manifest when a layer's compression has no name in Docker's. */
function encodeManifest(
  image: Image,
  layers: readonly Descriptor[],
  known: KnownManifest | undefined,
): { readonly bytes: Uint8Array; readonly mediaType: string } {
  const isSame =
    known !== undefined &&
    image.layers.every(({ diffId }, i) => known.layers.get(diffId)?.digest === layers[i]?.digest);
  if (isSame) return known;
  const isDocker = layers.every(({ mediaType }) => compressionOf(mediaType) !== 'zstd');
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: isDocker ? MEDIA.dockerManifest : MEDIA.ociManifest,
    config: {
      mediaType: isDocker ? MEDIA.dockerConfig : MEDIA.ociConfig,
      size: image.configBytes.byteLength,
      digest: image.id,
    },
    layers: layers.map(({ mediaType, digest, size }) => ({
      mediaType: layerType(compressionOf(mediaType) ?? 'gzip', isDocker),
      size,
      digest,
    })),
  };
  const bytes = isDocker
    ? new TextEncoder().encode(JSON.stringify(manifest, null, 3))
    : encodeDocument(manifest);
  return { bytes, mediaType: isDocker ? MEDIA.dockerManifest : MEDIA.ociManifest };
}

function layerType(compression: 'none' | 'gzip' | 'zstd', isDocker: boolean): string {
  if (compression === 'zstd') return MEDIA.ociLayerZstd;
  if (compression === 'gzip') return isDocker ? MEDIA.dockerLayerGzip : MEDIA.ociLayerGzip;
  return isDocker ? MEDIA.dockerLayer : MEDIA.ociLayer;
}
