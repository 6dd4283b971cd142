/**
 * OCI layouts in a tar.
 *
 *     oci-layout                    {"imageLayoutVersion": "1.0.0"}
 *     index.json                    descriptors of manifests and further indexes, names as annotations
 *     blobs/<algorithm>/<hex>
 *
 * Spec: image-spec v1.1, image-layout.md. Every document is checked against the digest and size that led to it.
 */
import { CONFIG_LIMIT_BYTES, decodeImageConfig } from '#oci/config/index.ts';
import { algorithmOf, digestOf, hexOf } from '#oci/digest/index.ts';
import {
  type Decoded,
  type Descriptor,
  decodeManifest,
  type Index,
  isIndexType,
  isManifestType,
  MANIFEST_LIMIT_BYTES,
  type Manifest,
  MEDIA,
} from '#oci/manifest/index.ts';
import { hostPlatform, type Platform, rankPlatform } from '#oci/platform/index.ts';
import { formatCanonical, parseReference, type Reference, withDefaultTag } from '#oci/reference/index.ts';
import { type FileMember, invalidArchive, type Members } from './members.ts';
import { joinLayers, type PlannedImage } from './plan.ts';

const DEPTH_LIMIT = 64;
const DOCUMENT_LIMIT = 1024;

/** A descriptor still to be followed, with the name its ancestors gave it. */
interface Step {
  readonly descriptor: Descriptor;
  readonly reference: Reference | undefined;
  readonly depth: number;
}

/** Follows `index.json` to every image; of an index with several platforms the best for `platform` is taken. */
export async function planOciArchive(
  members: Members,
  platform: Platform = hostPlatform(),
): Promise<readonly PlannedImage[]> {
  const top = decodeManifest(await members.read('index.json', MANIFEST_LIMIT_BYTES), MEDIA.ociIndex);
  if (top.kind !== 'index') throw invalidArchive('"index.json" is not an index');
  const planned = new Map<string, PlannedImage>();
  const pending: Step[] = stepsOf(top.value, undefined, 1);
  const followed = new Set<string>();
  for (let read = 0; ; ) {
    const step = pending.shift();
    if (step === undefined) break;
    // Many ways may lead to one document; under one name it says the same again.
    const name = step.reference === undefined ? '' : formatCanonical(step.reference);
    if (followed.has(`${step.descriptor.digest} ${name}`)) continue;
    followed.add(`${step.descriptor.digest} ${name}`);
    if (read++ === DOCUMENT_LIMIT) throw invalidArchive(`it has more than ${DOCUMENT_LIMIT} manifests`);
    if (step.depth > DEPTH_LIMIT)
      throw invalidArchive(`its indexes are nested more than ${DEPTH_LIMIT} deep`);
    const { mediaType } = step.descriptor;
    if (!isIndexType(mediaType) && !isManifestType(mediaType)) continue;
    const document = decodeManifest(
      await readBlob(members, step.descriptor, MANIFEST_LIMIT_BYTES),
      mediaType,
    );
    if (document.kind === 'index') {
      pending.unshift(...choosePlatform(stepsOf(document.value, step.reference, step.depth + 1), platform));
      continue;
    }
    const image = await planManifest(members, document);
    if (image !== undefined) addImage(planned, document.digest, image, step.reference);
  }
  return [...planned.values()];
}

function addImage(
  planned: Map<string, PlannedImage>,
  digest: string,
  image: PlannedImage,
  reference: Reference | undefined,
): void {
  const before = planned.get(digest)?.references ?? [];
  const isKnown =
    reference === undefined || before.some((each) => formatCanonical(each) === formatCanonical(reference));
  planned.set(digest, { ...image, references: isKnown ? before : [...before, reference] });
}

function stepsOf({ manifests }: Index, inherited: Reference | undefined, depth: number): Step[] {
  return manifests.map((descriptor) => ({ descriptor, reference: nameOf(descriptor) ?? inherited, depth }));
}

/** containerd's full name, else a `ref.name` that is more than a tag. */
function nameOf({ annotations }: Descriptor): Reference | undefined {
  const full = annotations?.['io.containerd.image.name'];
  const short = annotations?.['org.opencontainers.image.ref.name'];
  const text = full ?? (short !== undefined && /[:/]/.test(short) ? short : undefined);
  if (text === undefined) return undefined;
  const { digest: _, ...reference } = withDefaultTag(parseReference(text));
  return reference.tag === undefined ? undefined : reference;
}

/** Further indexes are followed; of the manifests the best match is taken, or all that say nothing of a platform. */
function choosePlatform(steps: readonly Step[], wanted: Platform): readonly Step[] {
  const unplaced = steps.filter(({ descriptor }) => descriptor.platform === undefined);
  let best: Step | undefined;
  let bestRank = Number.POSITIVE_INFINITY;
  for (const step of steps) {
    const { platform } = step.descriptor;
    const rank = platform === undefined ? undefined : rankPlatform(platform, wanted);
    if (rank !== undefined && rank < bestRank) [best, bestRank] = [step, rank];
  }
  return best === undefined
    ? unplaced
    : [best, ...unplaced.filter(({ descriptor }) => isIndexType(descriptor.mediaType))];
}

/** `undefined` for an artifact that is no image (a signature, an attestation). */
async function planManifest(
  members: Members,
  document: Decoded<Manifest>,
): Promise<PlannedImage | undefined> {
  const { config: configDescriptor, layers } = document.value;
  const isImage =
    configDescriptor.mediaType === MEDIA.ociConfig || configDescriptor.mediaType === MEDIA.dockerConfig;
  const isAttestation = layers.some(({ mediaType }) => mediaType === 'application/vnd.in-toto+json');
  if (!isImage || isAttestation || document.value.artifactType !== undefined) return undefined;
  const { value: config, bytes } = decodeImageConfig(
    await readBlob(members, configDescriptor, CONFIG_LIMIT_BYTES),
  );
  const files = layers.map((layer) => findBlob(members, layer));
  return {
    config,
    configBytes: bytes,
    layers: joinLayers(
      config,
      files,
      layers.map(({ digest, mediaType }) => ({ digest, mediaType })),
    ),
    references: [],
    manifest: { bytes: document.bytes, digest: document.digest, mediaType: document.mediaType },
  };
}

function findBlob(members: Members, { digest, size }: Descriptor): FileMember {
  const path = `blobs/${algorithmOf(digest)}/${hexOf(digest)}`;
  const member = members.get(path);
  if (member.sizeBytes !== size) {
    throw invalidArchive(`"${path}" has ${member.sizeBytes} bytes, ${size} were announced`);
  }
  return member;
}

async function readBlob(members: Members, descriptor: Descriptor, limitBytes: number): Promise<Uint8Array> {
  findBlob(members, descriptor);
  const { digest } = descriptor;
  const bytes = await members.read(`blobs/${algorithmOf(digest)}/${hexOf(digest)}`, limitBytes);
  const actual = digestOf(bytes, algorithmOf(digest));
  if (actual !== digest) throw invalidArchive(`blob ${digest} is ${actual}`);
  return bytes;
}
