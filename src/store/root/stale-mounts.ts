import { readFileSync } from 'node:fs';
import { MNT, unmount } from '#base/posix/index.ts';

/** One line of `/proc/self/mountinfo`. Spec: proc(5). */
export interface MountInfo {
  /** The directory of the file system that is mounted. */
  readonly root: string;
  readonly target: string;
  readonly type: string;
  readonly options: string;
}

/**
 * Unmounts snapshots that a process before us left mounted below our folders. What belongs to an active snapshot that
 * `isKept` claims stays: containers outlive the engine. Other mounts (somebody's volume) are not ours to touch.
 */
export function dropStaleMounts(options: {
  /** The data root: its `snapshots` folder is what we mount from. */
  readonly root: string;
  readonly mountRoots: readonly string[];
  readonly isKept: (snapshotId: number) => boolean;
}): readonly string[] {
  const dropped: string[] = [];
  const mounts = parseMountInfo(readFileSync('/proc/self/mountinfo', 'utf8'));
  for (const mount of mounts.reverse()) {
    const isBelow = options.mountRoots.some((root) => mount.target.startsWith(`${root}/`));
    if (!isBelow || !isSnapshotMount(mount, options.root)) continue;
    const id = activeIdOf(mount);
    if (id !== undefined && options.isKept(id)) continue;
    unmount(mount.target, MNT.DETACH | MNT.NOFOLLOW);
    dropped.push(mount.target);
  }
  return dropped;
}

/** Reads mountinfo; octal escapes are undone. */
export function parseMountInfo(text: string): MountInfo[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const fields = line.split(' ');
      const dash = fields.indexOf('-', 6);
      return {
        root: unescapeOctal(fields[3] ?? ''),
        target: unescapeOctal(fields[4] ?? ''),
        type: fields[dash + 1] ?? '',
        options: unescapeOctal(fields[dash + 3] ?? ''),
      };
    });
}

/** Ours are overlays with relative layers, and binds of `snapshots/<id>/fs` or `snapshots/empty`. */
function isSnapshotMount(mount: MountInfo, root: string): boolean {
  if (mount.type === 'overlay') return /(^|,)lowerdir=[a-z0-9_]+(:|,|$)/.test(mount.options);
  // A bind's root is a path inside its file system, which may begin anywhere above or at the data root.
  const inside = mount.root.slice(0, Math.max(mount.root.lastIndexOf('/snapshots/'), 0));
  return /\/snapshots\/(\d+\/fs|empty)$/.test(mount.root) && root.endsWith(inside);
}

/** The id of the active snapshot that is mounted; `undefined` for a view. */
function activeIdOf({ options, root }: MountInfo): number | undefined {
  const id =
    /(?:^|,)upperdir=\.\.\/(\d+)\/fs(?:,|$)/.exec(options)?.[1] ?? /\/snapshots\/(\d+)\/fs$/.exec(root)?.[1];
  return id === undefined ? undefined : Number(id);
}

function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
