import { existsSync, mkdirSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { CodedError, isDiskFull, isSystemError } from '#base/errors/index.ts';
import { MNT, spreadDirectories, unmount } from '#base/posix/index.ts';
import { createDurability, type Database, type Durability, type Row } from '#store/metadata/index.ts';
import { createCopyDriver } from './copy.ts';

import { type SnapshotDriver, treeOf } from './driver.ts';
import { explainMissingTree, snapshotNotFound } from './errors.ts';
import { createOverlayDriver, findOverlayObstacle } from './overlay.ts';
import { createTrash, type Trash } from './trash.ts';
import type { ActiveSnapshot, CommittedSnapshot, SnapshotMount, SnapshotStore } from './types.ts';
import { runUmount } from './umount.ts';
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
  mkdirSync(options.root, { recursive: true, mode: 0o700 });
  spreadDirectories(options.root); // layers come and go: a new one is not made where an old one just was
  return new SnapshotFolder(options, openDriver(options));
}

class SnapshotFolder implements SnapshotStore {
  readonly driver: 'overlay' | 'copy';
  readonly #root: string;
  readonly #db: Database;
  readonly #durability: Durability;
  readonly #driver: SnapshotDriver;
  readonly #trash: Trash;
  /** Where we mounted active snapshots: they must not be sealed or removed below a mount. */
  readonly #mounts = new Map<string, number>();

  constructor({ root, db, durability }: SnapshotStoreOptions, driver: SnapshotDriver) {
    this.driver = driver.name;
    this.#root = root;
    this.#db = db;
    this.#durability = durability ?? createDurability({ root, db });
    this.#driver = driver;
    this.#trash = createTrash(join(root, 'trash'));
  }

