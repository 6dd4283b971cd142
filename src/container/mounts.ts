import { chmodSync, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { CodedError } from '#base/errors/index.ts';
import { resolveInRoot, type SpecMount } from '#runtime/spec/index.ts';
import type { Volume, VolumeStore } from '#runtime/volume/types.ts';
import type { Context } from './context.ts';
import { publishVolume } from './notices.ts';
import type { ContainerRecord, MountPoint } from './types.ts';
import type { ContainerSettings, HostSettings, MountRequest } from './wire.ts';

const PROPAGATIONS = ['private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave'];
/** The words of a mode, by kind. */
const BIND_WORDS = [
  ['ro', 'rw'],
  ['z', 'Z'],
  ['nocopy'],
  ['consistent', 'cached', 'delegated'],
  PROPAGATIONS,
];
const MOUNT_TYPES = ['bind', 'volume', 'tmpfs', 'image', 'cluster', 'npipe'];

/** A mount that was asked for, before its volume is made. */
interface Wanted extends Omit<MountPoint, 'source'> {
  readonly source: string;
  readonly volume?: {
    readonly name?: string;
    readonly driver?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly options?: Readonly<Record<string, string>>;
  };
}

/**
 * The mounts of a new container from all places that may ask for them; volumes are made as needed. Later places win:
 * image volumes, `--volumes-from`, binds, `--mount`, `--tmpfs`.
 * @throws {CodedError} `invalid_argument` with Docker's texts.
 */
export async function resolveMounts(
  settings: { readonly config: ContainerSettings; readonly host: HostSettings },
  volumes: Pick<VolumeStore, 'ensureVolume'>,
  findContainer: (name: string) => ContainerRecord,
): Promise<readonly MountPoint[]> {
  const { config, host } = settings;
  const byTarget = new Map<string, Wanted>();
  for (const entry of host.VolumesFrom ?? []) {
    const [name = '', mode = ''] = entry.split(':');
    if (name === '') throw refused('volumes-from specification cannot be an empty string');
    checkMode(mode);
    for (const mount of findContainer(name).mounts) {
      byTarget.set(mount.destination, {
        ...mount,
        anonymous: false,
        readonly: mount.readonly || mode === 'ro',
        ...(mount.name === undefined ? {} : { volume: { name: mount.name } }),
      });
    }
  }
  const asked = new Set<string>();
  const add = (mount: Wanted): void => {
    if (asked.has(mount.destination)) {
      throw new CodedError('invalid_argument', `Duplicate mount point: ${mount.destination}`);
    }
    asked.add(mount.destination);
    byTarget.set(mount.destination, mount);
  };
  for (const bind of host.Binds ?? []) add(parseBind(bind, host.VolumeDriver));
  for (const mount of host.Mounts ?? []) add(parseMount(mount));
  for (const [target, options] of Object.entries(host.Tmpfs ?? {})) add(parseTmpfs(target, options));
  for (const target of Object.keys(config.Volumes ?? {})) {
    // A relative one means the root, as Docker takes it.
    const destination = cleanTarget(target.startsWith('/') ? target : `/${target}`);
    if (byTarget.has(destination)) continue;
    const volume = host.VolumeDriver ? { driver: host.VolumeDriver } : {};
    byTarget.set(destination, { ...volumeMount(destination), anonymous: true, volume });
  }
  const made: MountPoint[] = [];
  for (const { volume, ...mount } of byTarget.values()) {
    if (volume === undefined) made.push(mount);
    else made.push(withVolume(mount, await volumes.ensureVolume(volume)));
  }
  return made;
}

function withVolume(mount: MountPoint, volume: Volume): MountPoint {
  const source =
    mount.subpath === undefined
      ? volume.mountpoint
      : resolveInRoot(volume.mountpoint, mount.subpath).hostPath;
  return { ...mount, name: volume.name, source, driver: volume.driver };
}

function volumeMount(destination: string): Wanted {
  return { type: 'volume', source: '', destination, mode: '', readonly: false, propagation: '' };
}

/** `source:target[:options]` of `-v`; a source that is no path names a volume. */
function parseBind(text: string, driver: string | undefined): Wanted {
  const parts = text.split(':');
  if (parts.length > 3 || parts.length === 0 || parts.some((part) => part === '')) throw badVolume(text);
  if (parts.length === 1) {
    const prefix = `invalid volume specification: '${text}': invalid mount config for type "volume": `;
    return { ...volumeMount(cleanTarget(parts[0] ?? '', prefix)), anonymous: true, volume: {} };
  }
  const [source = '', target = '', mode = ''] = parts;
  const words = checkMode(mode);
  const isPath = source.startsWith('/');
  const prefix = `invalid volume specification: '${text}': invalid mount config for type "${isPath ? 'bind' : 'volume'}": `;
  const destination = cleanTarget(target, prefix);
  const readonly = words.includes('ro');
  if (isPath) {
    if (words.includes('nocopy')) throw refused(`${prefix}field VolumeOptions must not be specified`);
    const propagation = words.find((word) => PROPAGATIONS.includes(word)) ?? 'rprivate';
    return { type: 'bind', source, destination, mode, readonly, propagation, createSource: true };
  }
  if (words.some((word) => PROPAGATIONS.includes(word)))
    throw refused(`${prefix}field BindOptions must not be specified`);
  return {
    ...volumeMount(destination),
    mode: mode === '' ? 'z' : mode,
    readonly,
    ...(words.includes('nocopy') ? { noCopy: true } : {}),
    volume: { name: source, ...(driver ? { driver } : {}) },
  };
}

function parseMount(mount: MountRequest): Wanted {
  if (!MOUNT_TYPES.includes(mount.Type)) throw mountError(mount.Type, 'mount type unknown');
  if (!mount.Target) throw mountError(mount.Type, 'field Target must not be empty');
  const destination = cleanTarget(mount.Target, `invalid mount config for type "${mount.Type}": `);
  const readonly = mount.ReadOnly === true;
  const source = mount.Source ?? '';
  if (mount.Type === 'bind') {
    if (!source.startsWith('/')) {
      throw mountError(
        'bind',
        source === ''
          ? 'field Source must not be empty'
          : `invalid mount path: '${source}' mount path must be absolute`,
      );
    }
    const createSource = mount.BindOptions?.CreateMountpoint === true;
    if (!createSource && statSync(source, { throwIfNoEntry: false }) === undefined)
      throw missingSource(source);
    const propagation = mount.BindOptions?.Propagation || 'rprivate';
    if (!PROPAGATIONS.includes(propagation))
      throw mountError('bind', `invalid propagation mode: ${propagation}`);
    return { type: 'bind', source, destination, mode: '', readonly, propagation, createSource };
  }
  if (mount.Type === 'volume') {
    const options = mount.VolumeOptions ?? {};
    const driver = options.DriverConfig?.Name;
    return {
      ...volumeMount(destination),
      mode: 'z',
      readonly,
      ...(options.NoCopy === true ? { noCopy: true } : {}),
      ...(options.Subpath ? { subpath: options.Subpath } : {}),
      ...(source === '' ? { anonymous: true } : {}),
      volume: {
        ...(source === '' ? {} : { name: source }),
        ...(driver ? { driver } : {}),
        ...(options.Labels === undefined ? {} : { labels: options.Labels }),
        ...(options.DriverConfig?.Options === undefined ? {} : { options: options.DriverConfig.Options }),
      },
    };
  }
  if (mount.Type === 'tmpfs') {
    if (source !== '') throw mountError('tmpfs', 'field Source must not be specified');
    const { SizeBytes: size = 0, Mode: mode = 0 } = mount.TmpfsOptions ?? {};
    const words = [...(size > 0 ? [`size=${size}`] : []), ...(mode > 0 ? [`mode=${mode.toString(8)}`] : [])];
    return { ...parseTmpfs(destination, words.join(',')), readonly };
  }
  throw new CodedError('unimplemented', `mounts of type "${mount.Type}" are not part of this engine yet`);
}

function parseTmpfs(target: string, options: string): Wanted {
  const words = options === '' ? [] : options.split(',');
  const wrong = words.find(
    (word) =>
      !/^(?:no)?(?:exec|suid|dev|atime|diratime|relatime)$|^(?:ro|rw|sync|async|strictatime)$|^(?:size|mode|uid|gid|nr_inodes|nr_blocks)=/.test(
        word,
      ),
  );
  if (wrong !== undefined) throw refused(`invalid tmpfs option "${wrong}"`);
  return {
    type: 'tmpfs',
    source: '',
    destination: cleanTarget(target),
    mode: options,
    readonly: words.includes('ro'),
    propagation: '',
    options: ['noexec', 'nosuid', 'nodev'].filter((word) => !words.includes(word.slice(2))).concat(words),
  };
}

/** Docker's words for a mode: each kind of word at most once. */
function checkMode(mode: string): readonly string[] {
  const words = mode === '' ? [] : mode.split(',');
  const isWrong = (word: string): boolean => !BIND_WORDS.some((kind) => kind.includes(word));
  const isTwice = BIND_WORDS.some((kind) => words.filter((word) => kind.includes(word)).length > 1);
  if (isTwice || words.some(isWrong)) throw refused(`invalid mode: ${mode}`);
  return words;
}

/** The path without dots; `prefix` comes before what is wrong with it. */
function cleanTarget(target: string, prefix = ''): string {
  if (!target.startsWith('/'))
    throw refused(`${prefix}invalid mount path: '${target}' mount path must be absolute`);
  const parts: string[] = [];
  for (const part of target.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  if (parts.length === 0) throw refused(`${prefix}invalid specification: destination can't be '/'`);
  return `/${parts.join('/')}`;
}

function refused(message: string): CodedError {
  return new CodedError('invalid_argument', message);
}

function badVolume(text: string): CodedError {
  return new CodedError('invalid_argument', `invalid volume specification: '${text}'`);
}

function mountError(type: string, reason: string): CodedError {
  return new CodedError('invalid_argument', `invalid mount config for type "${type}": ${reason}`);
}

function missingSource(source: string): CodedError {
  return mountError('bind', `bind source path does not exist: ${source}`);
}

/**
 * Mounts as the runtime takes them, at the start of a container: a missing source of `-v` is made, one of `--mount` is an error.
 * @throws {CodedError} `invalid_argument`.
 */
export function specMounts(mounts: readonly MountPoint[]): readonly SpecMount[] {
  return mounts.map((mount) => {
    if (mount.type === 'tmpfs') {
      return {
        type: 'tmpfs',
        target: mount.destination,
        readonly: mount.readonly,
        options: mount.options ?? [],
      };
    }
    if (statSync(mount.source, { throwIfNoEntry: false }) === undefined) {
      if (mount.type === 'bind' && mount.createSource !== true) throw missingSource(mount.source);
      makeSource(mount.source);
    }
    return {
      type: 'bind',
      source: mount.source,
      target: mount.destination,
      readonly: mount.readonly,
      options: mount.propagation === '' ? [] : [mount.propagation],
    };
  });
}

/** Makes a directory of the host, mode 0755 whatever the umask of this process is. */
function makeSource(path: string): void {
  const first = mkdirSync(path, { recursive: true });
  for (let at = path; first !== undefined && at.length >= first.length; at = dirname(at))
    chmodSync(at, 0o755);
}

/** Volumes that still have to be filled with what the image holds at their place. */
export function volumesToFill(mounts: readonly MountPoint[]): readonly MountPoint[] {
  return mounts.filter(
    (mount) => mount.type === 'volume' && mount.noCopy !== true && mount.subpath === undefined,
  );
}

/** Removes the volumes that were made for a container and nobody else uses. */
export async function removeOwnVolumes(context: Context, record: ContainerRecord): Promise<void> {
  const users = (name: string): readonly string[] =>
    context.records
      .list()
      .filter(({ mounts }) => mounts.some((mount) => mount.name === name))
      .map(({ id }) => id);
  for (const { anonymous, name, driver } of record.mounts) {
    if (anonymous !== true || name === undefined || users(name).length > 0) continue;
    try {
      await context.volumes.removeVolume(name, { force: true, inUse: users });
      publishVolume(context, 'destroy', name, { driver: driver ?? 'local' });
    } catch (error) {
      context.log.warn('a volume could not be removed', { volume: name, error });
    }
  }
}
