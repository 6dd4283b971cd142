/** Name of a committed snapshot: a chain ID, or `build/<vertex digest>` until its chain ID is known. */
export type SnapshotName = string;

/** A mount an active or read-only view of a snapshot needs: overlay options are already joined. */
export interface SnapshotMount {
  readonly type: 'overlay' | 'bind';
  readonly source: string;
  /** For overlay: lower directories, topmost first. */
  readonly lowerDirs: readonly string[];
  readonly upperDir?: string;
  readonly workDir?: string;
  readonly readonly: boolean;
}

/** A writable filesystem state, known by its key until it is committed or removed. */
export interface ActiveSnapshot {
  readonly key: string;
  readonly parent: SnapshotName | undefined;
  /** Directory that holds only this snapshot's changes (overlay driver) or the whole tree (copy driver). */
  readonly upperDir: string;
  /** Lower directories, topmost first. Empty with the copy driver. */
  readonly lowerDirs: readonly string[];
  readonly mount: SnapshotMount;
}

/** A committed snapshot. */
export interface CommittedSnapshot {
  readonly name: SnapshotName;
  readonly parent: SnapshotName | undefined;
  /** This layer's own directory; immutable. */
  readonly dir: string;
  readonly sizeBytes: number;
}

/** Mountable trees. Implemented by the overlay and the copy driver under one contract suite. */
export interface SnapshotStore {
  readonly driver: 'overlay' | 'copy';
  /** A writable layer on top of `parent` (`undefined`: empty). @throws `already_exists`, `not_found`. */
  prepare(key: string, parent: SnapshotName | undefined): Promise<ActiveSnapshot>;
  getActive(key: string): ActiveSnapshot;
  /** Mounts an active snapshot at `target` (created when missing). Sync and fast: one mount(2). */
  mountAt(key: string, target: string): void;
  /** Read-only view of a committed snapshot. */
  mountViewAt(name: SnapshotName | undefined, target: string): void;
  unmount(target: string): void;
  /**
   * Makes the active snapshot `key` immutable under `name`: sync, then row. When `name` exists already the active one is dropped.
   */
  commit(
    key: string,
    name: SnapshotName,
    options?: { readonly sizeBytes?: number },
  ): Promise<CommittedSnapshot>;
  /** Gives a committed snapshot its final name (its chain ID); the old name goes on working until released. */
  addName(name: SnapshotName, alias: SnapshotName): void;
  find(name: SnapshotName): CommittedSnapshot | undefined;
  /** Directories of the stack that ends in `name`, topmost first. */
  listDirs(name: SnapshotName): readonly string[];
  /** Removes an active snapshot, or the name of a committed one; trees go when nothing refers to them. */
  remove(keyOrName: string): Promise<void>;
  /** Changed bytes and inodes of an active snapshot. */
  usage(key: string): Promise<{ readonly sizeBytes: number; readonly inodes: number }>;
}
