/**
 * Descriptors, manifests and indexes of OCI and of Docker schema 2. Bytes are kept as received: a decoded document
 * carries the bytes its digest covers, and is never encoded again.
 *
 * Spec: image-spec v1.1, descriptor.md, manifest.md, image-index.md.
 */
import { CodedError, messageOf } from '#base/errors/index.ts';
import { type Digest, digestOf, isDigest } from '#oci/digest/index.ts';
import type { Platform } from '#oci/platform/index.ts';

/** Media types we read or write. */
export const MEDIA = {
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar',
  ociLayerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  ociLayerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  ociEmpty: 'application/vnd.oci.empty.v1+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerIndex: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayer: 'application/vnd.docker.image.rootfs.diff.tar',
  dockerLayerGzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  dockerLayerZstd: 'application/vnd.docker.image.rootfs.diff.tar.zstd',
} as const;

/** Largest manifest or index we accept, in bytes. */
export const MANIFEST_LIMIT_BYTES = 4 * 1024 * 1024;

/** Points at bytes. Field names are the specification's. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly urls?: readonly string[];
  readonly platform?: Platform;
  readonly artifactType?: string;
  readonly data?: string;
}

/** An image or artifact manifest. */
export interface Manifest {
  readonly schemaVersion: 2;
  readonly mediaType?: string;
  readonly artifactType?: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly subject?: Descriptor;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** A list of manifests. */
export interface Index {
  readonly schemaVersion: 2;
  readonly mediaType?: string;
  readonly artifactType?: string;
  readonly manifests: readonly Descriptor[];
  readonly subject?: Descriptor;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** A document together with the exact bytes its digest covers. */
export interface Decoded<T> {
  readonly bytes: Uint8Array;
  readonly digest: Digest;
  readonly mediaType: string;
  readonly value: T;
}

/** A decoded manifest or index, told apart by `kind`. */
export type DecodedManifest =
  | ({ readonly kind: 'manifest' } & Decoded<Manifest>)
  | ({ readonly kind: 'index' } & Decoded<Index>);

/** Whether a media type names a list of manifests. */
export function isIndexType(mediaType: string): boolean {
  return mediaType === MEDIA.ociIndex || mediaType === MEDIA.dockerIndex;
}

/** Whether a media type names a manifest. */
export function isManifestType(mediaType: string): boolean {
  return mediaType === MEDIA.ociManifest || mediaType === MEDIA.dockerManifest;
}

/** How the bytes of a layer media type are compressed; `undefined` for a type that is no layer. */
export function compressionOf(mediaType: string): 'none' | 'gzip' | 'zstd' | undefined {
  if (/\.tar[.+]gzip$/.test(mediaType)) return 'gzip';
  if (/\.tar[.+]zstd$/.test(mediaType)) return 'zstd';
  if (/\.tar$/.test(mediaType)) return 'none';
  return undefined;
}

/**
 * Reads a manifest or index. `mediaType` is the Content-Type it came with; a `mediaType` inside must agree with it,
 * duplicate or case-twin keys are refused, and a document that could be both kinds is refused (CVE-2021-41190).
 * @throws {CodedError} `invalid_argument`, `resource_exhausted` beyond the size limit.
 */
export function decodeManifest(bytes: Uint8Array, mediaType: string | undefined): DecodedManifest {
  if (bytes.byteLength > MANIFEST_LIMIT_BYTES) {
    throw new CodedError('resource_exhausted', `manifest is larger than ${MANIFEST_LIMIT_BYTES} bytes`);
  }
  const value = parseDocument(bytes);
  const declared = typeof value['mediaType'] === 'string' ? value['mediaType'] : undefined;
  const outer = mediaType?.split(';')[0]?.trim().toLowerCase();
  if (declared !== undefined && outer && outer !== 'application/json' && declared !== outer) {
    throw invalidManifest(`mediaType "${declared}" differs from Content-Type "${outer}"`);
  }
  const type = declared ?? outer ?? '';
  const hasManifests = 'manifests' in value;
  if (hasManifests && ('layers' in value || 'config' in value))
    throw invalidManifest('it is both a manifest and an index');
  if (value['schemaVersion'] !== 2)
    throw invalidManifest(`unsupported schemaVersion ${JSON.stringify(value['schemaVersion'])}`);
  const isIndex = isIndexType(type) || (!isManifestType(type) && hasManifests);
  const digest = digestOf(bytes);
  if ('subject' in value) checkDescriptor(value['subject'], 'subject');
  if (isIndex) {
    if (!Array.isArray(value['manifests'])) throw invalidManifest('index has no manifests');
    for (const [i, entry] of value['manifests'].entries()) checkDescriptor(entry, `manifests[${i}]`);
    return {
      kind: 'index',
      bytes,
      digest,
      mediaType: type || MEDIA.ociIndex,
      value: value as unknown as Index,
    };
  }
  checkDescriptor(value['config'], 'config');
  if (!Array.isArray(value['layers'])) throw invalidManifest('it has no layers');
  for (const [i, entry] of value['layers'].entries()) checkDescriptor(entry, `layers[${i}]`);
  return {
    kind: 'manifest',
    bytes,
    digest,
    mediaType: type || MEDIA.ociManifest,
    value: value as unknown as Manifest,
  };
}

/** Encodes a document we made ourselves; the same value gives the same bytes. */
export function encodeDocument(value: object): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

function parseDocument(bytes: Uint8Array): Record<string, unknown> {
  let text: string;
  let value: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    value = JSON.parse(text);
  } catch (error) {
    throw invalidManifest(messageOf(error));
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalidManifest('it is not a JSON object');
  refuseAmbiguousKeys(text);
  return value as Record<string, unknown>;
}

const KNOWN_KEYS = [
  'schemaversion',
  'mediatype',
  'artifacttype',
  'config',
  'layers',
  'manifests',
  'subject',
  'annotations',
];

/** Two readers may take a duplicate or differently cased key for different documents: refuse such a document. */
function refuseAmbiguousKeys(text: string): void {
  const seen = new Set<string>();
  for (const key of topLevelKeys(text)) {
    const folded = key.toLowerCase();
    if (seen.has(folded)) throw invalidManifest(`key "${key}" appears twice`);
    if (
      KNOWN_KEYS.includes(folded) &&
      key !== folded &&
      !/^(schemaVersion|mediaType|artifactType)$/.test(key)
    ) {
      throw invalidManifest(`key "${key}" is a case variant of a known key`);
    }
    seen.add(folded);
  }
}

function* topLevelKeys(text: string): Generator<string> {
  let depth = 0;
  let i = 0;
  while (i < text.length) {
    const char = text[i];
    if (char === '"') {
      const start = i++;
      while (i < text.length && text[i] !== '"') i += text[i] === '\\' ? 2 : 1;
      i++;
      let after = i;
      while (/\s/.test(text[after] ?? '')) after++;
      if (depth === 1 && text[after] === ':') yield JSON.parse(text.slice(start, i)) as string;
      continue;
    }
    if (char === '{' || char === '[') depth++;
    if (char === '}' || char === ']') depth--;
    i++;
  }
}

function checkDescriptor(value: unknown, where: string): void {
  if (typeof value !== 'object' || value === null) throw invalidManifest(`${where} is not a descriptor`);
  const { mediaType, digest, size } = value as Record<string, unknown>;
  if (typeof digest !== 'string' || !isDigest(digest))
    throw invalidManifest(`${where}.digest is not a digest`);
  if (typeof mediaType !== 'string') throw invalidManifest(`${where}.mediaType is missing`);
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
    throw invalidManifest(`${where}.size is not a size`);
}

function invalidManifest(detail: string): CodedError {
  return new CodedError('invalid_argument', `cannot read manifest: ${detail}`, {
    subject: { kind: 'manifest', name: '' },
  });
}
