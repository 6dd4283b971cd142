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
  /**
   * Mounts an active snapshot at `target` (created when missing). Sync and fast: one mount(2).
   * `volatile` (build steps, unpacking): syncs inside the mount do nothing, and unmounting it takes 3 ms instead of a
   * sync of the whole file system; what it wrote is made durable by `commit` or by `Durability.settle`.
   */
  mountAt(key: string, target: string, options?: { readonly volatile?: boolean }): void;
  /** Read-only view of a committed snapshot; `undefined`: an empty directory. */
  mountViewAt(name: SnapshotName | undefined, target: string): void;
  /** Idempotent. For views and volatile mounts: any other waits for a sync of the file system, on the event loop. */
  unmount(target: string): void;
  /** As `unmount`, but a sync that the kernel makes of a writable overlay does not stop the event loop. */
  unmountInBackground(target: string): Promise<void>;
  /**
   * Makes the active snapshot `key` immutable under `name`. When `name` exists already the active one is dropped.
   * Durable when it returns; with `durable: false` it survives a kill at once, and a power loss after the next
   * `Durability.settle` (`ImageStore.addImage` calls it). `parent` puts it on another parent than it was prepared on,
   * so that layers can be unpacked side by side (overlay driver only).
   * @throws {CodedError} `failed_precondition` while it is mounted.
   */
  commit(
    key: string,
    name: SnapshotName,
    options?: { readonly sizeBytes?: number; readonly durable?: boolean; readonly parent?: SnapshotName },
  ): Promise<CommittedSnapshot>;
  /** Gives a committed snapshot its final name (its chain ID); the old name goes on working until released. */
  addName(name: SnapshotName, alias: SnapshotName): void;
  find(name: SnapshotName): CommittedSnapshot | undefined;
  /** Whether a committed snapshot is here with its tree: a tree that somebody removed is made again by the next `commit`. */
  isWhole(name: string): boolean;
  /** Directories of the stack that ends in `name`, topmost first. */
  listDirs(name: SnapshotName): readonly string[];
  /**
   * Removes an active snapshot, or the name of a committed one; its tree goes with the last name, in the background.
   * Unknown names are nothing to do.
   * @throws {CodedError} `failed_precondition` when it is the last name and another snapshot is based on it, or the
   *   active one is mounted.
   */
  remove(keyOrName: string): Promise<void>;
  /** Keys of the active snapshots. */
  listActive(): readonly string[];
  /** For the start: drops active snapshots that `isKept` does not claim, and trees without a row. */
  dropLeftovers(isKept: (key: string) => boolean): void;
  /** Resolves when the trees of removed snapshots are gone from the disk. */
  drainTrash(): Promise<void>;
  close(): Promise<void>;
  /** Changed bytes and inodes of an active snapshot. */
  usage(key: string): Promise<{ readonly sizeBytes: number; readonly inodes: number }>;
}
