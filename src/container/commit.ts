import { randomBytes } from 'node:crypto';
import { lstatSync, readdirSync, rmdirSync, type Stats, unlinkSync } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { findXattr } from '#base/posix/index.ts';
import type { ContainerConfig, ImageConfig, ImageId } from '#oci/config/index.ts';
import { extendChain } from '#oci/digest/index.ts';
import { encodeDocument } from '#oci/manifest/index.ts';
import { formatFamiliar } from '#oci/reference/index.ts';
import { resolveInRoot } from '#runtime/spec/index.ts';
import type { LayerFacts } from '#store/changeset/types.ts';
import type { Image } from '#store/image/types.ts';
import type { ActiveSnapshot } from '#store/snapshot/types.ts';
import { type Context, publish, snapshotKey } from './context.ts';
import { changesetOf } from './copied-changes.ts';
import type { CommitRequest, ContainerRecord } from './types.ts';

/**
 * Makes an image of what a container changed. The changes are copied: the container goes on writing into its own.
 * @throws {CodedError} with Docker's texts.
 */
export async function commitContainer(
  context: Context,
  record: ContainerRecord,
  request: CommitRequest,
): Promise<ImageId> {
  const base = context.images.getImage(record.imageId);
  const config = await context.applyChanges(request.changes, imageDefaults(record, request));
  const layer = await copyLayer(context, record, base);
  const created = new Date().toISOString();
  const document: ImageConfig = {
    ...base.config,
    created,
    ...(request.author === '' ? {} : { author: request.author }),
    config,
    rootfs: {
      type: 'layers',
      diff_ids: [...base.config.rootfs.diff_ids, ...(layer === undefined ? [] : [layer.diffId])],
    },
    history: [
      ...(base.config.history ?? []),
      {
        created,
        created_by: [record.path, ...record.args].join(' '),
        ...(request.author === '' ? {} : { author: request.author }),
        ...(request.comment === '' ? {} : { comment: request.comment }),
        ...(layer === undefined ? { empty_layer: true } : {}),
      },
    ],
  };
  const image = await context.images.addImage({
    configBytes: encodeDocument(document),
    parentId: base.id,
    ...(request.reference === undefined ? {} : { tags: [request.reference] }),
  });
  const name = request.reference === undefined ? undefined : formatFamiliar(request.reference);
  if (name !== undefined) {
    const attributes = { ...config.Labels, name };
    context.events.publish({ type: 'image', action: 'tag', id: image.id, attributes });
  }
  publish(context, record, 'commit', {
    comment: request.comment,
    imageID: image.id,
    ...(name === undefined ? {} : { imageRef: name }),
  });
  return image.id;
}

function imageDefaults(record: ContainerRecord, request: CommitRequest): ContainerConfig {
  const { config } = record;
  const own = request.config;
  const source = own === undefined || Object.keys(own).length === 0 ? config : { ...config, ...own };
  const kept = [
    'User',
    'ExposedPorts',
    'Env',
    'Entrypoint',
    'Cmd',
    'Volumes',
    'WorkingDir',
    'Labels',
    'StopSignal',
    'Shell',
    'Healthcheck',
    'OnBuild',
  ] as const;
  return Object.fromEntries(
    kept.flatMap((key) => (source[key] === undefined || source[key] === null ? [] : [[key, source[key]]])),
  );
}

/** The container's changes as a layer of their own; `undefined` when there are none. */
async function copyLayer(
  context: Context,
  record: ContainerRecord,
  base: Image,
): Promise<LayerFacts | undefined> {
  const { snapshots, changesets, images, content } = context;
  const active = snapshots.getActive(snapshotKey(record.id));
  const key = `commit/${randomBytes(8).toString('hex')}`;
  const target = await snapshots.prepare(key, base.chainId);
  const indexPath = content.reserveFile();
  try {
    await changesets.unpackLayer({
      source: { stream: changesets.streamChangeset(changesetOf(snapshots, active)) },
      compression: 'none',
      targetDir: target.upperDir,
      whiteouts: snapshots.driver === 'overlay' ? 'overlay' : 'apply',
      lowerDirs: target.lowerDirs,
    });
    dropStubs(target.upperDir, record.stubs);
    dropUntouched(target, record.stubs);
    const facts = await changesets.describeChangeset(changesetOf(snapshots, target), { indexPath });
    if (facts.entries === 0) {
      await snapshots.remove(key);
      return undefined;
    }
    const chainId = extendChain(base.chainId, facts.diffId);
    const indexDigest = await content.hashFile(indexPath);
    await content.adoptFile(indexPath, { digest: indexDigest, sizeBytes: (await stat(indexPath)).size });
    await snapshots.commit(key, chainId, { sizeBytes: facts.contentSizeBytes });
    images.addLayer(
      {
        diffId: facts.diffId,
        tarSizeBytes: facts.tarSizeBytes,
        contentSizeBytes: facts.contentSizeBytes,
        indexDigest,
      },
      { chainId },
    );
    return facts;
  } catch (error) {
    await snapshots.remove(key).catch(() => {});
    throw error;
  } finally {
    await rm(indexPath, { force: true });
  }
}

/** Mount points that were made for the container are not part of the image. */
function dropStubs(root: string, stubs: readonly string[]): void {
  for (const stub of stubs.toReversed()) {
    const parent = resolveInRoot(root, dirname(stub));
    if (parent.stat === undefined || parent.inRoot !== dirname(stub)) continue;
    const path = join(parent.hostPath, basename(stub));
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found === undefined || (found.isFile() && found.size > 0)) continue;
    try {
      if (found.isDirectory()) rmdirSync(path);
      else unlinkSync(path);
    } catch {
      // It holds something by now.
    }
  }
}

/** A directory that is in the changes only because mount points were made in it has not changed. */
function dropUntouched({ upperDir, lowerDirs }: ActiveSnapshot, stubs: readonly string[]): void {
  const parents = [...new Set(stubs.map((stub) => dirname(stub)))].filter((dir) => dir !== '/');
  for (const dir of parents.sort((a, b) => b.length - a.length)) {
    const path = join(upperDir, dir);
    const own = directoryAt(upperDir, dir);
    if (own === undefined || readdirSync(path).length > 0) continue;
    const below = lowerDirs.map((lower) => directoryAt(lower, dir)).find((stat) => stat !== undefined);
    const isSame = below?.mode === own.mode && below.uid === own.uid && below.gid === own.gid;
    if (isSame && findXattr(path, 'trusted.overlay.opaque') === undefined) rmdirSync(path);
  }
}

/** What is at a path that no link leads elsewhere. */
function directoryAt(root: string, dir: string): Stats | undefined {
  try {
    const { inRoot, stat } = resolveInRoot(root, dir);
    return inRoot === dir && stat?.isDirectory() === true ? stat : undefined;
  } catch {
    return undefined;
  }
}
