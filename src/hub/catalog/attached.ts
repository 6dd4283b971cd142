import type { Attached, AttachedBlob, AttachedKind, DocumentText } from '#hub/protocol/index.ts';
import { type Digest, hexOf, isDigest } from '#oci/digest/index.ts';
import type { DecodedManifest, Descriptor } from '#oci/manifest/index.ts';
import { mapOf, textOf } from './loose.ts';
import type { DocumentReader } from './reader.ts';

const REFERRER_LIMIT = 100;
const BLOB_LIMIT = 100;
/** Larger manifests are listed without their parts. */
const MANIFEST_LIMIT_BYTES = 512 * 1024;
/** Documents up to this are shown. */
const DOCUMENT_LIMIT_BYTES = 2 * 1024 * 1024;
/** Where BuildKit says which image of the index an attestation is about. */
const ABOUT = 'vnd.docker.reference.digest';
const PREDICATE = 'in-toto.io/predicate-type';
const TITLE = 'org.opencontainers.image.title';
const CREATED = 'org.opencontainers.image.created';
/** Tags under which cosign attaches to an image in registries without referrers. */
const COSIGN_TAGS = ['sig', 'att', 'sbom'];

/** What is attached to an image: where from, of which kind. Nothing of it is verified here. */
export class AttachedDocuments {
  readonly #reader: DocumentReader;

  constructor(reader: DocumentReader) {
    this.#reader = reader;
  }

  /** Everything that names the image, or the index it was reached through. */
  async list(repository: string, image: Digest, index: Digest | undefined): Promise<readonly Attached[]> {
    const ofImage = await this.#listReferrers(repository, image, 'image');
    const hasIndex = index !== undefined && index !== image;
    const ofIndex = hasIndex ? await this.#listReferrers(repository, index, 'index') : [];
    const beside = hasIndex ? await this.#listBeside(repository, image, index) : [];
    const byTag = await this.#listTagged(repository, image);
    return [...ofImage, ...beside, ...byTag, ...ofIndex];
  }

  /** A manifest or a small blob of the repository, as text. `undefined` if it is not there. */
  async read(repository: string, digest: Digest): Promise<DocumentText | undefined> {
    const manifest = await this.#reader.findManifest(repository, digest);
    if (manifest !== undefined)
      return { digest, sizeBytes: manifest.bytes.byteLength, ...showText(manifest.bytes) };
    const sizeBytes = await this.#reader.blobSize(repository, digest);
    if (sizeBytes === undefined) return undefined;
    const bytes = await this.#reader.readBlob(repository, digest, DOCUMENT_LIMIT_BYTES);
    if (bytes === undefined) return { digest, sizeBytes, text: null, payload: null };
    return { digest, sizeBytes, ...showText(bytes) };
  }

  async #listReferrers(
    repository: string,
    subject: Digest,
    of: Attached['subject'],
  ): Promise<readonly Attached[]> {
    const found = await this.#reader.listReferrers(repository, subject, REFERRER_LIMIT);
    const attached: Attached[] = [];
    for (const descriptor of found)
      attached.push(await this.#describe(repository, descriptor, { via: 'referrer', subject: of }));
    return attached;
  }

  async #listBeside(repository: string, image: Digest, index: Digest): Promise<readonly Attached[]> {
    const decoded = await this.#reader.findManifest(repository, index);
    if (decoded?.kind !== 'index') return [];
    const about = decoded.value.manifests.filter((entry) => entry.annotations?.[ABOUT] === image);
    const attached: Attached[] = [];
    for (const descriptor of about.slice(0, REFERRER_LIMIT))
      attached.push(await this.#describe(repository, descriptor, { via: 'index', subject: 'image' }));
    return attached;
  }

  async #listTagged(repository: string, image: Digest): Promise<readonly Attached[]> {
    const attached: Attached[] = [];
    for (const suffix of COSIGN_TAGS) {
      const tag = `${image.split(':')[0]}-${hexOf(image)}.${suffix}`;
      const decoded = await this.#reader.findManifest(repository, tag);
      if (decoded === undefined) continue;
      const descriptor = {
        mediaType: decoded.mediaType,
        digest: decoded.digest,
        size: decoded.bytes.byteLength,
      };
      const entry = await this.#describe(repository, descriptor, { via: 'tag', subject: 'image' });
      attached.push(suffix === 'sig' && entry.kind === 'other' ? { ...entry, kind: 'signature' } : entry);
    }
    return attached;
  }

  async #describe(
    repository: string,
    descriptor: Descriptor,
    how: Pick<Attached, 'via' | 'subject'>,
  ): Promise<Attached> {
    const isSmall = descriptor.size <= MANIFEST_LIMIT_BYTES;
    const decoded = isSmall ? await this.#reader.findManifest(repository, descriptor.digest) : undefined;
    const annotations = mapOf({ ...descriptor.annotations, ...decoded?.value.annotations });
    const artifactType = textOf(descriptor.artifactType) || typeOf(decoded);
    const blobs = blobsOf(decoded);
    const kinds = [kindOf(artifactType, ''), ...blobs.map((blob) => blob.kind)];
    return {
      digest: descriptor.digest,
      ...how,
      artifactType,
      // A signed document is what it says; that it is signed comes second.
      kind:
        kinds.find((kind) => kind !== 'other' && kind !== 'signature') ??
        (kinds.includes('signature') ? 'signature' : 'other'),
      sizeBytes: descriptor.size + blobs.reduce((sum, blob) => sum + blob.sizeBytes, 0),
      createdAt: annotations[CREATED] ?? null,
      annotations,
      blobs,
    };
  }
}

