/** end-3, end-7, end-9: manifests and tags. */
import { CodedError } from '#base/errors/index.ts';
import { algorithmOf, type Digest, digestOf, isDigest } from '#oci/digest/index.ts';
import {
  type DecodedManifest,
  type Descriptor,
  decodeManifest,
  MANIFEST_LIMIT_BYTES,
} from '#oci/manifest/index.ts';
import { HEADER } from '#registry/protocol/index.ts';
import { type Call, checkDigest, checkTag, withCommon } from '../call.ts';
import type { ManifestReference, NewManifest, RegistryMetadata } from '../types.ts';

/** What the manifest routes use. */
export interface ManifestRoutes {
  readonly metadata: RegistryMetadata;
  /** Whether an image may name layers that are not here. Indexes may always name manifests that are not. */
  readonly allowMissingLayers: boolean;
}

/** Tags one PUT may set; the draft asks for ten at least. */
const TAG_LIMIT = 100;

/** GET and HEAD of a manifest by tag or digest. */
export async function pullManifest(
  call: Call,
  repository: string,
  reference: string,
  { metadata }: ManifestRoutes,
): Promise<void> {
  await call.require(repository, 'pull');
  checkReference(reference);
  const manifest = await metadata.findManifest(repository, reference);
  if (manifest === undefined) throw unknownManifest(repository, reference);
  const { response, request } = call;
  const headers = {
    'Content-Type': manifest.mediaType,
    'Content-Length': manifest.bytes.byteLength,
    ETag: `"${manifest.digest}"`,
    [HEADER.contentDigest]: manifest.digest,
  };
  if (request.headers['if-none-match'] === headers.ETag) {
    const { 'Content-Length': _, ...rest } = headers;
    response.writeHead(304, withCommon(rest)).end();
    return;
  }
  response.writeHead(200, withCommon(headers));
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  response.end(manifest.bytes);
  const { digest } = manifest;
  call.emit({ kind: 'pull', repository, reference, digest, subject: call.subject, at: new Date() });
}

/** PUT of a manifest under a tag or digest, and under every `?tag=`. */
export async function putManifest(
  call: Call,
  repository: string,
  reference: string,
  routes: ManifestRoutes,
): Promise<void> {
  await call.require(repository, 'push');
  checkReference(reference);
  const asked = call.query.getAll('tag').map(checkTag);
  if (asked.length > TAG_LIMIT) {
    throw new CodedError('invalid_argument', `more than ${TAG_LIMIT} tags in one request`, {
      subject: { kind: 'tag', name: String(asked.length) },
    });
  }
  const bytes = await readManifest(call);
  const decoded = decodeManifest(bytes, call.request.headers['content-type']);
  const digest = isDigest(reference) ? checkBytes(bytes, reference) : decoded.digest;
  const tags = [...new Set(isDigest(reference) ? asked : [reference, ...asked])];
  const manifest: NewManifest = {
    ...describe(decoded, routes.allowMissingLayers),
    repository,
    digest,
    mediaType: decoded.mediaType,
    bytes,
    tags,
    pushedBy: call.subject,
    fixedTags: await call.findFixedTags(repository, tags),
  };
  await routes.metadata.putManifest(manifest);
  call.emit({
    kind: 'push',
    repository,
    tags,
    digest,
    mediaType: manifest.mediaType,
    manifestSizeBytes: bytes.byteLength,
    contentSizeBytes: manifest.contentSizeBytes,
    subject: call.subject,
    at: new Date(),
  });
  call.send(201, {
    Location: `/v2/${repository}/manifests/${digest}`,
    [HEADER.contentDigest]: digest,
    ...(manifest.subject === undefined ? {} : { [HEADER.subject]: manifest.subject }),
    ...(asked.length === 0 ? {} : { [HEADER.tag]: asked }),
  });
}

