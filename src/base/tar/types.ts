/** What a tar entry is. */
export type TarEntryType = 'file' | 'directory' | 'symlink' | 'hardlink' | 'char' | 'block' | 'fifo';

/** Seconds and nanoseconds since the epoch; `nanoseconds` is 0..999999999 before the epoch too. */
export interface TarTime {
  readonly seconds: number;
  readonly nanoseconds: number;
}

/** A stretch of a sparse file that is stored; everything between stretches is zeros. */
export interface SparseExtent {
  readonly offset: number;
  readonly sizeBytes: number;
}

/**
 * One entry, whatever dialect it was written in. Text keeps bytes that are not UTF-8 as lone surrogates
 * (`decodeName`), so that nothing is folded or lost.
 */
export interface TarHeader {
  /** As written: absolute, `./`, `..` and trailing slashes are still there. */
  readonly path: string;
  readonly type: TarEntryType;
  /** Target of a symlink or hard link, else `''`. */
  readonly linkTarget: string;
  /** Permission bits with suid, sgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Size of the file once written; for a sparse file more than is stored. */
  readonly sizeBytes: number;
  readonly modified: TarTime;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  readonly xattrs?: ReadonlyMap<string, Uint8Array>;
  readonly sparse?: readonly SparseExtent[];
}

/** A header as found, with its place in the archive. */
export interface FoundTarHeader extends TarHeader {
  /** Where the data begins in the archive. */
  readonly dataOffset: number;
  /** Bytes of data in the archive. */
  readonly storedBytes: number;
}
