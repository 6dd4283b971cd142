import { mkdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { CodedError, hasCode, messageOf } from '#base/errors/index.ts';
import { acquireFileLock, type FileLock } from '#base/fs/index.ts';
import { createArchives } from '#store/archive/index.ts';
import { createChangesets } from '#store/changeset/index.ts';
import type { Changesets } from '#store/changeset/types.ts';
import { createContentStore } from '#store/content/index.ts';
import { createImageStore, LayerUnpacker } from '#store/image/index.ts';
import { createLeaseStore, createReclaimer } from '#store/lease/index.ts';
import type { LeaseStore } from '#store/lease/types.ts';
import { createDurability, type Database, dropLostRows, openDatabase } from '#store/metadata/index.ts';
import { createSnapshotStore } from '#store/snapshot/index.ts';
import type { SnapshotStore } from '#store/snapshot/types.ts';
import { dropStaleMounts } from './stale-mounts.ts';
import type { Store } from './types.ts';

/** Where the data root is and how it is used. */
export interface OpenStoreOptions {
  readonly root: string;
  /** Overlay where it works, unless given. */
  readonly driver?: 'overlay' | 'copy';
  /** Other folders under which this engine mounts snapshots, such as the exec root. */
  readonly mountRoots?: readonly string[];
  /** Below this age the collector takes nothing; one hour unless given. */
  readonly graceMs?: number;
  /** Made here unless given; closed with the store either way. */
  readonly changesets?: Changesets;
}

/**
 * Opens everything below a data root, making it when it is new: takes the lock, migrates the database, drops what a
 * crash left (rows of an earlier boot that never reached the disk, unfinished files, active snapshots that neither a
 * container nor a dated lease claims, their mounts).
 * @throws {CodedError} `failed_precondition` naming the process that has it open; `data_loss` for a damaged database.
 */
export async function openStore(options: OpenStoreOptions): Promise<Store> {
  const root = resolve(options.root);
  mkdirSync(root, { recursive: true, mode: 0o700 });
  const lock = await lockRoot(root);
  const opened = new AsyncDisposableStack();
  opened.use(lock);
  try {
    const db = openDatabase(join(root, 'state.db'));
    opened.defer(() => db.close());
    const durability = createDurability({ root, db });
    dropLostRows(db, durability.bootId);
    const content = createContentStore({ root: join(root, 'content'), db, bootId: durability.bootId });
    opened.defer(() => content.close());
    const snapshots = createSnapshotStore({
      root: join(root, 'snapshots'),
      db,
      durability,
      ...(options.driver === undefined ? {} : { driver: options.driver }),
    });
    opened.defer(() => snapshots.close());
    const grace = options.graceMs === undefined ? {} : { graceMs: options.graceMs };
    const leases = createLeaseStore({ db, content, snapshots, ...grace });
    await dropLeftovers({ root, mountRoots: options.mountRoots ?? [], db, content, snapshots, leases });
    const changesets = options.changesets ?? createChangesets();
    opened.defer(() => changesets.close());
    const reclaimer = createReclaimer({ db, content, snapshots });
    const images = createImageStore({ db, content, snapshots, changesets, reclaimer, durability });
    const layers = new LayerUnpacker({ changesets, content, snapshots, images });
    const resources = opened.move();
    return {
      root,
      db,
      durability,
      content,
      leases,
      snapshots,
      changesets,
      images,
      layers,
      reclaimer,
      archives: createArchives({ changesets, content, images, layers, leases, reclaimer, snapshots }),
      close: () => resources.disposeAsync(),
    };
  } catch (error) {
    await opened.disposeAsync();
    throw error;
  }
}

async function lockRoot(root: string): Promise<FileLock> {
  try {
    return await acquireFileLock(join(root, 'lock'));
  } catch (error) {
    if (!hasCode(error, 'conflict')) throw error;
    const holder = /held by process (\d+)/.exec(messageOf(error))?.[1] ?? 'unknown';
    throw new CodedError(
      'failed_precondition',
      `cannot open the data root "${root}": process ${holder} is using it`,
      {
        cause: error,
        help: {
          id: 'store/root-in-use',
          cause: 'another engine runs on this data root',
          fix: [`kill ${holder}`, 'start this engine with another --root'],
        },
      },
    );
  }
}

/** What the process before us was in the middle of. */
async function dropLeftovers(parts: {
  readonly root: string;
  readonly mountRoots: readonly string[];
  readonly db: Database;
  readonly content: ReturnType<typeof createContentStore>;
  readonly snapshots: SnapshotStore;
  readonly leases: LeaseStore;
}): Promise<void> {
  const { root, db, content, snapshots, leases } = parts;
  leases.dropProcessLeases();
  const isKept = (key: string): boolean =>
    leases.isLeased({ kind: 'snapshot', key }) || isContainerKey(db, key);
  dropStaleMounts({
    root,
    mountRoots: [root, ...parts.mountRoots.map((each) => resolve(each))],
    isKept: (id) => {
      const key = db.get('SELECT key FROM snapshots WHERE id = ? AND committed = 0', id)?.['key'];
      return typeof key === 'string' && isKept(key);
    },
  });
  snapshots.dropLeftovers(isKept);
  await content.dropLeftovers();
  await rm(join(root, 'tmp'), { recursive: true, force: true });
}

/** A container's active snapshot is known by the container's id, or by `container/<id>`. */
function isContainerKey(db: Database, key: string): boolean {
  const id = key.startsWith('container/') ? key.slice('container/'.length) : key;
  return db.get('SELECT 1 FROM containers WHERE id = ?', id) !== undefined;
}