/** DELETE by digest (with its tags) or of one tag. */
export async function deleteManifest(
  call: Call,
  repository: string,
  reference: string,
  { metadata }: ManifestRoutes,
): Promise<void> {
  await call.require(repository, 'delete');
  checkReference(reference);
  const isDeleted = isDigest(reference)
    ? await metadata.deleteManifest(repository, reference)
    : await metadata.deleteTag(repository, reference);
  if (!isDeleted) throw unknownManifest(repository, reference);
  const what = isDigest(reference) ? { digest: reference } : { tag: reference };
  call.emit({ kind: 'delete', repository, ...what, subject: call.subject, at: new Date() });
  call.send(202, {});
}

function checkReference(reference: string): void {
  if (reference.includes(':')) checkDigest(reference);
  else checkTag(reference);
}

/** The body, never more of it than the limit. */
async function readManifest(call: Call): Promise<Uint8Array> {
  const { request } = call;
  if (Number(request.headers['content-length'] ?? 0) > MANIFEST_LIMIT_BYTES) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    size += (chunk as Uint8Array).byteLength;
    if (size > MANIFEST_LIMIT_BYTES) throw tooLarge();
    chunks.push(chunk as Uint8Array);
  }
  return Buffer.concat(chunks);
}

function tooLarge(): CodedError {
  return new CodedError('resource_exhausted', `manifest is larger than ${MANIFEST_LIMIT_BYTES} bytes`, {
    subject: { kind: 'manifest', name: '' },
  });
}

function checkBytes(bytes: Uint8Array, expected: Digest): Digest {
  const actual = digestOf(bytes, algorithmOf(expected));
  if (actual === expected) return actual;
  throw new CodedError('invalid_argument', `manifest has digest ${actual}, not ${expected}`, {
    subject: { kind: 'digest', name: expected },
  });
}

type Described = Pick<
  NewManifest,
  'artifactType' | 'subject' | 'annotations' | 'references' | 'contentSizeBytes'
>;

/** Everything that is kept beside the bytes. */
function describe(decoded: DecodedManifest, allowMissingLayers: boolean): Described {
  const { value } = decoded;
  const base = { subject: value.subject?.digest, annotations: checkAnnotations(value.annotations) };
  if (decoded.kind === 'index') {
    return {
      ...base,
      artifactType: textOf(decoded.value.artifactType),
      references: decoded.value.manifests.map((entry) => referenceTo('manifest', entry, false)),
      contentSizeBytes: 0,
    };
  }
  const { config, layers } = decoded.value;
  const parts = [config, ...layers];
  return {
    ...base,
    artifactType: textOf(decoded.value.artifactType) ?? config.mediaType,
    references: parts.map((part) => referenceTo('blob', part, !allowMissingLayers && !isForeign(part))),
    contentSizeBytes: parts.reduce((sum, part) => sum + part.size, 0),
  };
}

function referenceTo(
  kind: 'blob' | 'manifest',
  { digest, size }: Descriptor,
  isRequired: boolean,
): ManifestReference {
  return { kind, digest, sizeBytes: size, isRequired };
}

/** Layers that are fetched from elsewhere, and that clients do not push. */
function isForeign(descriptor: Descriptor): boolean {
  return (
    (descriptor.urls?.length ?? 0) > 0 ||
    descriptor.mediaType.includes('.nondistributable.') ||
    descriptor.mediaType.includes('.foreign.')
  );
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function checkAnnotations(value: unknown): Readonly<Record<string, string>> | undefined {
  if (value === undefined || value === null) return undefined;
  const isMap = typeof value === 'object' && !Array.isArray(value);
  if (isMap && Object.values(value).every((text) => typeof text === 'string'))
    return value as Record<string, string>;
  throw new CodedError('invalid_argument', 'cannot read manifest: annotations are not a map of texts', {
    subject: { kind: 'manifest', name: '' },
  });
}

function unknownManifest(repository: string, reference: string): CodedError {
  return new CodedError('not_found', 'manifest unknown', {
    subject: { kind: 'manifest', name: reference },
    data: {
      detail: isDigest(reference)
        ? { name: repository, digest: reference }
        : { name: repository, tag: reference },
    },
  });
}
