/** Files of a container from outside: `export`, and `cp` both ways. */
import { closeSync, constants } from 'node:fs';
import { CodedError } from '#base/errors/index.ts';
import { O_PATH, openInRoot } from '#base/posix/index.ts';
import { type Context, publish } from './context.ts';
import {
  baseName,
  mountedRoot,
  openPath,
  openRoot,
  packTree,
  statOpenPath,
  withRoot,
} from './rooted-tree.ts';
import type { ContainerRecord, PathStat } from './types.ts';

/** The container's root file system as a tar. */
export async function* exportTar(
  context: Context,
  record: ContainerRecord,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const mounted = mountedRoot(context, record);
  if (mounted !== undefined) {
    yield* context.changesets.streamChangeset({ dir: mounted, kind: 'plain' }, { signal });
    return;
  }
  const root = await openRoot(context, record);
  try {
    yield* context.changesets.streamChangeset({ dir: pathOfFd(root.fd), kind: 'plain' }, { signal });
  } finally {
    await root.close();
  }
}

/** @see ContainerService.statPath */
export function statPath(context: Context, record: ContainerRecord, path: string): Promise<PathStat> {
  return withRoot(context, record, async (root) => {
    const fd = openPath(root, path, record);
    try {
      return statOpenPath(fd, path);
    } finally {
      closeSync(fd);
    }
  });
}

/** @see ContainerService.readArchive */
export async function readArchive(
  context: Context,
  record: ContainerRecord,
  path: string,
  signal: AbortSignal,
): Promise<{ readonly stat: PathStat; readonly tar: AsyncIterable<Uint8Array> }> {
  const root = await openRoot(context, record);
  try {
    const fd = openPath(root.fd, path, record);
    const close = async (): Promise<void> => {
      closeSync(fd);
      await root.close();
    };
    publish(context, record, 'archive-path');
    return { stat: statOpenPath(fd, path), tar: packAndClose(packTree(fd, baseName(path), signal), close) };
  } catch (error) {
    await root.close();
    throw error;
  }
}

/** @see ContainerService.writeArchive */
export function writeArchive(
  context: Context,
  record: ContainerRecord,
  path: string,
  tar: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  const isMounted = record.mounts.some(({ destination }) => `${path}/`.startsWith(`${destination}/`));
  if (record.hostConfig.ReadonlyRootfs === true && !isMounted) {
    throw new CodedError('permission_denied', 'container rootfs is marked read-only');
  }
  return withRoot(context, record, async (root) => {
    closeSync(openPath(root, path, record));
    const fd = openDirectory(root, path);
    try {
      await context.changesets.unpackLayer({
        source: { stream: tar },
        compression: 'auto',
        targetDir: pathOfFd(fd),
        whiteouts: 'literal',
        signal,
      });
    } finally {
      closeSync(fd);
    }
    publish(context, record, 'extract-to-dir');
  });
}

/** Followed to its end: the target of an extraction may be a link to a directory. */
function openDirectory(root: number, path: string): number {
  try {
    const inside = path.startsWith('/') ? path : `/${path}`;
    return openInRoot(root, inside, { flags: O_PATH | constants.O_DIRECTORY });
  } catch {
    throw new CodedError('invalid_argument', 'extraction point is not a directory');
  }
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
