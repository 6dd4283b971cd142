import { CodedError } from '#base/errors/index.ts';
import type { ImageConfig } from '#oci/config/index.ts';
import { type ChainId, type Digest, extendChain, shortIdOf } from '#oci/digest/index.ts';
import type { Decoded, Manifest } from '#oci/manifest/index.ts';
import { formatPlatform, type Platform, rankPlatform } from '#oci/platform/index.ts';
import { formatCanonical, formatFamiliar, type Reference, withDefaultTag } from '#oci/reference/index.ts';
import type { RepositoryClient } from '#registry/client/types.ts';
import type { Image } from '#store/image/types.ts';
import type { Lease } from '#store/lease/types.ts';
import { getConfig, type ResolvedManifest, resolveManifest } from './document.ts';
import { pullFailure } from './failure.ts';
import { downloadLayer, type PulledLayer, unpackLayer } from './layer.ts';
import type { Report } from './progress.ts';
import type { TransferContext } from './shared.ts';
import type { TransferOptions } from './types.ts';

/** What a failed pull has brought is kept this long for the next one. */
const LEASE_TTL_MS = 24 * 60 * 60_000;

/** What a pull gives. */
export interface PullResult {
  readonly image: Image;
  readonly digest: Digest;
  readonly changed: boolean;
}

/** Pulls one image. Its name is taken last, so a pull that fails leaves nothing to be seen. */
export async function pullImage(
  context: TransferContext,
  reference: Reference,
  options: TransferOptions & { readonly platform?: Platform },
): Promise<PullResult> {
  const named = withDefaultTag(reference);
  let repository: RepositoryClient | undefined;
  const lease = context.leases.createLease({ ttlMs: LEASE_TTL_MS, label: `pull ${formatFamiliar(named)}` });
  let result: PullResult;
  try {
    repository = await openForPull(context, named, options);
    result = await pull(context, repository, named, lease, options);
  } catch (error) {
    options.signal?.throwIfAborted();
    throw await pullFailure(error, named, repository);
  }
  await lease[Symbol.asyncDispose]();
  return result;
}

