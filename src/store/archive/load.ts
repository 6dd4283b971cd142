import { createReadStream, createWriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { decompress, detectCompression } from '#base/bytes/index.ts';
import type { ByteStream } from '#base/bytes/types.ts';
import type { ImageId } from '#oci/config/index.ts';
import { algorithmOf, type ChainId, type DiffId, digestOf, shortIdOf } from '#oci/digest/index.ts';
import { type Descriptor, MEDIA } from '#oci/manifest/index.ts';
import { formatCanonical, formatFamiliar } from '#oci/reference/index.ts';
import type { LayerSource } from '#store/changeset/types.ts';
import type { ContentStore } from '#store/content/types.ts';
import type { LayerToUnpack, LayerUnpacker } from '#store/image/index.ts';
import type { ImageStore, NewImage } from '#store/image/types.ts';
import type { Lease, LeaseStore, Reclaimer } from '#store/lease/types.ts';
import { planDockerArchive, planLegacyArchive } from './docker-archive.ts';
import { readHead } from './legacy-layer.ts';
import { explainArchive, type FileMember, invalidArchive, type Members } from './members.ts';
import { planOciArchive } from './oci-archive.ts';
import type { PlannedImage, PlannedLayer } from './plan.ts';
import { dropFiles, spoolArchive } from './spool.ts';
import type { LoadedImage, LoadOptions } from './types.ts';

/** What loading writes to. */
export interface LoadTargets {
  readonly content: ContentStore;
  readonly images: ImageStore;
  readonly layers: LayerUnpacker;
  readonly leases: LeaseStore;
  readonly reclaimer: Reclaimer;
}

/** As `Archives.loadImages`: read all of it, plan, unpack, then add everything in one transaction. */
export async function loadImages(
  targets: LoadTargets,
  archive: ByteStream,
  options: LoadOptions,
): Promise<readonly LoadedImage[]> {
  const members = await spoolArchive(archive, targets.content, options.signal).catch((error: unknown) => {
    throw explainArchive(error);
  });
  const unpacked: ChainId[] = [];
  const lease = targets.leases.createLease({ label: 'load' });
  let isDone = false;
  try {
    const planned = await planArchive(members, targets.content, options);
    for (const image of planned) unpacked.push(...(await unpackImage(targets, image, lease, options)));
    const images = await Promise.all(planned.map((image) => toNewImage(targets.content, image, planned)));
    const renamed = findRenamed(targets.images, planned);
    const added = await targets.images.addImages(images);
    isDone = true;
    for (const status of renamed) options.onProgress?.({ status });
    return planned.map(({ references }, i) => ({ id: added[i]?.id as ImageId, references }));
  } finally {
    await lease[Symbol.asyncDispose]();
    if (!isDone) for (const chainId of unpacked.reverse()) targets.reclaimer.releaseChains([chainId]);
    await dropFiles(members);
  }
}

async function planArchive(
  members: Members,
  content: ContentStore,
  { platform }: LoadOptions,
): Promise<readonly PlannedImage[]> {
  if (members.has('manifest.json')) return planDockerArchive(members);
  if (members.has('index.json')) return planOciArchive(members, platform);
  const isLegacy =
    members.has('repositories') ||
    Array.from(members.paths()).some((path) => /^[a-f0-9]{64}\/json$/.test(path));
  if (isLegacy) return planLegacyArchive(members, content);
  throw invalidArchive('it has neither "manifest.json" nor "index.json"');
}

/** Returns the chains that were not here before. */
async function unpackImage(
  { content, images, layers }: LoadTargets,
  image: PlannedImage,
  lease: Lease,
  options: LoadOptions,
): Promise<readonly ChainId[]> {
  const missing = image.layers.filter(({ diffId }) => images.findLayer(diffId) === undefined);
  for (const { diffId } of image.layers) lease.add({ kind: 'layer', key: diffId });
  const plans = await Promise.all(image.layers.map((layer) => toUnpack(layer, options)));
  const before = new Set(missing.map(({ diffId }) => diffId));
  const [chains] = await Promise.all([
    layers.unpackStack(plans, { lease, ...(options.signal === undefined ? {} : { signal: options.signal }) }),
    ...missing.map((layer) => checkBlob(content, layer)),
  ]);
  for (const layer of missing) await keepBlob(content, images, layer);
  return chains.filter((_, i) => before.has(image.layers[i]?.diffId as DiffId));
}

async function toUnpack(
  { diffId, member }: PlannedLayer,
  { onProgress }: LoadOptions,
): Promise<LayerToUnpack> {
  const total = member.sizeBytes;
  const openSource = (): LayerSource =>
    member.kind === 'file' ? { path: member.path } : { stream: oneChunk(member.bytes) };
  const report = (current: number): void =>
    onProgress?.({ id: shortIdOf(diffId), status: 'Loading layer', current, total });
  return {
    diffId,
    openSource,
    compression: detectCompression(await readHead(member)),
    onProgress: report,
    onDone: () => report(total),
  };
}

function openMember(member: FileMember): ByteStream {
  if (member.kind === 'bytes') return oneChunk(member.bytes);
  return createReadStream(member.path, { highWaterMark: 1024 * 1024 });
}

async function* oneChunk(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** Bytes that the archive names by digest must be those bytes. A plain layer is its diffID: unpacking checks it. */
async function checkBlob(content: ContentStore, { blob, member, diffId }: PlannedLayer): Promise<void> {
  if (blob === undefined || blob.digest === diffId) return;
  const algorithm = algorithmOf(blob.digest);
  const actual =
    member.kind === 'file'
      ? await content.hashFile(member.path, algorithm)
      : digestOf(member.bytes, algorithm);
  if (actual !== blob.digest) throw invalidArchive(`blob ${blob.digest} is ${actual}`);
}

/**
 * A layer that was packed elsewhere cannot be made again byte for byte: its bytes stay, as they came. One that we
 * packed can, and needs no second copy.
 */
async function keepBlob(content: ContentStore, images: ImageStore, layer: PlannedLayer): Promise<void> {
  const { diffId, member } = layer;
  if (images.listLayerBlobs(diffId).some(({ digest }) => content.findBlob(digest) !== undefined)) return;
  const compression = detectCompression(await readHead(member));
  if (compression === 'xz' || compression === 'bzip2') return keepPlain(content, images, layer);
  if (compression === 'none' && (await images.isMadeFromTree(diffId, openMember(member)))) return;
  const mediaType = layer.blob?.mediaType ?? LAYER_TYPES[compression];
  if (member.kind === 'bytes') {
    const { digest, sizeBytes } = await content.putBlob(member.bytes, { durable: false });
    images.addLayerBlob(diffId, { digest, mediaType, size: sizeBytes });
    return;
  }
  // Unpacking has shown that a plain tar is its diffID.
  const known = layer.blob?.digest ?? (compression === 'none' ? diffId : undefined);
  const digest = known ?? (await content.hashFile(member.path));
  await content.adoptFile(member.path, { digest, sizeBytes: member.sizeBytes }, { durable: false });
  images.addLayerBlob(diffId, { digest, mediaType, size: member.sizeBytes });
}

/** No registry takes such compressions: the plain tar stays instead. */
async function keepPlain(
  content: ContentStore,
  images: ImageStore,
  { diffId, member }: PlannedLayer,
): Promise<void> {
  const path = content.reserveFile();
  const plain = content.verifyStream(decompress(openMember(member), 'auto'), diffId);
  await pipeline(Readable.from(plain), createWriteStream(path, { flags: 'wx', mode: 0o600 }));
  const { size } = await stat(path);
  await content.adoptFile(path, { digest: diffId, sizeBytes: size }, { durable: false });
  images.addLayerBlob(diffId, { digest: diffId, mediaType: MEDIA.dockerLayer, size });
}

const LAYER_TYPES = {
  none: MEDIA.dockerLayer,
  gzip: MEDIA.dockerLayerGzip,
  zstd: MEDIA.ociLayerZstd,
} as const;

async function toNewImage(
  content: ContentStore,
  image: PlannedImage,
  all: readonly PlannedImage[],
): Promise<NewImage> {
  const parentId = findParent(image, all);
  return {
    configBytes: image.configBytes,
    tags: image.references,
    ...(parentId === undefined ? {} : { parentId }),
    ...(image.manifest === undefined ? {} : { manifest: await keepManifest(content, image.manifest) }),
  };
}

async function keepManifest(
  content: ContentStore,
  { bytes, digest, mediaType }: NonNullable<PlannedImage['manifest']>,
): Promise<Descriptor> {
  await content.putBlob(bytes, { durable: false });
  return { digest, mediaType, size: bytes.byteLength };
}

/**
 * The parent that the archive names, if it is in the archive and its history is this image's without the last entry.
 * Histories grow with every step, so parents cannot run in a circle.
 */
function findParent(image: PlannedImage, all: readonly PlannedImage[]): ImageId | undefined {
  if (image.parent === undefined) return undefined;
  const parent = all.find(({ configBytes }) => digestOf(configBytes) === image.parent);
  const [own, before] = [image.config.history ?? [], parent?.config.history ?? []];
  const isParent =
    parent !== undefined &&
    own.length === before.length + 1 &&
    JSON.stringify(own.slice(0, -1)) === JSON.stringify(before);
  return isParent ? (image.parent as ImageId) : undefined;
}

/** Names in the archive that another image has now; afterwards that image may be without a name, as Docker tells. */
function findRenamed(images: ImageStore, planned: readonly PlannedImage[]): readonly string[] {
  return planned.flatMap(({ references, configBytes }) =>
    references.flatMap((reference) => {
      const before = images.findImage(formatCanonical(reference))?.id;
      if (before === undefined || before === digestOf(configBytes)) return [];
      const name = formatFamiliar(reference);
      return [`The image ${name} already exists, renaming the old one with ID ${before} to empty string`];
    }),
  );
}
