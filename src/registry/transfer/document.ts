/** The documents of an image: index, manifest, config; each fetched once, verified, and kept as received. */
import { CodedError, hasCode } from '#base/errors/index.ts';
import { CONFIG_LIMIT_BYTES, decodeImageConfig, type ImageConfig } from '#oci/config/index.ts';
import { algorithmOf, type Digest, digestOf } from '#oci/digest/index.ts';
import {
  compressionOf,
  type Decoded,
  type DecodedManifest,
  type Descriptor,
  decodeManifest,
  isIndexType,
  isManifestType,
  MANIFEST_LIMIT_BYTES,
  type Manifest,
  MEDIA,
} from '#oci/manifest/index.ts';
import type { Platform } from '#oci/platform/index.ts';
import { formatFamiliar, type Reference } from '#oci/reference/index.ts';
import type { RepositoryClient } from '#registry/client/types.ts';
import type { ContentStore } from '#store/content/types.ts';
import type { Lease } from '#store/lease/types.ts';
import { choosePlatform } from './platform.ts';

const MAX_INDEX_DEPTH = 4;

/** Where documents are looked for before they are fetched; with a lease they are also stored. */
export interface DocumentStore {
  readonly content: ContentStore;
  readonly lease?: Lease;
}

/** An image's manifest, and the digest by which its reference is known (an index's, when there is one). */
export interface ResolvedManifest {
  readonly topDigest: Digest;
  readonly descriptor: Descriptor;
  readonly manifest: Decoded<Manifest>;
  readonly fromIndex: boolean;
}

/**
 * Follows a reference to the manifest of one platform.
 * @throws {CodedError} `not_found` when no entry serves the platform; `invalid_argument` for what is no image.
 */
export async function resolveManifest(
  repository: RepositoryClient,
  reference: Reference,
  platform: Platform,
  store: DocumentStore,
  signal: AbortSignal | undefined,
): Promise<ResolvedManifest> {
  const top = await repository.resolveManifest(reference.digest ?? reference.tag ?? 'latest', signal);
  let descriptor = top;
  let document = await getManifest(repository, top, store, signal);
  for (let depth = 0; document.kind === 'index'; depth++) {
    if (depth >= MAX_INDEX_DEPTH)
      throw new CodedError(
        'invalid_argument',
        `cannot read manifest: indexes are nested deeper than ${MAX_INDEX_DEPTH}`,
      );
    const entry = choosePlatform(document.value, platform, formatFamiliar(reference));
    if (!isManifestType(entry.mediaType) && !isIndexType(entry.mediaType))
      throw new CodedError('invalid_argument', `unsupported media type ${entry.mediaType}`);
    descriptor = entry;
    document = await getManifest(repository, entry, store, signal);
  }
  return {
    topDigest: top.digest,
    descriptor: { mediaType: document.mediaType, digest: document.digest, size: document.bytes.byteLength },
    manifest: document,
    fromIndex: descriptor !== top,
  };
}

async function getManifest(
  repository: RepositoryClient,
  descriptor: Descriptor,
  { content, lease }: DocumentStore,
  signal: AbortSignal | undefined,
): Promise<DecodedManifest> {
  lease?.add({ kind: 'blob', key: descriptor.digest });
  const held = await readHeld(content, descriptor.digest, MANIFEST_LIMIT_BYTES);
  if (held !== undefined) return { ...decodeManifest(held, descriptor.mediaType), digest: descriptor.digest };
  const document = await repository.fetchManifest(descriptor.digest, signal);
  if (document.bytes.byteLength !== descriptor.size)
    throw sizeMismatch('manifest', descriptor, document.bytes.byteLength);
  if (lease !== undefined && algorithmOf(descriptor.digest) === 'sha256')
    await content.putBlob(document.bytes, { durable: false });
  return document;
}

/** A document that is here and whole; one that is damaged is fetched anew, and stored in its place. */
async function readHeld(
  content: ContentStore,
  digest: Digest,
  limitBytes: number,
): Promise<Uint8Array | undefined> {
  if (content.findBlob(digest) === undefined) return undefined;
  try {
    return await content.readBlob(digest, limitBytes);
  } catch (error) {
    if (hasCode(error, 'data_loss')) return undefined;
    throw error;
  }
}

/**
 * The image config of a manifest, with the layers checked against it.
 * @throws {CodedError} `invalid_argument` when the manifest is no image we can run.
 */
export async function getConfig(
  repository: RepositoryClient,
  manifest: Manifest,
  { content, lease }: DocumentStore,
  signal: AbortSignal | undefined,
): Promise<Decoded<ImageConfig>> {
  const { config, layers } = manifest;
  if (![MEDIA.ociConfig, MEDIA.dockerConfig, 'application/octet-stream'].includes(config.mediaType))
    throw new CodedError('invalid_argument', `unsupported media type ${config.mediaType}`, {
      help: { id: 'pull/no-image', cause: 'this is an artifact, not a container image' },
    });
  const strange = layers.find(({ mediaType }) => compressionOf(mediaType) === undefined);
  if (strange !== undefined)
    throw new CodedError('invalid_argument', `unsupported layer media type ${strange.mediaType}`);
  if (config.size > CONFIG_LIMIT_BYTES)
    throw new CodedError('resource_exhausted', `image config is larger than ${CONFIG_LIMIT_BYTES} bytes`);
  lease?.add({ kind: 'blob', key: config.digest });
  const held = await readHeld(content, config.digest, CONFIG_LIMIT_BYTES);
  const bytes = held ?? (await fetchSmall(repository, config, signal));
  const decoded = decodeImageConfig(bytes);
  if (decoded.value.rootfs.diff_ids.length !== layers.length)
    throw new CodedError(
      'invalid_argument',
      `layers from manifest don't match image configuration: ${layers.length} layers, ${decoded.value.rootfs.diff_ids.length} diffIDs`,
    );
  if (held === undefined && lease !== undefined && algorithmOf(config.digest) === 'sha256')
    await content.putBlob(bytes, { durable: false });
  return { ...decoded, digest: config.digest };
}

async function fetchSmall(
  repository: RepositoryClient,
  descriptor: Descriptor,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const { body } = await repository.openBlob(descriptor.digest, { signal });
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.byteLength;
    if (length > descriptor.size) throw sizeMismatch('image config', descriptor, length);
    chunks.push(Uint8Array.from(chunk));
  }
  const bytes = Buffer.concat(chunks, length);
  if (length !== descriptor.size) throw sizeMismatch('image config', descriptor, length);
  if (digestOf(bytes, algorithmOf(descriptor.digest)) !== descriptor.digest)
    throw new CodedError('data_loss', `image config verification failed for digest ${descriptor.digest}`);
  return bytes;
}

function sizeMismatch(what: string, descriptor: Descriptor, actual: number): CodedError {
  return new CodedError(
    'data_loss',
    `${what} verification failed for digest ${descriptor.digest}: it should have ${descriptor.size} bytes and has ${actual}${actual > descriptor.size ? ' or more' : ''}`,
  );
}
