import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { CodedError, isSystemError } from '#base/errors/index.ts';
import { MNT, unmount } from '#base/posix/index.ts';
import { createDurability, type Database, type Durability, type Row } from '#store/metadata/index.ts';
import { createCopyDriver } from './copy.ts';
import { type SnapshotDriver, treeOf } from './driver.ts';
import { createOverlayDriver, findOverlayObstacle } from './overlay.ts';
import { createTrash } from './trash.ts';
import type { ActiveSnapshot, CommittedSnapshot, SnapshotMount, SnapshotStore } from './types.ts';
import { measureTree } from './usage.ts';

/** Committed snapshots from this size on start going to the disk before anyone waits for them. */
const EARLY_SYNC_BYTES = 32 * 1024 * 1024;

/** `root` is the `snapshots` folder. Without `driver`: overlay where it works, else copy. */
export interface SnapshotStoreOptions {
  readonly root: string;
  readonly db: Database;
  readonly driver?: 'overlay' | 'copy';
  readonly durability?: Durability;
}

/**
 * Opens the snapshot store, making its folders. The driver is remembered: trees of one mean nothing to the other.
 * @throws {CodedError} `failed_precondition` when the wanted driver does not work here or another one made the trees.
 */
export function createSnapshotStore(options: SnapshotStoreOptions): SnapshotStore {
  const { root, db } = options;
  const durability = options.durability ?? createDurability({ root, db });
  mkdirSync(root, { recursive: true, mode: 0o700 });
  const driver = openDriver(options);
  const trash = createTrash(join(root, 'trash'));
  /** Where we mounted active snapshots: they must not be sealed or removed below a mount. */
  const mounts = new Map<string, number>();

  const activeRow = (key: string): Row | undefined =>
    db.get('SELECT * FROM snapshots WHERE key = ? AND committed = 0', key);
  const namedRow = (name: string): Row | undefined =>
    db.get(
      'SELECT snapshots.* FROM snapshot_names JOIN snapshots ON snapshots.id = snapshot_id WHERE name = ?',
      name,
    );

  function getActiveRow(key: string): Row {
    const row = activeRow(key);
    if (row === undefined) throw notFound(key);
    return row;
  }

  function getNamedRow(name: string): Row {
    const row = namedRow(name);
    if (row === undefined) throw notFound(name);
    return row;
  }

  /** Ids from `id` down to the bottom, topmost first. */
  function stackOf(id: number | undefined): number[] {
    if (id === undefined) return [];
    return db
      .all(
        `WITH RECURSIVE stack(id, parent_id, depth) AS (
           SELECT id, parent_id, 0 FROM snapshots WHERE id = ?
           UNION ALL SELECT s.id, s.parent_id, depth + 1 FROM snapshots s JOIN stack ON s.id = stack.parent_id)
         SELECT id FROM stack ORDER BY depth`,
        id,
      )
      .map(idOf);
  }

  function nameOf(id: number | undefined): string | undefined {
    if (id === undefined) return undefined;
    const row = db.get('SELECT name FROM snapshot_names WHERE snapshot_id = ? ORDER BY name LIMIT 1', id);
    return row === undefined ? undefined : String(row['name']);
  }

  async function prepare(key: string, parent: string | undefined): Promise<ActiveSnapshot> {
    if (activeRow(key) !== undefined) {
      throw new CodedError('already_exists', `snapshot "${key}" already exists`, {
        subject: { kind: 'snapshot', name: key },
      });
    }
    const parentId = parent === undefined ? undefined : idOf(getNamedRow(parent));
    const id = idOf(
      db.get(
        'INSERT INTO snapshots (parent_id, key, created_at) VALUES (?, ?, ?) RETURNING id',
        parentId ?? null,
        key,
        Date.now(),
      ) as Row,
    );
    try {
      await driver.createTree(id, stackOf(parentId));
    } catch (error) {
      dropTree(id);
      throw error;
    }
    return getActive(key);
  }

  function getActive(key: string): ActiveSnapshot {
    const row = getActiveRow(key);
    const id = idOf(row);
    const parentId = parentOf(row);
    const upperDir = treeOf(root, id);
    const isOverlay = driver.name === 'overlay';
    const lowerDirs = isOverlay ? stackOf(parentId).map((lower) => treeOf(root, lower)) : [];
    const mount: SnapshotMount = isOverlay
      ? {
          type: 'overlay',
          source: 'overlay',
          lowerDirs,
          upperDir,
          workDir: `${root}/${id}/work`,
          readonly: false,
        }
      : { type: 'bind', source: upperDir, lowerDirs: [], readonly: false };
    return { key, parent: nameOf(parentId), upperDir, lowerDirs, mount };
  }

  function mountAt(key: string, target: string, { volatile = false }: { volatile?: boolean } = {}): void {
    const row = getActiveRow(key);
    mkdirSync(target, { recursive: true, mode: 0o700 });
    driver.mountActive(idOf(row), stackOf(parentOf(row)), target, { volatile });
    mounts.set(target, idOf(row));
  }

  function mountViewAt(name: string | undefined, target: string): void {
    const stack = name === undefined ? [] : stackOf(idOf(getNamedRow(name)));
    mkdirSync(target, { recursive: true, mode: 0o700 });
    driver.mountView(stack, target);
  }

  function unmountNow(target: string): void {
    try {
      unmount(target, MNT.NOFOLLOW);
    } catch (error) {
      if (isSystemError(error, 'EBUSY')) unmount(target, MNT.NOFOLLOW | MNT.DETACH);
      else if (!isSystemError(error, 'EINVAL') && !isSystemError(error, 'ENOENT')) throw error;
    }
    mounts.delete(target);
  }

  function assertUnmounted(id: number, what: string): void {
    for (const [target, mounted] of mounts) {
      if (mounted !== id) continue;
      throw new CodedError('failed_precondition', `cannot ${what}: it is mounted at "${target}"`);
    }
  }

  async function commit(
    key: string,
    name: string,
    options: { sizeBytes?: number; durable?: boolean; parent?: string } = {},
  ): Promise<CommittedSnapshot> {
    const id = idOf(getActiveRow(key));
    assertUnmounted(id, `commit snapshot "${key}"`);
    const existing = keepExisting(name, id);
    if (existing !== undefined) return existing;
    const sizeBytes = options.sizeBytes ?? (await usage(key)).sizeBytes;
    const raced = keepExisting(name, id); // somebody may have committed the same while we measured
    if (raced !== undefined) return raced;
    driver.sealTree(id);
    db.transaction(() => {
      if (options.parent !== undefined) rebase(id, options.parent);
      db.run(
        'UPDATE snapshots SET committed = 1, key = NULL, size = ?, created_at = ?, unsynced_boot = ? WHERE id = ?',
        sizeBytes,
        Date.now(),
        durability.bootId,
        id,
      );
      db.run('INSERT INTO snapshot_names (name, snapshot_id) VALUES (?, ?)', name, id);
    });
    if (options.durable ?? true) await durability.settle();
    else if (sizeBytes >= EARLY_SYNC_BYTES) durability.startEarly();
    return committedOf(name, getNamedRow(name));
  }

  function keepExisting(name: string, activeId: number): CommittedSnapshot | undefined {
    const row = namedRow(name);
    if (row === undefined) return undefined;
    db.run('UPDATE snapshots SET created_at = ? WHERE id = ?', Date.now(), idOf(row)); // gc's grace starts anew
    dropTree(activeId);
    return committedOf(name, row);
  }

  function rebase(id: number, parent: string): void {
    const parentId = idOf(getNamedRow(parent));
    const row = db.get('SELECT parent_id FROM snapshots WHERE id = ?', id);
    if (row !== undefined && parentOf(row) === parentId) return;
    if (driver.name !== 'overlay') {
      throw new CodedError('unimplemented', 'the copy driver cannot put a snapshot on another parent');
    }
    db.run('UPDATE snapshots SET parent_id = ? WHERE id = ?', parentId, id);
  }

  function committedOf(name: string, row: Row): CommittedSnapshot {
    return {
      name,
      parent: nameOf(parentOf(row)),
      dir: treeOf(root, idOf(row)),
      sizeBytes: Number(row['size']),
    };
  }

  function addName(name: string, alias: string): void {
    const id = idOf(getNamedRow(name));
    db.run(
      'INSERT INTO snapshot_names (name, snapshot_id) VALUES (?, ?) ON CONFLICT (name) DO NOTHING',
      alias,
      id,
    );
  }

  /** Row first: a tree without a row does not exist, and the next start drops it. */
  function dropTree(id: number): void {
    db.run('DELETE FROM snapshots WHERE id = ?', id);
    driver.forgetTree(id);
    trash.throwAway(`${root}/${id}`);
  }

  function remove(keyOrName: string): void {
    const active = activeRow(keyOrName);
    if (active !== undefined) {
      assertUnmounted(idOf(active), `remove snapshot "${keyOrName}"`);
      dropTree(idOf(active));
      return;
    }
    const row = namedRow(keyOrName);
    if (row === undefined) return;
    const id = idOf(row);
    const isLast = db.transaction(() => {
      const names = db.all('SELECT name FROM snapshot_names WHERE snapshot_id = ? LIMIT 2', id);
      if (
        names.length === 1 &&
        db.get('SELECT 1 FROM snapshots WHERE parent_id = ? LIMIT 1', id) !== undefined
      ) {
        throw new CodedError(
          'failed_precondition',
          `cannot remove snapshot "${keyOrName}": another one is based on it`,
          {
            subject: { kind: 'snapshot', name: keyOrName },
          },
        );
      }
      db.run('DELETE FROM snapshot_names WHERE name = ?', keyOrName);
      if (names.length === 1) db.run('DELETE FROM snapshots WHERE id = ?', id);
      return names.length === 1;
    });
    if (isLast) dropTree(id);
  }

  function usage(key: string): ReturnType<typeof measureTree> {
    const row = getActiveRow(key);
    const parentId = parentOf(row);
    const against = driver.name === 'copy' && parentId !== undefined ? treeOf(root, parentId) : undefined;
    return measureTree(treeOf(root, idOf(row)), against);
  }

  function dropLeftovers(isKept: (key: string) => boolean): void {
    for (const row of db.all('SELECT id, key FROM snapshots WHERE committed = 0')) {
      if (!isKept(String(row['key']))) dropTree(idOf(row));
    }
    for (const name of readdirSync(root)) {
      const isStrayTree =
        /^\d+$/.test(name) && db.get('SELECT 1 FROM snapshots WHERE id = ?', Number(name)) === undefined;
      if (isStrayTree) driver.forgetTree(Number(name));
      if (isStrayTree || name.startsWith('probe-')) trash.throwAway(`${root}/${name}`);
    }
    trash.emptyLeftovers();
  }

  return {
    driver: driver.name,
    prepare,
    getActive,
    mountAt,
    mountViewAt,
    unmount: unmountNow,
    unmountInBackground: async (target) => {
      await runUmount(target);
      mounts.delete(target);
    },
    commit,
    addName,
    find: (name) => {
      const row = namedRow(name);
      return row === undefined ? undefined : committedOf(name, row);
    },
    listDirs: (name) => {
      const id = idOf(getNamedRow(name));
      return (driver.name === 'overlay' ? stackOf(id) : [id]).map((each) => treeOf(root, each));
    },
    remove: async (keyOrName) => remove(keyOrName),
    usage,
    listActive: () =>
      db.all('SELECT key FROM snapshots WHERE committed = 0').map((row) => String(row['key'])),
    dropLeftovers,
    drainTrash: () => trash.drain(),
    close: () => trash.close(),
  };
}

