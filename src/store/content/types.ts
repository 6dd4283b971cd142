import type { ByteStream } from '#base/bytes/types.ts';
import type { Digest, DigestAlgorithm } from '#oci/digest/index.ts';

/** A blob the store has: it has a row, so it is whole, verified and durable, or will be before anyone is told of it. */
export interface BlobInfo {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly createdAt: Date;
}

/** An unfinished write. Disposing without `commit` keeps the bytes for a later resume. */
export interface Ingest extends AsyncDisposable {
  readonly ref: string;
  /** Bytes held so far; a resumed ingest starts here. */
  readonly offset: number;
  write(chunk: Uint8Array): Promise<void>;
  /** Drops the bytes written so far (a server that ignored our Range). */
  truncate(): Promise<void>;
  /**
   * Verifies, syncs, renames, syncs the folder, adds the row; in that order. A blob that exists already is kept.
   * `durable: false` leaves the syncs to `Durability.settle`, as in `putBlob`.
   * @throws {DigestMismatchError} and the bytes are dropped.
   */
  commit(
    expected: { readonly digest: Digest; readonly sizeBytes?: number },
    options?: { readonly durable?: boolean },
  ): Promise<BlobInfo>;
}

/** Blobs by digest under `content/` (an OCI image layout). Nothing reads a blob that has no row. */
export interface ContentStore {
  /** A blob that was found damaged is not there until it is stored again. */
  findBlob(digest: Digest): BlobInfo | undefined;
  /** Whether a blob is known to be damaged: its file is gone, or was found to have other bytes since the start. */
  isDamaged(digest: Digest): boolean;
  /** Reads a blob's file to the end and tells whether it is what its digest names; remembers when it is not. */
  checkBlob(digest: Digest): Promise<boolean>;
  /** Path of a blob's file, for child processes. @throws {CodedError} `not_found`, `data_loss` once it was found damaged. */
  getBlobPath(digest: Digest): string;
  /** @throws {CodedError} `not_found`, `data_loss` when its file is missing. */
  openBlob(digest: Digest, range?: { readonly start: number; readonly end?: number }): ByteStream;
  /**
   * Whole blob in memory, for documents, checked against its digest.
   * @throws {CodedError} `not_found`, `data_loss` when it is damaged, `resource_exhausted` if larger than `limitBytes`.
   */
  readBlob(digest: Digest, limitBytes: number): Promise<Uint8Array>;
  /** As `readBlob`, at once: for documents of a few kilobytes. */
  readBlobNow(digest: Digest, limitBytes: number): Uint8Array;
  /**
   * Stores a document we have in memory. Idempotent. `durable: false` leaves the sync to `Durability.settle`, which
   * must come before anything that refers to the blob is acknowledged.
   */
  putBlob(bytes: Uint8Array, options?: { readonly durable?: boolean }): Promise<BlobInfo>;
  /**
   * Opens the ingest named `ref`, resuming at its current offset if one exists. One writer per ref at a time.
   * @throws {CodedError} `unavailable` while another writer holds `ref`; `resource_exhausted` on a full disk.
   */
  openIngest(ref: string): Promise<Ingest>;
  abortIngest(ref: string): Promise<void>;
  /** Takes over a finished file in the same file system: sync, rename, row. The caller has hashed it while writing. */
  adoptFile(
    path: string,
    blob: { readonly digest: Digest; readonly sizeBytes: number },
    options?: { readonly durable?: boolean },
  ): Promise<BlobInfo>;
  /** A fresh path under `content/ingest` for a child process to write to, then `adoptFile`. */
  reserveFile(): string;
  listBlobs(): Iterable<BlobInfo>;
  /** Digest of any file (sha256 unless given), computed off the event loop. */
  hashFile(path: string, algorithm?: DigestAlgorithm): Promise<Digest>;
  /** Passes a stream on, hashed off the event loop; its end is a `DigestMismatchError` when it was not `expected`. */
  verifyStream(stream: ByteStream, expected: Digest): ByteStream;
  /** For the collector: removes the file of a blob whose row is gone; does nothing while it has a row. */
  dropFile(digest: Digest): void;
  /** For the start: drops unfinished files that nobody can resume, and ingests untouched for a day. */
  dropLeftovers(): Promise<void>;
  /** For the collector: files of at least this age without a row, which a crash between rename and row left. */
  listStrayFiles(minAgeMs: number): AsyncIterable<Digest>;
  /** Ends the hash thread. Blobs stay readable. */
  close(): Promise<void>;
}