/** Opens the repository of a reference for reading. */
export function openForPull(
  context: TransferContext,
  reference: Reference,
  options: TransferOptions,
): Promise<RepositoryClient> {
  return context.client.openRepository(reference, {
    credentials: options.credentials,
    access: 'pull',
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
}

async function pull(
  context: TransferContext,
  repository: RepositoryClient,
  named: Reference,
  lease: Lease,
  options: TransferOptions & { readonly platform?: Platform },
): Promise<PullResult> {
  const report: Report = options.onProgress ?? (() => undefined);
  const store = { content: context.content, lease };
  const platform = options.platform ?? context.platform;
  const resolved = await resolveManifest(repository, named, platform, store, options.signal);
  report({ id: named.digest ?? named.tag ?? '', status: `Pulling from ${named.repository}` });
  const config = await getConfig(repository, resolved.manifest.value, store, options.signal);
  if (options.platform !== undefined && !resolved.fromIndex) checkPlatform(config, options.platform, named);
  const layers = layersOf(resolved.manifest.value, config.value);
  await pullLayers(context, repository, layers, lease, report, options.signal);
  options.signal?.throwIfAborted();
  const { image, changed } = await nameImage(context, named, resolved, config, layers);
  const status = changed ? 'Downloaded newer image for' : 'Image is up to date for';
  report({ status: `Digest: ${resolved.topDigest}` });
  report({ status: `Status: ${status} ${formatFamiliar(named)}` });
  return { image, digest: resolved.topDigest, changed };
}

function checkPlatform(config: Decoded<ImageConfig>, wanted: Platform, named: Reference): void {
  const { os, architecture, variant } = config.value;
  const actual: Platform = { os, architecture, ...(variant ? { variant } : {}) };
  if (rankPlatform(actual, wanted) !== undefined) return;
  const name = formatFamiliar(named);
  throw new CodedError(
    'not_found',
    `image with reference ${name} was found but does not match the specified platform: wanted ${formatPlatform(wanted)}, actual: ${formatPlatform(actual)}`,
    {
      subject: { kind: 'image', name },
      help: {
        id: 'pull/no-platform',
        cause: `${name} is offered for ${formatPlatform(actual)} only`,
        fix: [`slipway pull --platform ${formatPlatform(actual)} ${name}`],
      },
    },
  );
}

function layersOf(manifest: Manifest, config: ImageConfig): PulledLayer[] {
  let parent: ChainId | undefined;
  return manifest.layers.flatMap((descriptor, i) => {
    const diffId = config.rootfs.diff_ids[i];
    if (diffId === undefined) return [];
    const layer = { descriptor, diffId, chainId: extendChain(parent, diffId), parent };
    parent = layer.chainId;
    return [layer];
  });
}

/** Downloads side by side, unpacks in order as soon as a layer and everything below it are here. */
async function pullLayers(
  context: TransferContext,
  repository: RepositoryClient,
  layers: readonly PulledLayer[],
  lease: Lease,
  report: Report,
  outer: AbortSignal | undefined,
): Promise<void> {
  const stop = new AbortController();
  const signal = outer === undefined ? stop.signal : AbortSignal.any([outer, stop.signal]);
  const missing = layers.filter((layer) => {
    lease.add({ kind: 'blob', key: layer.descriptor.digest });
    lease.add({ kind: 'snapshot', key: layer.chainId });
    lease.add({ kind: 'layer', key: layer.diffId });
    const held =
      context.snapshots.isWhole(layer.chainId) && context.images.findLayer(layer.diffId) !== undefined;
    report({ id: shortIdOf(layer.descriptor.digest), status: held ? 'Already exists' : 'Pulling fs layer' });
    return !held;
  });
  let below: Promise<void> = Promise.resolve();
  const work = layers
    .filter((layer) => !missing.includes(layer) && context.content.isDamaged(layer.descriptor.digest))
    .map((layer) => downloadLayer(context, repository, layer, report, signal));
  for (const layer of missing) {
    const downloaded = fetchLayer(context, repository, layer, report, signal);
    const under = below;
    below = downloaded
      .then(() => under)
      .then(() => unpackOrRepair(context, repository, layer, report, signal))
      .then(() => report({ id: shortIdOf(layer.descriptor.digest), status: 'Pull complete' }));
    work.push(downloaded, below);
  }
  const failed = work.map((one) =>
    one.catch((error: unknown) => {
      stop.abort(error);
      throw error;
    }),
  );
  // All of it must have ended before the caller goes on: nothing is unpacked behind its back.
  const results = await Promise.allSettled(failed);
  outer?.throwIfAborted();
  if (results.some(({ status }) => status === 'rejected')) throw stop.signal.reason;
}

/** A blob that was here may be damaged: then it is downloaded anew, once. */
async function unpackOrRepair(
  context: TransferContext,
  repository: RepositoryClient,
  layer: PulledLayer,
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  const { digest } = layer.descriptor;
  try {
    await unpackLayer(context, layer, report, signal);
  } catch (error) {
    signal.throwIfAborted();
    const isHeld = context.content.findBlob(digest) !== undefined || context.content.isDamaged(digest);
    const isBlobAtFault = isHeld && !(await context.content.checkBlob(digest).catch(() => false));
    if (!isBlobAtFault) throw error;
    await downloadLayer(context, repository, layer, report, signal);
    await unpackLayer(context, layer, report, signal);
  }
}

async function fetchLayer(
  context: TransferContext,
  repository: RepositoryClient,
  layer: PulledLayer,
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  const isHeld = context.images.findLayer(layer.diffId) !== undefined;
  if (!isHeld) await downloadLayer(context, repository, layer, report, signal);
  context.images.addBlobSource(layer.descriptor.digest, {
    registry: repository.registry,
    repository: repository.repository,
  });
}

async function nameImage(
  context: TransferContext,
  named: Reference,
  resolved: ResolvedManifest,
  config: Decoded<ImageConfig>,
  layers: readonly PulledLayer[],
): Promise<{ image: Image; changed: boolean }> {
  const { images } = context;
  const before = images.findImage(formatCanonical(named));
  for (const { diffId, descriptor } of layers) images.addLayerBlob(diffId, descriptor);
  const { registry, repository } = named;
  const added = await images.addImage({
    configBytes: config.bytes,
    manifest: resolved.descriptor,
    repoDigests: [{ registry, repository, digest: resolved.topDigest }],
    ...(named.tag !== undefined && named.digest === undefined ? { tags: [named] } : {}),
  });
  return { image: added, changed: before?.id !== added.id };
}
