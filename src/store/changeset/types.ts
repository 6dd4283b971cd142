import type { InputCompression, OutputCompression } from '#base/bytes/types.ts';
import type { DiffId, Digest } from '#oci/digest/index.ts';

/**
 * One entry of a layer index. The index is a text blob: one JSON array a line,
 * `[path, type, sizeBytes, modeOctal, offset, contentDigest?, linkTarget?]`, in tar order; `offset` is where the
 * entry's data begins in the uncompressed tar. Types: f file, d directory, l symlink, h hard link, c, b, p, w whiteout, o opaque.
 */
export interface LayerIndexEntry {
  readonly path: string;
  readonly type: 'f' | 'd' | 'l' | 'h' | 'c' | 'b' | 'p' | 'w' | 'o';
  readonly sizeBytes: number;
  readonly mode: number;
  readonly offset: number;
  readonly contentDigest?: Digest;
  readonly linkTarget?: string;
}

/** What one pass over a layer yields. */
export interface LayerFacts {
  readonly diffId: DiffId;
  /** Bytes of the uncompressed tar. */
  readonly tarSizeBytes: number;
  /** Sum of regular file sizes: what `history` prints. */
  readonly contentSizeBytes: number;
  readonly entries: number;
  /** Directories that were made because entries lie in them, and that no entry describes (after unpacking). */
  readonly impliedDirs: number;
  /** File with the layer index, to be adopted by the content store. */
  readonly indexPath: string;
}

/** What unpacking yields. `diffId` is `undefined` for a `literal` archive: it is no layer, and nothing hashes it as a whole. */
export interface UnpackFacts extends Omit<LayerFacts, 'diffId' | 'indexPath'> {
  readonly diffId: DiffId | undefined;
}

/** Where layer bytes come from: a file (a blob), or a stream piped to the child. */
export type LayerSource = { readonly path: string } | { readonly stream: AsyncIterable<Uint8Array> };

/** What to unpack, where to, and within which limits. */
export interface UnpackOptions {
  readonly source: LayerSource;
  /** `auto`: by magic bytes. */
  readonly compression: InputCompression | 'auto';
  /** Directory the tar is unpacked into; the child is chrooted there. */
  readonly targetDir: string;
  /**
   * `overlay`: `.wh.` names become overlay whiteouts and opaque marks; `apply`: they delete in place (copy driver);
   * `literal`: no meaning (build contexts, ADD of an archive, docker cp, import).
   */
  readonly whiteouts: 'overlay' | 'apply' | 'literal';
  /** Lower directories (topmost first) for hard links to files of lower layers. */
  readonly lowerDirs?: readonly string[];
  /** File that receives the layer index; without it no file is hashed. */
  readonly indexPath?: string;
  readonly owner?: { readonly uid: number; readonly gid: number };
  /** Directory in the target that entries go below; links are followed up to the target, no further. */
  readonly under?: string;
  /** Refuses a file in place of a directory, and the other way round; else the new one replaces the old one. */
  readonly keepKinds?: boolean;
  /** Refuse more than this: decompression bombs. */
  readonly limits?: { readonly bytes?: number; readonly inodes?: number };
  readonly onProgress?: (readBytes: number) => void;
  readonly signal?: AbortSignal;
}

/** Where a packed layer goes, and in which format. */
export interface PackOptions {
  readonly format: OutputCompression;
  readonly level?: number;
  /** File that receives the bytes. */
  readonly outPath: string;
  readonly onProgress?: (tarBytes: number) => void;
  readonly signal?: AbortSignal;
}

/** A directory of changes and how to read it. */
export interface ChangesetDir {
  readonly dir: string;
  /** `overlay`: whiteout devices and opaque xattrs become `.wh.` entries; `plain`: the tree as it is. */
  readonly kind: 'overlay' | 'plain';
  /** `plain` with the copy driver: compare against this directory and emit differences only. */
  readonly against?: string;
}

/**
 * Layers between trees and tar streams; the work is done in child processes.
 * The same directory always gives the same tar bytes: a built layer is kept as its snapshot directory only, and
 * its tar is made again (and verified against the diffID) whenever someone needs it.
 */
export interface Changesets {
  /** @throws `invalid_argument` for a hostile or truncated layer; the target may then be half filled: drop it. */
  unpackLayer(options: UnpackOptions): Promise<UnpackFacts>;
  /** Hashes the tar of a changeset without keeping it. */
  describeChangeset(
    source: ChangesetDir,
    options: { readonly indexPath: string; readonly signal?: AbortSignal },
  ): Promise<LayerFacts>;
  /** Writes the tar of a changeset, compressed; checks it against `expect`. */
  packChangeset(
    source: ChangesetDir,
    options: PackOptions & { readonly expect?: DiffId },
  ): Promise<{
    readonly digest: Digest;
    readonly sizeBytes: number;
    readonly diffId: DiffId;
    readonly tarSizeBytes: number;
  }>;
  /** Streams the plain tar of a changeset (save, docker cp, export). */
  streamChangeset(
    source: ChangesetDir,
    options?: { readonly signal?: AbortSignal },
  ): AsyncIterable<Uint8Array>;
  /** Ends warm children. */
  close(): Promise<void>;
}
