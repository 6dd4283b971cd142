/**
 * The archive that `save` writes: a Docker archive and an OCI layout in one.
 *
 *     oci-layout, index.json                 OCI: one descriptor per name
 *     manifest.json, repositories            Docker: config, names and layers per image; names to layers
 *     blobs/sha256/<hex>                     manifests, configs, then layers as plain tars
 *
 * The documents come first: all they say is known before a layer is read, and a reader can plan with them.
 *
 * Spec: image-spec v1.1, image-layout.md; Docker image spec v1.2, "Combined Image JSON + Filesystem Changeset Format".
 */
import type { ByteStream } from '#base/bytes/types.ts';
import { type TarInput, writeTar } from '#base/tar/index.ts';
import { type DiffId, type Digest, digestOf, hexOf } from '#oci/digest/index.ts';
import { type Descriptor, encodeDocument, MEDIA } from '#oci/manifest/index.ts';
import type { Platform } from '#oci/platform/index.ts';
import { familiarName, formatCanonical, formatFamiliar } from '#oci/reference/index.ts';
import type { ImageStore, Layer } from '#store/image/types.ts';
import type { LeaseStore } from '#store/lease/types.ts';
import type { SavedImage } from './types.ts';

/** What saving reads from. */
export interface SaveSources {
  readonly images: Pick<ImageStore, 'openLayerTar' | 'checkLayer'>;
  readonly leases: LeaseStore;
}

/** As `Archives.saveImages`. */
export async function* saveImages(
  { images, leases }: SaveSources,
  saved: readonly SavedImage[],
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const items = mergeImages(saved);
  const layers = new Map<DiffId, Layer>();
  for (const { image } of items) for (const layer of image.layers) layers.set(layer.diffId, layer);
  await using lease = leases.createLease({ label: 'save' });
  for (const diffId of layers.keys()) lease.add({ kind: 'layer', key: diffId });
  // Later there is no way left to say what is wrong.
  for (const diffId of layers.keys()) await images.checkLayer(diffId);
  yield* writeTar(listEntries(items, layers, (diffId) => abortable(images.openLayerTar(diffId), signal)));
}

/** An image named twice is written once, under both names. */
function mergeImages(saved: readonly SavedImage[]): readonly SavedImage[] {
  const merged = new Map<string, SavedImage>();
  for (const { image, references } of saved) {
    const before = merged.get(image.id)?.references ?? [];
    const known = new Set(before.map(formatCanonical));
    const added = references.filter((each) => each.tag !== undefined && !known.has(formatCanonical(each)));
    merged.set(image.id, { image, references: [...before, ...added] });
  }
  return [...merged.values()];
}

function* listEntries(
  items: readonly SavedImage[],
  layers: ReadonlyMap<DiffId, Layer>,
  openLayer: (diffId: DiffId) => ByteStream,
): Generator<TarInput> {
  const manifests = items.map(({ image }) => encodeManifest(image));
  yield file('oci-layout', encodeDocument({ imageLayoutVersion: '1.0.0' }));
  yield file('index.json', encodeIndex(items, manifests));
  yield file(
    'manifest.json',
    encodeDocument(items.map(({ image, references }) => dockerEntry(image, references))),
  );
  const repositories = encodeRepositories(items);
  if (repositories !== undefined) yield file('repositories', repositories);
  yield directory('blobs/');
  yield directory('blobs/sha256/');
  const written = new Set<Digest>();
  const documents = [...manifests, ...items.map(({ image }) => image.configBytes)];
  for (const bytes of documents) {
    const digest = digestOf(bytes);
    if (!written.has(digest)) yield file(blobPath(digest), bytes);
    written.add(digest);
  }
  for (const { diffId, tarSizeBytes } of layers.values()) {
    const header = { path: blobPath(diffId), type: 'file', mode: 0o644, sizeBytes: tarSizeBytes } as const;
    yield { header, body: openLayer(diffId) };
  }
}

function encodeManifest({ id, config, configBytes, layers }: SavedImage['image']): Uint8Array {
  const platform: Platform = {
    architecture: config.architecture,
    os: config.os,
    ...(config.variant === undefined ? {} : { variant: config.variant }),
  };
  return encodeDocument({
    schemaVersion: 2,
    mediaType: MEDIA.ociManifest,
    config: { mediaType: MEDIA.ociConfig, digest: id, size: configBytes.byteLength, platform },
    layers: layers.map(layerDescriptor),
  });
}

function layerDescriptor({ diffId, tarSizeBytes }: Layer): Descriptor {
  return { mediaType: MEDIA.ociLayer, digest: diffId, size: tarSizeBytes };
}

function encodeIndex(items: readonly SavedImage[], manifests: readonly Uint8Array[]): Uint8Array {
  const descriptors = items.flatMap(({ references }, i) => {
    const bytes = manifests[i] as Uint8Array;
    const base = { mediaType: MEDIA.ociManifest, digest: digestOf(bytes), size: bytes.byteLength };
    if (references.length === 0) return [base];
    return references.map((reference) => ({
      ...base,
      annotations: {
        'io.containerd.image.name': formatCanonical(reference),
        'org.opencontainers.image.ref.name': reference.tag,
      },
    }));
  });
  return encodeDocument({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests: descriptors });
}

function dockerEntry(image: SavedImage['image'], references: SavedImage['references']): object {
  return {
    Config: blobPath(image.id),
    RepoTags: references.length === 0 ? null : references.map(formatFamiliar),
    Layers: image.layers.map(({ diffId }) => blobPath(diffId)),
    LayerSources: Object.fromEntries(image.layers.map((layer) => [layer.diffId, layerDescriptor(layer)])),
  };
}

/** Names to the last layer: what Docker before 1.10 looked at. */
function encodeRepositories(items: readonly SavedImage[]): Uint8Array | undefined {
  const repositories = new Map<string, Map<string, string>>();
  for (const { image, references } of items) {
    const top = image.layers.at(-1);
    if (top === undefined) continue;
    for (const reference of references) {
      const tags = repositories.get(familiarName(reference)) ?? new Map<string, string>();
      repositories.set(familiarName(reference), tags.set(reference.tag ?? '', hexOf(top.diffId)));
    }
  }
  if (repositories.size === 0) return undefined;
  const plain = [...repositories].map(([name, tags]) => [name, Object.fromEntries(tags)]);
  return encodeDocument(Object.fromEntries(plain));
}

function blobPath(digest: Digest): string {
  return `blobs/${digest.replace(':', '/')}`;
}

function file(path: string, bytes: Uint8Array): TarInput {
  return { header: { path, type: 'file', mode: 0o644 }, body: bytes };
}

function directory(path: string): TarInput {
  return { header: { path, type: 'directory', mode: 0o755 } };
}

async function* abortable(
  stream: ByteStream,
  signal: AbortSignal | undefined,
): ByteStream & AsyncGenerator<Uint8Array> {
  for await (const chunk of stream) {
    signal?.throwIfAborted();
    yield chunk;
  }
}