function openDriver({ root, db, driver }: SnapshotStoreOptions): SnapshotDriver {
  const made = db.get("SELECT value FROM settings WHERE key = 'snapshot-driver'")?.['value'];
  const hasTrees = db.get('SELECT 1 FROM snapshots LIMIT 1') !== undefined;
  if (hasTrees && driver !== undefined && driver !== made) {
    throw new CodedError(
      'failed_precondition',
      `the snapshots below "${root}" were made by the ${made} driver`,
    );
  }
  const wanted = hasTrees ? made : driver;
  const obstacle = wanted === 'copy' ? undefined : findOverlayObstacle(root);
  if (wanted === 'overlay' && obstacle !== undefined) {
    throw new CodedError('failed_precondition', `overlayfs does not work below "${root}": ${obstacle}`);
  }
  const name = wanted === 'copy' || obstacle !== undefined ? 'copy' : 'overlay';
  db.run(
    "INSERT INTO settings VALUES ('snapshot-driver', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    name,
  );
  return name === 'copy' ? createCopyDriver(root) : createOverlayDriver(root);
}

/** umount(8): the kernel syncs the file system below a writable overlay, which can take seconds. */
function runUmount(target: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('umount', ['--', target], { stdio: ['ignore', 'ignore', 'pipe'] });
    let text = '';
    child.stderr.on('data', (chunk: Buffer) => {
      text += chunk.toString('utf8');
    });
    child.on('error', reject);
    child.on('close', (code) => {
      try {
        const isDone = code === 0 || /not mounted|no mount point|not found/.test(text);
        if (!isDone) unmount(target, MNT.NOFOLLOW | MNT.DETACH);
        resolve();
      } catch (error) {
        reject(error instanceof Error ? error : new Error(text));
      }
    });
  });
}

function idOf(row: Row): number {
  return Number(row['id']);
}

function parentOf(row: Row): number | undefined {
  return row['parent_id'] === null ? undefined : Number(row['parent_id']);
}

function notFound(name: string): CodedError {
  return new CodedError('not_found', `snapshot "${name}" does not exist`, {
    subject: { kind: 'snapshot', name },
  });
}
