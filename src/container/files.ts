/** Files of a container from outside: `export`, and `cp` both ways. */
import { closeSync, constants } from 'node:fs';
import { CodedError, isSystemError } from '#base/errors/index.ts';
import { O_PATH, openInRoot } from '#base/posix/index.ts';
import { resolveUser } from '#runtime/spec/index.ts';
import { type Context, publish } from './context.ts';
import {
  baseName,
  followLinks,
  mountedRoot,
  openPath,
  openRoot,
  packTree,
  readAccountFile,
  statOpenPath,
  withRoot,
} from './rooted-tree.ts';
import type { ContainerRecord, MountPoint, PathStat, WriteArchiveOptions } from './types.ts';

/** The container's root file system as a tar. */
export async function* exportTar(
  context: Context,
  record: ContainerRecord,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  publish(context, record, 'export');
  const mounted = mountedRoot(context, record);
  if (mounted !== undefined) {
    yield* context.changesets.streamChangeset({ dir: mounted, kind: 'plain' }, { signal });
    return;
  }
  const root = await openRoot(context, record, { volumes: false });
  try {
    yield* context.changesets.streamChangeset({ dir: pathOfFd(root.fd), kind: 'plain' }, { signal });
  } finally {
    await root.close();
  }
}

/** @see ContainerService.statPath */
export function statPath(context: Context, called: string, path: string): Promise<PathStat> {
  const record = context.records.get(called);
  return withRoot(context, record, async (root) => {
    const fd = openPath(root, path, called);
    try {
      return statOpenPath(root, fd, path);
    } finally {
      closeSync(fd);
    }
  });
}

/** @see ContainerService.readArchive */
export async function readArchive(
  context: Context,
  called: string,
  path: string,
  signal: AbortSignal,
): Promise<{ readonly stat: PathStat; readonly tar: AsyncIterable<Uint8Array> }> {
  const record = context.records.get(called);
  const root = await openRoot(context, record, { volumes: true });
  try {
    const fd = openPath(root.fd, path, called);
    const close = async (): Promise<void> => {
      closeSync(fd);
      await root.close();
    };
    publish(context, record, 'archive-path');
    return {
      stat: statOpenPath(root.fd, fd, path),
      tar: packAndClose(packTree(fd, baseName(path), signal), close),
    };
  } catch (error) {
    await root.close();
    throw error;
  }
}

/** @see ContainerService.writeArchive */
export function writeArchive(
  context: Context,
  called: string,
  path: string,
  tar: AsyncIterable<Uint8Array>,
  options: WriteArchiveOptions,
): Promise<void> {
  const record = context.records.get(called);
  return withRoot(context, record, async (root) => {
    closeSync(openPath(root, path, called));
    const under = followLinks(root, path);
    checkWritable(record, under);
    checkDirectory(root, under);
    try {
      await context.changesets.unpackLayer({
        source: { stream: tar },
        compression: 'auto',
        targetDir: pathOfFd(root),
        under,
        whiteouts: 'literal',
        keepKinds: options.noOverwriteDirNonDir,
        ...(options.copyOwner && record.config.User ? { owner: ownerOf(root, record.config.User) } : {}),
        signal: options.signal,
      });
    } catch (error) {
      throw isSystemError(error, 'EROFS') ? readOnlyVolume() : error;
    }
    publish(context, record, 'extract-to-dir');
  });
}

/** @throws {CodedError} `permission_denied` with Docker's texts for what the container may not write either. */
function checkWritable({ mounts, hostConfig }: ContainerRecord, path: string): void {
  const depth = ({ destination }: MountPoint): number => destination.split('/').length;
  const mount = mounts
    .filter(({ destination }) => `${path}/`.startsWith(`${destination}/`))
    .toSorted((a, b) => depth(b) - depth(a))[0];
  if (mount?.readonly === true) throw readOnlyVolume();
  if (mount === undefined && hostConfig.ReadonlyRootfs === true)
    throw new CodedError('permission_denied', 'container rootfs is marked read-only');
}

function readOnlyVolume(): CodedError {
  return new CodedError('permission_denied', 'mounted volume is marked read-only');
}

/** @throws {CodedError} `invalid_argument`. */
function checkDirectory(root: number, path: string): void {
  try {
    closeSync(openInRoot(root, path, { flags: O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW }));
  } catch {
    throw new CodedError('invalid_argument', 'extraction point is not a directory');
  }
}

function ownerOf(root: number, user: string): { readonly uid: number; readonly gid: number } {
  const { uid, gid } = resolveUser(user, (path) => readAccountFile(root, path), []);
  return { uid, gid };
}

/** How a child process reaches a directory that is open here. */
function pathOfFd(fd: number): string {
  return `/proc/${process.pid}/fd/${fd}`;
}

async function* packAndClose(
  tar: AsyncIterable<Uint8Array>,
  close: () => Promise<void>,
): AsyncGenerator<Uint8Array> {
  try {
    yield* tar;
  } finally {
    await close();
  }
}
