import {
  chmodSync,
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  rmdirSync,
  type Stats,
  symlinkSync,
  unlinkSync,
  utimesSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { CodedError } from '#base/errors/index.ts';
import type { OciMount } from './oci.ts';
import { makeDirs, resolveInRoot } from './rooted.ts';

/** A mount someone asked for. `options` are mount(8) words that go to the runtime. */
export interface SpecMount {
  readonly type: 'bind' | 'tmpfs' | 'mqueue';
  readonly source?: string;
  readonly target: string;
  readonly readonly: boolean;
  readonly options?: readonly string[];
}

const FORBIDDEN = /^\/(?:proc|sys)(?:\/|$)/;
/** What may be put over parts of /proc and /sys: what runc itself lists, and the cgroups. */
const ALLOWED_UNDER =
  /^\/(?:sys\/fs\/cgroup|proc\/(?:cpuinfo|diskstats|meminfo|stat|swaps|uptime|loadavg|slabinfo|net\/dev|sys\/kernel\/ns_last_pid))$/;

/**
 * The defaults plus `extra`: one for the same target replaces the default, parents come before children.
 * @throws {CodedError} `invalid_argument` for a target that is not absolute, is the root, or lies over /proc or /sys.
 */
export function mergeMounts(defaults: readonly OciMount[], extra: readonly SpecMount[]): readonly OciMount[] {
  const added = extra.map(toOci);
  const kept = defaults.filter((mount) => !added.some((other) => other.destination === mount.destination));
  const depth = (path: string): number => path.split('/').filter(Boolean).length;
  return [...kept, ...added.toSorted((a, b) => depth(a.destination) - depth(b.destination))];
}

function toOci(mount: SpecMount): OciMount {
  const { target } = mount;
  const clean = `/${target
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/')}`;
  if (!target.startsWith('/')) {
    throw new CodedError('invalid_argument', `invalid mount path: '${target}' mount path must be absolute`);
  }
  if (clean === '/') {
    throw new CodedError('invalid_argument', `invalid volume specification: destination can't be '/'`);
  }
  if (clean.split('/').includes('..')) {
    throw new CodedError('invalid_argument', `invalid mount path: '${target}' must not contain ".."`);
  }
  if (FORBIDDEN.test(clean) && !ALLOWED_UNDER.test(clean)) {
    throw new CodedError(
      'invalid_argument',
      `"${clean}" cannot be mounted because it is inside /proc or /sys`,
    );
  }
  const access = mount.readonly ? 'ro' : 'rw';
  if (mount.type === 'bind') {
    const options = mount.options ?? [];
    const propagation = options.some((word) => /^r?(?:private|shared|slave)$/.test(word)) ? [] : ['rprivate'];
    return {
      destination: clean,
      type: 'bind',
      source: mount.source ?? '',
      options: ['rbind', ...propagation, ...options.filter((word) => word !== 'rbind'), access],
    };
  }
  return {
    destination: clean,
    type: mount.type,
    source: mount.type,
    options: [...(mount.options ?? ['noexec', 'nosuid', 'nodev']), ...(mount.readonly ? ['ro'] : [])],
  };
}

/** A mount point that was missing in the root and was made for one run. */
export interface MountStub {
  readonly path: string;
  readonly inode: number;
  readonly directory: boolean;
}

/** What `makeMountPoints` did; `remove` takes it back. */
export interface MountStubs {
  readonly made: readonly MountStub[];
  /** Removes stubs that are still the same empty file or directory, and restores their parents' times. */
  remove(): void;
}

/**
 * Makes the mount points that `root` lacks, so that the runtime need not, and remembers them: a build step's layer must
 * not hold them. Links in the root are followed inside it; an image whose /dev, /proc or /sys is a link is refused.
 * @throws {CodedError} `invalid_argument`.
 */
export function makeMountPoints(root: string, mounts: readonly OciMount[]): MountStubs {
  const made: MountStub[] = [];
  const parents = new Map<string, Stats>();
  for (const name of ['/dev', '/proc', '/sys']) {
    const found = lstatMaybe(join(root, name));
    if (found?.isSymbolicLink()) {
      throw new CodedError('invalid_argument', `cannot start: "${name}" in the image is a symbolic link`);
    }
  }
  for (const mount of mounts) {
    if (mounts.some((other) => other !== mount && mount.destination.startsWith(`${other.destination}/`)))
      continue;
    const isFile = mount.type === 'bind' && lstatFollow(mount.source)?.isDirectory() === false;
    const last = isFile ? 'file' : { mode: mount.type === 'tmpfs' ? tmpfsMode(mount.options) : 0o755 };
    makeOne(root, mount.destination, last, made, parents);
  }
  return { made, remove: () => removeStubs(root, made, parents) };
}

/** The runtime gives a tmpfs the mode of the directory it covers: one that is made has what was asked, or the kernel's own. */
function tmpfsMode(options: readonly string[] = []): number {
  const asked = options.findLast((word) => word.startsWith('mode='))?.slice('mode='.length) ?? '';
  return /^[0-7]{1,4}$/.test(asked) ? Number.parseInt(asked, 8) : 0o1777;
}

/**
 * What programs expect in a container besides mounts: `/.dockerenv`, by which they know that they are in one, and
 * `/etc/mtab`. Made where missing; returns what was made, parents first.
 */
export function makeContainerFiles(root: string): readonly string[] {
  const made: string[] = [];
  if (lstatMaybe(join(root, '.dockerenv')) === undefined) {
    closeSync(openSync(join(root, '.dockerenv'), 'wx'));
    chmodSync(join(root, '.dockerenv'), 0o755);
    made.push('/.dockerenv');
  }
  const etc = resolveInRoot(root, '/etc');
  if (etc.stat !== undefined && !etc.stat.isDirectory()) return made;
  if (etc.stat === undefined) made.push(...makeDirs(root, etc));
  if (lstatMaybe(join(etc.hostPath, 'mtab')) === undefined) {
    symlinkSync('/proc/mounts', join(etc.hostPath, 'mtab'));
    made.push(join(etc.inRoot, 'mtab'));
  }
  return made;
}

function makeOne(
  root: string,
  path: string,
  last: 'file' | { readonly mode: number },
  made: MountStub[],
  parents: Map<string, Stats>,
): void {
  const found = resolveInRoot(root, path);
  if (found.stat !== undefined) return;
  const names = found.inRoot.split('/').slice(1);
  const firstMissing = names.length - found.missing.length;
  for (let count = firstMissing + 1; count <= names.length; count++) {
    const inRoot = `/${names.slice(0, count).join('/')}`;
    const host = join(root, inRoot);
    const parent = dirname(host);
    if (!parents.has(parent)) parents.set(parent, lstatSync(parent));
    const isLast = count === names.length;
    const directory = !(isLast && last === 'file');
    const mode = isLast && last !== 'file' ? last.mode : 0o755;
    if (directory) mkdirSync(host);
    else closeSync(openSync(host, 'wx'));
    // Whatever the umask of this process is.
    chmodSync(host, directory ? mode : 0o644);
    made.push({ path: inRoot, inode: lstatSync(host).ino, directory });
  }
}

function removeStubs(root: string, made: readonly MountStub[], parents: ReadonlyMap<string, Stats>): void {
  for (const stub of made.toReversed()) {
    let found: ReturnType<typeof resolveInRoot>;
    try {
      found = resolveInRoot(root, stub.path);
    } catch {
      continue;
    }
    // The step may have put something of its own there: only what we made, and only while it is empty.
    if (found.inRoot !== stub.path || found.stat?.ino !== stub.inode) continue;
    try {
      if (stub.directory) rmdirSync(found.hostPath);
      else if (found.stat.size === 0) unlinkSync(found.hostPath);
    } catch {
      // Not empty any more: it belongs to the step now.
    }
  }
  for (const [parent, before] of parents) {
    const now = lstatMaybe(parent);
    if (now?.isDirectory() && now.ino === before.ino)
      utimesSync(parent, before.atimeMs / 1000, before.mtimeMs / 1000);
  }
}

function lstatMaybe(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

function lstatFollow(path: string): Stats | undefined {
  try {
    return lstatSync(`${path}/.`, { throwIfNoEntry: false }) ?? lstatMaybe(path);
  } catch {
    return lstatMaybe(path);
  }
}