  #getActiveRow(key: string): Row {
    const row = this.#activeRow(key);
    if (row === undefined) throw snapshotNotFound(key);
    return row;
  }

  #getNamedRow(name: string): Row {
    const row = this.#namedRow(name);
    if (row === undefined) throw snapshotNotFound(name);
    return row;
  }

  /** Ids from `id` down to the bottom, topmost first. */
  #stackOf(id: number | undefined): number[] {
    if (id === undefined) return [];
    return this.#db
      .all(
        `WITH RECURSIVE stack(id, parent_id, depth) AS (
           SELECT id, parent_id, 0 FROM snapshots WHERE id = ?
           UNION ALL SELECT s.id, s.parent_id, depth + 1 FROM snapshots s JOIN stack ON s.id = stack.parent_id)
         SELECT id FROM stack ORDER BY depth`,
        id,
      )
      .map(idOf);
  }

  #nameOf(id: number | undefined): string | undefined {
    if (id === undefined) return undefined;
    const row = this.#db.get(
      'SELECT name FROM snapshot_names WHERE snapshot_id = ? ORDER BY name LIMIT 1',
      id,
    );
    return row === undefined ? undefined : String(row['name']);
  }

  async prepare(key: string, parent: string | undefined): Promise<ActiveSnapshot> {
    if (this.#activeRow(key) !== undefined) {
      throw new CodedError('already_exists', `snapshot "${key}" already exists`, {
        subject: { kind: 'snapshot', name: key },
      });
    }
    const parentId = parent === undefined ? undefined : idOf(this.#getNamedRow(parent));
    const sql = 'INSERT INTO snapshots (parent_id, key, created_at) VALUES (?, ?, ?) RETURNING id';
    const insert = (): Row => this.#db.get(sql, parentId ?? null, key, Date.now()) as Row;
    const id = idOf(this.#db.transaction(insert, { durable: false }));
    try {
      await this.#driver.createTree(id, this.#stackOf(parentId));
    } catch (error) {
      this.#dropTree(id);
      throw this.#explain(error, this.#stackOf(parentId));
    }
    return this.getActive(key);
  }

  getActive(key: string): ActiveSnapshot {
    const row = this.#getActiveRow(key);
    const id = idOf(row);
    const parentId = parentOf(row);
    const upperDir = treeOf(this.#root, id);
    const isOverlay = this.#driver.name === 'overlay';
    const lowerDirs = isOverlay ? this.#stackOf(parentId).map((lower) => treeOf(this.#root, lower)) : [];
    const mount: SnapshotMount = isOverlay
      ? {
          type: 'overlay',
          source: 'overlay',
          lowerDirs,
          upperDir,
          workDir: `${this.#root}/${id}/work`,
          readonly: false,
        }
      : { type: 'bind', source: upperDir, lowerDirs: [], readonly: false };
    return { key, parent: this.#nameOf(parentId), upperDir, lowerDirs, mount };
  }

  mountAt(key: string, target: string, { volatile = false }: { volatile?: boolean } = {}): void {
    const row = this.#getActiveRow(key);
    mkdirSync(target, { recursive: true, mode: 0o700 });
    const stack = this.#stackOf(parentOf(row));
    this.#explaining(stack, () => this.#driver.mountActive(idOf(row), stack, target, { volatile }));
    this.#mounts.set(target, idOf(row));
  }

  mountViewAt(name: string | undefined, target: string): void {
    const stack = name === undefined ? [] : this.#stackOf(idOf(this.#getNamedRow(name)));
    mkdirSync(target, { recursive: true, mode: 0o700 });
    this.#explaining(stack, () => this.#driver.mountView(stack, target));
  }

  unmount(target: string): void {
    try {
      unmount(target, MNT.NOFOLLOW);
    } catch (error) {
      if (isSystemError(error, 'EBUSY')) unmount(target, MNT.NOFOLLOW | MNT.DETACH);
      else if (!isSystemError(error, 'EINVAL') && !isSystemError(error, 'ENOENT')) throw error;
    }
    this.#mounts.delete(target);
  }

  #assertUnmounted(id: number, what: string): void {
    for (const [target, mounted] of this.#mounts) {
      if (mounted !== id) continue;
      throw new CodedError('failed_precondition', `cannot ${what}: it is mounted at "${target}"`);
    }
  }

  async commit(
    key: string,
    name: string,
    options: { sizeBytes?: number; durable?: boolean; parent?: string } = {},
  ): Promise<CommittedSnapshot> {
    const id = idOf(this.#getActiveRow(key));
    this.#assertUnmounted(id, `commit snapshot "${key}"`);
    const isDurable = options.durable ?? true;
    const sizeBytes = options.sizeBytes ?? (await this.usage(key)).sizeBytes;
    const existing = this.#keepExisting(name, id);
    if (existing !== undefined) {
      if (isDurable) await this.#durability.settle(); // the first may have been committed without waiting
      return existing;
    }
    this.#driver.sealTree(id);
    const commitRow = (): void => {
      if (options.parent !== undefined) this.#rebase(id, options.parent);
      this.#db.run(
        'UPDATE snapshots SET committed = 1, key = NULL, size = ?, created_at = ?, unsynced_boot = ? WHERE id = ?',
        sizeBytes,
        Date.now(),
        this.#durability.bootId,
        id,
      );
      this.#db.run('INSERT INTO snapshot_names (name, snapshot_id) VALUES (?, ?)', name, id);
    };
    this.#db.transaction(commitRow, { durable: false }); // `settle` waits for the disk, here or later
    if (isDurable) await this.#durability.settle();
    else if (sizeBytes >= EARLY_SYNC_BYTES) this.#durability.startEarly();
    return this.#committedOf(name, this.#getNamedRow(name));
  }

  #keepExisting(name: string, activeId: number): CommittedSnapshot | undefined {
    const row = this.#namedRow(name);
    if (row === undefined) return undefined;
    this.#db.runSoon('UPDATE snapshots SET created_at = ? WHERE id = ?', Date.now(), idOf(row)); // gc's grace starts anew
    if (!existsSync(treeOf(this.#root, idOf(row)))) this.#replaceTree(idOf(row), activeId);
    this.#dropTree(activeId);
    return this.#committedOf(name, row);
  }

  /** The tree of a committed snapshot is gone: the same one that was just made takes its place. */
  #replaceTree(id: number, activeId: number): void {
    this.#driver.sealTree(activeId);
    this.#trash.throwAway(`${this.#root}/${id}`);
    renameSync(`${this.#root}/${activeId}`, `${this.#root}/${id}`);
    this.#db.runSoon('UPDATE snapshots SET unsynced_boot = ? WHERE id = ?', this.#durability.bootId, id);
  }

  #explaining(stack: readonly number[], use: () => void): void {
    try {
      use();
    } catch (error) {
      throw this.#explain(error, stack);
    }
  }

  #explain(error: unknown, stack: readonly number[]): unknown {
    return explainMissingTree(error, { root: this.#root, stack, nameOf: (id) => this.#nameOf(id) });
  }

  #rebase(id: number, parent: string): void {
    const parentId = idOf(this.#getNamedRow(parent));
    const row = this.#db.get('SELECT parent_id FROM snapshots WHERE id = ?', id);
    if (row !== undefined && parentOf(row) === parentId) return;
    if (this.#driver.name !== 'overlay') {
      throw new CodedError('unimplemented', 'the copy driver cannot put a snapshot on another parent');
    }
    this.#db.run('UPDATE snapshots SET parent_id = ? WHERE id = ?', parentId, id);
  }

  #committedOf(name: string, row: Row): CommittedSnapshot {
    return {
      name,
      parent: this.#nameOf(parentOf(row)),
      dir: treeOf(this.#root, idOf(row)),
      sizeBytes: Number(row['size']),
    };
  }

  addName(name: string, alias: string): void {
    const id = idOf(this.#getNamedRow(name));
    this.#db.runSoon(
      'INSERT INTO snapshot_names (name, snapshot_id) VALUES (?, ?) ON CONFLICT (name) DO NOTHING',
      alias,
      id,
    );
  }

  /**
   * Row first: a tree without a row does not exist, and the next start drops it. The row of an active snapshot need not be gone
   * for good: one that a power loss brings back is claimed by nobody.
   */
  #dropTree(id: number): void {
    this.#db.runSoon('DELETE FROM snapshots WHERE id = ?', id);
    this.#db.afterCommit(() => {
      this.#driver.forgetTree(id);
      this.#trash.throwAway(`${this.#root}/${id}`);
    });
  }

  /** On a full disk the tree goes first: its own room is what the deletion of its row needs, and nobody claims the row. */
  async #dropActive(id: number): Promise<void> {
    try {
      this.#dropTree(id);
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      this.#driver.forgetTree(id);
      this.#trash.throwAway(`${this.#root}/${id}`);
      await this.#trash.drain();
      this.#dropTree(id);
    }
  }

  async remove(keyOrName: string): Promise<void> {
    const active = this.#activeRow(keyOrName);
    if (active !== undefined) {
      this.#assertUnmounted(idOf(active), `remove snapshot "${keyOrName}"`);
      await this.#dropActive(idOf(active));
      return;
    }
    const row = this.#namedRow(keyOrName);
    if (row === undefined) return;
    const id = idOf(row);
    const isLast = this.#db.transaction(() => {
      const names = this.#db.all('SELECT name FROM snapshot_names WHERE snapshot_id = ? LIMIT 2', id);
      if (
        names.length === 1 &&
        this.#db.get('SELECT 1 FROM snapshots WHERE parent_id = ? LIMIT 1', id) !== undefined
      ) {
        throw new CodedError(
          'failed_precondition',
          `cannot remove snapshot "${keyOrName}": another one is based on it`,
          {
            subject: { kind: 'snapshot', name: keyOrName },
          },
        );
      }
      this.#db.run('DELETE FROM snapshot_names WHERE name = ?', keyOrName);
      if (names.length === 1) this.#db.run('DELETE FROM snapshots WHERE id = ?', id);
      return names.length === 1;
    });
    if (isLast) this.#dropTree(id);
  }

  usage(key: string): ReturnType<typeof measureTree> {
    const row = this.#getActiveRow(key);
    const parentId = parentOf(row);
    const against =
      this.#driver.name === 'copy' && parentId !== undefined ? treeOf(this.#root, parentId) : undefined;
    return measureTree(treeOf(this.#root, idOf(row)), against);
  }

  dropLeftovers(isKept: (key: string) => boolean): void {
    for (const row of this.#db.all('SELECT id, key FROM snapshots WHERE committed = 0')) {
      if (!isKept(String(row['key']))) this.#dropTree(idOf(row));
    }
    for (const name of readdirSync(this.#root)) {
      const isStrayTree =
        /^\d+$/.test(name) &&
        this.#db.get('SELECT 1 FROM snapshots WHERE id = ?', Number(name)) === undefined;
      if (isStrayTree) this.#driver.forgetTree(Number(name));
      if (isStrayTree || name.startsWith('probe-')) this.#trash.throwAway(`${this.#root}/${name}`);
    }
    this.#trash.emptyLeftovers();
  }

  async unmountInBackground(target: string): Promise<void> {
    await runUmount(target);
    this.#mounts.delete(target);
  }

  isWhole(name: string): boolean {
    const found = this.find(name);
    return found !== undefined && existsSync(found.dir);
  }

  find(name: string): CommittedSnapshot | undefined {
    const row = this.#namedRow(name);
    return row === undefined ? undefined : this.#committedOf(name, row);
  }

  listDirs(name: string): readonly string[] {
    const id = idOf(this.#getNamedRow(name));
    return (this.#driver.name === 'overlay' ? this.#stackOf(id) : [id]).map((each) =>
      treeOf(this.#root, each),
    );
  }

  listActive(): readonly string[] {
    return this.#db.all('SELECT key FROM snapshots WHERE committed = 0').map((row) => String(row['key']));
  }

  drainTrash(): Promise<void> {
    return this.#trash.drain();
  }

  close(): Promise<void> {
    return this.#trash.close();
  }

  #activeRow(key: string): Row | undefined {
    return this.#db.get('SELECT * FROM snapshots WHERE key = ? AND committed = 0', key);
  }

  #namedRow(name: string): Row | undefined {
    const from = 'snapshot_names JOIN snapshots ON snapshots.id = snapshot_id';
    return this.#db.get(`SELECT snapshots.* FROM ${from} WHERE name = ?`, name);
  }
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

function idOf(row: Row): number {
  return Number(row['id']);
}

function parentOf(row: Row): number | undefined {
  return row['parent_id'] === null ? undefined : Number(row['parent_id']);
}
