import { randomUUID } from 'node:crypto';
import { rm, stat } from 'node:fs/promises';
import { countBytes } from '#base/bytes/index.ts';
import type { ByteStream } from '#base/bytes/types.ts';
import type { ErrorHelp } from '#base/errors/index.ts';
import type { ImageId } from '#oci/config/index.ts';
import { extendChain } from '#oci/digest/index.ts';
import { encodeDocument } from '#oci/manifest/index.ts';
import { hostPlatform, normalizePlatform } from '#oci/platform/index.ts';
import type { Changesets, LayerFacts } from '#store/changeset/types.ts';
import type { ContentStore } from '#store/content/types.ts';
import type { ImageStore } from '#store/image/types.ts';
import type { Lease, LeaseStore } from '#store/lease/types.ts';
import type { SnapshotStore } from '#store/snapshot/types.ts';
import { explainArchive } from './members.ts';
import type { ImportOptions } from './types.ts';

/** What importing writes to. */
export interface ImportTargets {
  readonly changesets: Changesets;
  readonly content: ContentStore;
  readonly images: ImageStore;
  readonly leases: LeaseStore;
  readonly snapshots: SnapshotStore;
}

/**
 * As `Archives.importImage`. The layer is our own tar of the tree, not the bytes that came: it can be made again at any
 * time, so that no copy of it has to stay.
 */
export async function importImage(
  targets: ImportTargets,
  rootfs: ByteStream,
  options: ImportOptions,
): Promise<ImageId> {
  await using lease = targets.leases.createLease({ label: 'import' });
  const { diffId } = await importLayer(targets, rootfs, lease, options);
  const platform = normalizePlatform(options.platform ?? hostPlatform());
  const created = new Date().toISOString();
  const config = {
    created,
    architecture: platform.architecture,
    os: platform.os,
    ...(platform.variant === undefined ? {} : { variant: platform.variant }),
    config: options.config,
    rootfs: { type: 'layers', diff_ids: [diffId] },
    history: [{ created, comment: options.comment }],
  };
  const tags = options.reference === undefined ? [] : [options.reference];
  const image = await targets.images.addImage({ configBytes: encodeDocument(config), tags });
  return image.id;
}

const ROOTFS_HELP: ErrorHelp = {
  id: 'import/invalid',
  cause: 'the input is no tar of a root file system, or it is damaged',
  fix: ['tar -C FOLDER -c . | slipway import - NAME', 'for what docker save wrote: slipway load -i FILE'],
};

async function importLayer(
  { changesets, content, images, snapshots }: ImportTargets,
  rootfs: ByteStream,
  lease: Lease,
  { onProgress, signal }: ImportOptions,
): Promise<LayerFacts> {
  const key = `import-${randomUUID()}`;
  const abortable = signal === undefined ? {} : { signal };
  const active = await snapshots.prepare(key, undefined);
  const indexPath = content.reserveFile();
  const stream = countBytes(rootfs, (current) => onProgress?.({ status: 'Importing', current }));
  try {
    await changesets.unpackLayer({
      source: { stream },
      compression: 'auto',
      targetDir: active.upperDir,
      whiteouts: 'literal',
      ...abortable,
    });
    const kind = snapshots.driver === 'overlay' ? 'overlay' : 'plain';
    const facts = await changesets.describeChangeset(
      { dir: active.upperDir, kind },
      { indexPath, ...abortable },
    );
    const [indexDigest, { size }] = await Promise.all([
      content.hashFile(facts.indexPath),
      stat(facts.indexPath),
    ]);
    await content.adoptFile(facts.indexPath, { digest: indexDigest, sizeBytes: size }, { durable: false });
    const chainId = extendChain(undefined, facts.diffId);
    lease.add({ kind: 'snapshot', key: chainId });
    await snapshots.commit(key, chainId, { sizeBytes: facts.contentSizeBytes, durable: false });
    images.addLayer({ ...facts, indexDigest }, { chainId });
    return facts;
  } catch (error) {
    await snapshots.remove(key);
    await rm(indexPath, { force: true });
    throw explainArchive(error, ROOTFS_HELP);
  }
}
