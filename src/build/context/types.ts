import type { Digest } from '#oci/digest/index.ts';

/** Kinds of files, as in a layer index; `s` is a socket, which no layer can hold. */
export type EntryType = 'f' | 'd' | 'l' | 'c' | 'b' | 'p' | 's';

/** What is at a path, links not followed. `mode` has permission bits only. */
export interface TreeEntry {
  readonly type: EntryType;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  readonly linkTarget?: string;
  /** Known without reading the file. */
  readonly contentDigest?: Digest;
  /** Changes when a file of the same name is another file: path of the entry a hard link shares its bytes with. */
  readonly device?: number;
}

/**
 * A tree that copies read from. Paths have no leading slash, `''` is the root; nothing outside the root is ever read.
 * Synchronous: used in the tree worker only.
 */
export interface Tree {
  readonly root: string;
  /** Owner every entry counts as having; `undefined`: its own. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  find(path: string): TreeEntry | undefined;
  /** Names in a directory, in byte order. */
  list(path: string): readonly string[];
  /**
   * Where a file can be linked from: files that never change (a private context, the layers of a stage) may be shared by a
   * layer instead of being copied.
   */
  findLinkable(path: string): string | undefined;
  /** A descriptor of a regular file; the caller closes it. */
  openFile(path: string): number;
  /** The ignore pattern that hides `path`, if one does and the path exists. */
  hiddenBy(path: string): IgnoreLine | undefined;
  /**
   * The ignore pattern that kept `path` from being sent, when it is not here: who sends a context leaves out what it
   * ignores. `undefined` for a tree that is complete.
   */
  leftOutBy(path: string): IgnoreLine | undefined;
  close(): void;
}

/** A line of an ignore file. */
export interface IgnoreLine {
  readonly file: string;
  readonly line: number;
  readonly pattern: string;
}

/** An ignore file as it was found. */
export interface IgnoreText {
  readonly file: string;
  readonly text: string;
}

/** How to open a tree; plain data, it crosses to the worker. */
export type TreeSpec =
  /** A directory unpacked by the changeset child: everything is known from its index. */
  | {
      readonly kind: 'index';
      readonly root: string;
      readonly indexPath: string;
      readonly ignore?: IgnoreText;
    }
  /** A directory that is read when needed. */
  | {
      readonly kind: 'disk';
      readonly root: string;
      /** Directories that hold the files and never change, topmost first: `root` itself, or the layers that it shows. */
      readonly fixedDirs: readonly string[];
      /** Owner and group count as 0. */
      readonly rootOwned: boolean;
      readonly ignore?: IgnoreText;
    };
