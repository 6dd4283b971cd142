import { closeSync, constants, openSync, statSync } from 'node:fs';
import { MNT, MS, mount, O_PATH, openInRoot, unmount } from '#base/posix/index.ts';
import { makeMountPoints } from '#runtime/spec/index.ts';
import type { MountPoint } from './types.ts';

/** The volumes and binds of a container, mounted in its root while it does not run. */
export interface MountedVolumes {
  /** Mount points that had to be made in the root. */
  readonly stubs: readonly string[];
  /** Takes the mounts away again. */
  close(): void;
}

/**
 * Mounts volumes and binds where the container would have them, so that `docker cp` reaches them before its first start and
 * after its end. A source that is gone is left out.
 */
export function mountVolumes(root: string, mounts: readonly MountPoint[]): MountedVolumes {
  const depth = ({ destination }: MountPoint): number => destination.split('/').length;
  const opened: number[] = [];
  const stubs: string[] = [];
  const close = (): void => {
    for (const fd of opened.toReversed()) {
      unmount(pathOf(fd), MNT.DETACH);
      closeSync(fd);
    }
  };
  const rootFd = openSync(root, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    for (const point of mounts.toSorted((a, b) => depth(a) - depth(b))) {
      const { type, source, destination } = point;
      if (type === 'tmpfs' || statSync(source, { throwIfNoEntry: false }) === undefined) continue;
      const { made } = makeMountPoints(root, [{ destination, type: 'bind', source, options: [] }]);
      const isInVolume = mounts.some((other) => destination.startsWith(`${other.destination}/`));
      if (!isInVolume) stubs.push(...made.map(({ path }) => path));
      opened.push(mountOne(rootFd, point));
    }
    return { stubs, close };
  } catch (error) {
    close();
    throw error;
  } finally {
    closeSync(rootFd);
  }
}

/** Mounts one, and returns a descriptor of it. Private, because its end must not reach the mounts it was copied from. */
function mountOne(rootFd: number, { source, destination, readonly }: MountPoint): number {
  const at = openInRoot(rootFd, destination, { flags: O_PATH });
  try {
    mount({ source, target: pathOf(at), flags: MS.BIND | MS.REC });
  } finally {
    closeSync(at);
  }
  const mounted = openInRoot(rootFd, destination, { flags: O_PATH });
  mount({ target: pathOf(mounted), flags: MS.PRIVATE | MS.REC });
  if (readonly) mount({ target: pathOf(mounted), flags: MS.BIND | MS.REMOUNT | MS.RDONLY });
  return mounted;
}

function pathOf(fd: number): string {
  return `/proc/self/fd/${fd}`;
}