function typeOf(decoded: DecodedManifest | undefined): string {
  if (decoded === undefined) return '';
  const { artifactType } = decoded.value;
  if (artifactType !== undefined) return textOf(artifactType);
  return decoded.kind === 'manifest' ? decoded.value.config.mediaType : decoded.mediaType;
}

function blobsOf(decoded: DecodedManifest | undefined): readonly AttachedBlob[] {
  if (decoded?.kind !== 'manifest') return [];
  return decoded.value.layers.slice(0, BLOB_LIMIT).map(({ digest, mediaType, size, annotations }) => {
    const predicateType = textOf(annotations?.[PREDICATE] ?? annotations?.['predicateType']);
    const title = textOf(annotations?.[TITLE]);
    const kind = kindOf(`${mediaType} ${predicateType}`, title);
    return { digest, mediaType, sizeBytes: size, title, predicateType, kind };
  });
}

const KINDS: readonly (readonly [AttachedKind, RegExp])[] = [
  ['dockerfile', /dockerfile/i],
  ['sbom', /spdx|cyclonedx|syft|sbom/i],
  ['vulnerabilities', /sarif|vuln|\bvex\b|openvex/i],
  ['provenance', /provenance|slsa/i],
  ['signature', /cosign|notary|signature|sigstore|simplesigning|pkcs7/i],
];

/** What types and names say it is. */
function kindOf(types: string, title: string): AttachedKind {
  if (isDockerfileName(title)) return 'dockerfile';
  return KINDS.find(([, pattern]) => pattern.test(types))?.[0] ?? 'other';
}

/** Whether a file name is one a Dockerfile has. */
export function isDockerfileName(name: string): boolean {
  return /(?:^|\/)(?:Dockerfile(?:\..+)?|Containerfile|[^/]+\.Dockerfile)$/i.test(name);
}

function showText(bytes: Uint8Array): Pick<DocumentText, 'text' | 'payload'> {
  const text = decodeText(bytes);
  if (text === null || bytes.byteLength > DOCUMENT_LIMIT_BYTES) return { text: null, payload: null };
  const value = parseJson(text);
  return { text: value === undefined ? text : JSON.stringify(value, null, 2), payload: payloadOf(value) };
}

/** The statement in a DSSE envelope. */
function payloadOf(value: unknown): string | null {
  const payload = (value as { readonly payload?: unknown } | null | undefined)?.payload;
  if (typeof payload !== 'string') return null;
  const text = decodeText(Buffer.from(payload, 'base64'));
  if (text === null) return null;
  const inner = parseJson(text);
  return inner === undefined ? text : JSON.stringify(inner, null, 2);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function decodeText(bytes: Uint8Array): string | null {
  if (bytes.subarray(0, 8192).includes(0)) return null;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}

/** A digest in a query, or `undefined`. */
export function digestIn(text: string | null): Digest | undefined {
  return text !== null && isDigest(text) ? text : undefined;
}
