import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CodedError, isSystemError } from '#base/errors/index.ts';
import { openFile, openInRoot } from '#base/posix/index.ts';
import type { Changesets } from '#store/changeset/types.ts';
import type { Database } from '#store/metadata/index.ts';
import { checkOptions, hasDevice, mountDevice, unmountBelow } from './options.ts';
import type { Volume, VolumeStore } from './types.ts';

/** Options of `createVolumeStore`. */
export interface VolumeStoreOptions {
  readonly db: Database;
  readonly root: string;
  readonly changesets: Pick<Changesets, 'streamChangeset' | 'unpackLayer'>;
  /** Told of volumes whose description cannot be read. */
  readonly onDamaged?: (name: string, error: unknown) => void;
}

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;

/** Opens the volumes under `<root>/volumes`. */
export function createVolumeStore(options: VolumeStoreOptions): VolumeStore {
  return new LocalVolumes(options);
}

class LocalVolumes implements VolumeStore {
  readonly #options: VolumeStoreOptions;
  readonly #dir: string;
  readonly #volumes = new Map<string, Volume>();
  /** Who has had a volume with options mounted since this engine began. */
  readonly #users = new Map<string, Set<string>>();

  constructor(options: VolumeStoreOptions) {
    this.#options = options;
    this.#dir = join(options.root, 'volumes');
    mkdirSync(this.#dir, { recursive: true, mode: 0o701 });
    for (const row of options.db.all('SELECT name, created_at, document FROM volumes ORDER BY created_at')) {
      const name = String(row['name']);
      this.#volumes.set(name, {
        ...this.#describe(name, String(row['document'])),
        mountpoint: this.#mountpointOf(name),
        createdAt: new Date(Number(row['created_at'])),
      });
    }
  }

  /** A volume whose description is damaged still has its data: it goes on as one without labels and options. */
  #describe(name: string, document: string): Omit<Volume, 'mountpoint' | 'createdAt'> {
    try {
      return { ...(JSON.parse(document) as Volume), name };
    } catch (error) {
      this.#options.onDamaged?.(name, error);
      return { name, driver: 'local', anonymous: false, labels: {}, options: {} };
    }
  }

  listVolumes(): readonly Volume[] {
    return [...this.#volumes.values()];
  }

  findVolume(name: string): Volume | undefined {
    return this.#volumes.get(name);
  }

  getVolume(name: string): Volume {
    const volume = this.#volumes.get(name);
    if (volume !== undefined) return volume;
    throw new CodedError('not_found', `get ${name}: no such volume`, { subject: { kind: 'volume', name } });
  }

  async ensureVolume(options: Parameters<VolumeStore['ensureVolume']>[0]): Promise<Volume> {
    const name = options.name || randomBytes(32).toString('hex');
    checkRequest(name, options.driver, options.options);
    const existing = this.#volumes.get(name);
    if (existing !== undefined) return existing;
    const volume: Volume = {
      name,
      driver: 'local',
      mountpoint: this.#mountpointOf(name),
      labels: options.labels ?? {},
      options: options.options ?? {},
      anonymous: !options.name,
      createdAt: new Date(),
    };
    mkdirSync(volume.mountpoint, { recursive: true });
    // Whatever the umask of this process is.
    chmodSync(volume.mountpoint, 0o755);
    chmodSync(join(this.#dir, name), 0o701);
    const { mountpoint: _, ...document } = volume;
    this.#options.db.run(
      'INSERT INTO volumes (name, created_at, document) VALUES (?, ?, ?)',
      name,
      volume.createdAt.getTime(),
      JSON.stringify(document),
    );
    this.#volumes.set(name, volume);
    return volume;
  }

  async removeVolume(name: string, options: Parameters<VolumeStore['removeVolume']>[1]): Promise<void> {
    const volume = this.#volumes.get(name);
    if (volume === undefined) {
      if (options.force) return;
      throw new CodedError('not_found', `get ${name}: no such volume`, { subject: { kind: 'volume', name } });
    }
    const users = options.inUse(name);
    if (users.length > 0) {
      throw new CodedError('conflict', `remove ${name}: volume is in use - [${users.join(', ')}]`, {
        subject: { kind: 'volume', name },
      });
    }
    // What is mounted there is not the volume's own, and stays.
    if (hasDevice(volume)) unmountBelow(join(this.#dir, name));
    // The row goes first: a crash in between leaves a folder nobody knows, which a volume of this name would meet empty.
    this.#options.db.run('DELETE FROM volumes WHERE name = ?', name);
    this.#volumes.delete(name);
    const trash = join(this.#dir, `.removed-${randomBytes(8).toString('hex')}`);
    try {
      renameSync(join(this.#dir, name), trash);
    } catch (error) {
      if (isSystemError(error, 'ENOENT')) return;
      throw error;
    }
    await rm(trash, { recursive: true, force: true });
  }

  async mountVolume(name: string, user: string): Promise<void> {
    const volume = this.#volumes.get(name);
    if (volume === undefined || !hasDevice(volume)) return;
    const users = this.#users.get(name) ?? new Set();
    this.#users.set(name, users.add(user));
    await mountDevice(volume);
  }

  unmountVolume(name: string, user: string, { keep } = { keep: false }): void {
    const volume = this.#volumes.get(name);
    if (volume === undefined || !hasDevice(volume)) return;
    const users = this.#users.get(name);
    users?.delete(user);
    if (!keep && (users === undefined || users.size === 0)) unmountBelow(volume.mountpoint);
  }

  async copyUp(volume: Volume, rootfs: string, target: string): Promise<void> {
    if (readdirSync(volume.mountpoint).length > 0) return;
    const source = openSource(rootfs, target);
    if (source === undefined) return;
    try {
      const { uid, gid, mode } = fstatSync(source);
      // The children reach the source by this descriptor, so no link in the image can lead them elsewhere.
      const stream = this.#options.changesets.streamChangeset({
        dir: `/proc/${process.pid}/fd/${source}`,
        kind: 'plain',
      });
      await this.#options.changesets.unpackLayer({
        source: { stream },
        compression: 'none',
        targetDir: volume.mountpoint,
        whiteouts: 'literal',
      });
      chownSync(volume.mountpoint, uid, gid);
      chmodSync(volume.mountpoint, mode & 0o7777);
    } finally {
      closeSync(source);
    }
  }

  #mountpointOf(name: string): string {
    return join(this.#dir, name, '_data');
  }
}

function checkRequest(name: string, driver = 'local', options: Readonly<Record<string, string>> = {}): void {
  if (name.length === 1) {
    throw new CodedError(
      'invalid_argument',
      `create ${name}: volume name is too short, names should be at least two alphanumeric characters`,
    );
  }
  if (!NAME.test(name)) {
    throw new CodedError(
      'invalid_argument',
      `create ${name}: "${name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`,
    );
  }
  if (driver !== 'local' && driver !== '') {
    throw new CodedError(
      'not_found',
      `create ${name}: error looking up volume plugin ${driver}: plugin "${driver}" not found`,
    );
  }
  checkOptions(name, options);
}

/** A descriptor of the directory `target` inside `rootfs`; `undefined` when the image has none there. */
function openSource(rootfs: string, target: string): number | undefined {
  const root = openFile(rootfs, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    return openInRoot(root, target.replace(/^\/+/, '') || '.', {
      flags: constants.O_RDONLY | constants.O_DIRECTORY,
    });
  } catch (error) {
    if (isSystemError(error, 'ENOENT') || isSystemError(error, 'ENOTDIR')) return undefined;
    throw error;
  } finally {
    closeSync(root);
  }
}
