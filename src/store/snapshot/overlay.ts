/**
 * The overlay driver.
 *
 *     <root>/<id>/fs     what this snapshot changes: upperdir while active, a lowerdir afterwards
 *     <root>/<id>/work   workdir, while active
 *     <root>/l/<id36>    link to ../<id>/fs: short, so that a long stack fits into the 4095 bytes of mount(2)
 *     <root>/l/_         link to ../empty, a lower layer for stacks that need one more
 *
 * The mount is made from inside `l/`, with relative names: options stay short, and a container that reads its mount
 * table learns nothing about the host's paths.
 */
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { CodedError, isSystemError, messageOf, wrapError } from '#base/errors/index.ts';
import { MNT, MS, mount, unmount } from '#base/posix/index.ts';
import { type SnapshotDriver, treeOf } from './driver.ts';

const OPTIONS_LIMIT_BYTES = 4095;
const LOWER_LIMIT = 500;
/** No number in base 36 looks like this. */
const EMPTY = '_';
/** Every change must be in the upper directory by itself: a layer is made from that directory alone. */
const COMMON_OPTIONS = 'index=off,redirect_dir=off,metacopy=off';

/**
 * The root of a new tree. The root of an overlay looks as its topmost layer's does: mode and owner come from the layer
 * below, whatever the umask of this process is.
 */
function makeTreeRoot(path: string, below: string | undefined): void {
  mkdirSync(path);
  const { mode, uid, gid } = below === undefined ? { mode: 0o755, uid: 0, gid: 0 } : lstatSync(below);
  if (process.getuid?.() === 0) chownSync(path, uid, gid);
  chmodSync(path, mode & 0o7777);
}

/** Makes the overlay driver below `root`. */
export function createOverlayDriver(root: string): SnapshotDriver {
  const links = join(root, 'l');
  mkdirSync(links, { recursive: true, mode: 0o700 });
  mkdirSync(join(root, 'empty'), { recursive: true, mode: 0o755 });
  link('../empty', join(links, EMPTY));

  function mountActive(
    id: number,
    lowers: readonly number[],
    target: string,
    { volatile }: { readonly volatile: boolean },
  ): void {
    // A volatile mount that was not unmounted cleanly leaves a mark that refuses the next mount; its data is fine.
    if (existsSync(`${root}/${id}/work/work/incompat`) || !existsSync(`${root}/${id}/work`)) resetWork(id);
    const lower = lowers.length === 0 ? EMPTY : lowers.map(linkName).join(':');
    const options = `lowerdir=${lower},upperdir=../${id}/fs,workdir=../${id}/work,${COMMON_OPTIONS}`;
    mountOverlay(target, volatile ? `${options},volatile` : options, 0, lowers.length);
  }

  function mountView(stack: readonly number[], target: string): void {
    // Without an upper directory overlayfs wants two lower ones; a single layer is still mounted as an overlay so
    // that its whiteouts do not show.
    const names = stack.map(linkName);
    const lower = (names.length === 1 ? [EMPTY, ...names] : names).join(':');
    if (names.length === 0) bindReadonly(join(root, 'empty'), target);
    else mountOverlay(target, `lowerdir=${lower},${COMMON_OPTIONS}`, MS.RDONLY | MS.NODEV, names.length);
  }

  function mountOverlay(target: string, data: string, flags: number, layers: number): void {
    if (layers > LOWER_LIMIT || Buffer.byteLength(data) > OPTIONS_LIMIT_BYTES) throw tooManyLayers(layers);
    const before = currentDirectory();
    process.chdir(links); // synchronous until it is undone: nothing else runs in between
    try {
      mount({ source: 'overlay', target, type: 'overlay', flags, data });
    } catch (error) {
      throw wrapError(error, `cannot mount a stack of ${layers} layers`);
    } finally {
      process.chdir(before);
    }
  }

  function resetWork(id: number): void {
    rmSync(`${root}/${id}/work`, { recursive: true, force: true });
    mkdirSync(`${root}/${id}/work`, { mode: 0o700 });
  }

  return {
    name: 'overlay',
    createTree: async (id, lowers) => {
      mkdirSync(`${root}/${id}`, { mode: 0o700 });
      makeTreeRoot(treeOf(root, id), lowers[0] === undefined ? undefined : treeOf(root, lowers[0]));
      mkdirSync(`${root}/${id}/work`, { mode: 0o700 });
      link(`../${id}/fs`, join(links, linkName(id)));
    },
    forgetTree: (id) => {
      try {
        unlinkSync(join(links, linkName(id)));
      } catch (error) {
        if (!isSystemError(error, 'ENOENT')) throw error;
      }
    },
    sealTree: (id) => rmSync(`${root}/${id}/work`, { recursive: true, force: true }),
    mountActive,
    mountView,
  };
}

/** Mounts `source` at `target` so that nobody can write there. */
export function bindReadonly(source: string, target: string): void {
  mount({ source, target, flags: MS.BIND });
  mount({ target, flags: MS.REMOUNT | MS.BIND | MS.RDONLY | MS.NODEV });
}

/** Why overlayfs cannot be used below `root`; `undefined` when it can. Tries it, since file systems differ. */
export function findOverlayObstacle(root: string): string | undefined {
  mkdirSync(root, { recursive: true, mode: 0o700 });
  const dir = mkdtempSync(join(root, 'probe-'));
  try {
    for (const name of ['lower', 'upper', 'work', 'merged']) mkdirSync(join(dir, name));
    writeFileSync(join(dir, 'lower/file'), '');
    const data = `lowerdir=${dir}/lower,upperdir=${dir}/upper,workdir=${dir}/work,${COMMON_OPTIONS}`;
    mount({ source: 'overlay', target: join(dir, 'merged'), type: 'overlay', data });
    try {
      unlinkSync(join(dir, 'merged/file'));
      mkdirSync(join(dir, 'merged/file')); // an opaque directory: needs trusted xattrs
    } finally {
      unmount(join(dir, 'merged'), MNT.DETACH);
    }
    return lstatSync(join(dir, 'upper/file')).isDirectory() ? undefined : 'a whiteout cannot be replaced';
  } catch (error) {
    return messageOf(error);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function link(to: string, path: string): void {
  try {
    symlinkSync(to, path);
  } catch (error) {
    if (!isSystemError(error, 'EEXIST')) throw error;
  }
}

function linkName(id: number): string {
  return id.toString(36);
}

function currentDirectory(): string {
  try {
    return process.cwd();
  } catch {
    return '/'; // the directory we were started in is gone
  }
}

function tooManyLayers(layers: number): CodedError {
  return new CodedError(
    'failed_precondition',
    `cannot mount a stack of ${layers} layers: overlayfs takes at most ${LOWER_LIMIT}`,
    {
      help: {
        id: 'snapshot/too-many-layers',
        cause: 'every instruction that changes files adds a layer',
        fix: [
          'join RUN lines with &&',
          'build with --squash',
          'start a new stage and COPY --from the old one',
        ],
      },
    },
  );
}
