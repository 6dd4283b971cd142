/**
 * What the registry server needs from others, and what it tells them.
 *
 *     request ─► authenticate (who) ─► Authorizer (may they) ─► route ─► RegistryMetadata (rows) ─► BlobStorage (bytes)
 *                                                                              └► RegistryEvents
 */

import type { Digest, DigestAlgorithm } from '#oci/digest/index.ts';
import type { Descriptor } from '#oci/manifest/index.ts';
import type { ByteRange } from '#registry/protocol/index.ts';

/** What a subject may do in one repository. `push` adds; moving a tag that exists needs `overwrite` as well. */
export type Right = 'pull' | 'push' | 'overwrite' | 'delete';

/** Who asks. `name` is empty for everyone who has not signed in; `credential` names the token they signed in with. */
export interface Subject {
  readonly name: string;
  readonly credential?: string;
}

/**
 * The one policy function, asked on every request. It also answers for repositories that do not exist yet. With a `tag`
 * it says whether that one may be moved; without, whether any may.
 */
export interface Authorizer {
  rightsOf(
    subject: Subject,
    repository: string,
    tag?: string,
  ): Promise<ReadonlySet<Right>> | ReadonlySet<Right>;
}

/** The accounts behind the token service and Basic sign-in. */
export interface AccountDirectory extends Authorizer {
  /** Checks a password or a personal access token; takes as long for an unknown name as for a wrong secret. */
  verifyPassword(name: string, secret: string): Promise<Subject | undefined>;
}

/** A subject together with what its credential is limited to. */
export interface Identity {
  readonly subject: Subject;
  /** Whether the credential itself covers this use; the rights of the account are asked for separately. */
  covers(repository: string, right: Right): boolean;
}

/** What an `Authenticator` sees of a request. */
export interface Credential {
  readonly authorization: string | undefined;
  readonly address: string;
}

/** Turns an `Authorization` header into a subject. */
export interface Authenticator {
  /** @throws {CodedError} `unauthenticated` for credentials that are wrong; none at all is the anonymous identity. */
  authenticate(credential: Credential): Promise<Identity>;
  /** The `WWW-Authenticate` header that tells a client what to get, or `undefined` where nothing can be got. */
  challenge(request: {
    readonly host: string;
    readonly scope?: string | undefined;
    readonly error?: 'invalid_token' | 'insufficient_scope' | undefined;
  }): string | undefined;
  /** Whether requests without credentials may be tried at all (`GET /v2/` answers 200 to them). */
  readonly open: boolean;
}

/** Where a blob's bytes are: beside its row when small, else under a key of the storage. */
export type BlobLocation = { readonly content: Uint8Array } | { readonly key: string };

/** A blob that a repository may read. */
export interface StoredBlob {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly location: BlobLocation;
  /** Nothing refers to it: it leaves the repository when its grace ends, unless `renewBlob` is called. */
  readonly isUnreferenced: boolean;
}

/** A manifest that a repository may read; `bytes` are exactly those that were pushed. */
export interface StoredManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Uint8Array;
}

/** One page of a sorted list: what follows `last` (exclusive), at most `limit` entries. */
export interface Page {
  readonly last?: string | undefined;
  readonly limit: number;
}

/** A finished upload about to become a blob. */
export interface NewBlob {
  readonly repository: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly location: BlobLocation;
  /** The session it came from; its row goes in the same transaction. */
  readonly uploadId?: string | undefined;
}

/** A manifest about to be stored, with everything that is derived from its bytes. */
export interface NewManifest {
  readonly repository: string;
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Uint8Array;
  readonly artifactType: string | undefined;
  readonly subject: Digest | undefined;
  readonly annotations: Readonly<Record<string, string>> | undefined;
  /** Config and layers, or the manifests of an index. */
  readonly references: readonly ManifestReference[];
  /** Bytes of config and layers together. */
  readonly contentSizeBytes: number;
  readonly tags: readonly string[];
  readonly pushedBy: string;
  /** Those of `tags` that must not move when they name another manifest. */
  readonly fixedTags: readonly string[];
}

/** One thing a manifest points at; `isRequired` when it must be in the repository already. */
export interface ManifestReference {
  readonly kind: 'blob' | 'manifest';
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly isRequired: boolean;
}

/** An upload that has begun. How many bytes it holds is the storage's to say. */
export interface Upload {
  readonly id: string;
  readonly repository: string;
  readonly subject: string;
  readonly algorithm: DigestAlgorithm;
}

/** Rows about blobs. A blob is reached only through the link of a repository, in the transaction that reads it. */
export interface BlobRecords {
  findBlob(repository: string, digest: Digest): Promise<StoredBlob | undefined>;
  /**
   * Restarts the grace of a blob that nothing refers to, because somebody will be told it is there; false if it has left
   * the repository meanwhile.
   */
  renewBlob(repository: string, digest: Digest): Promise<boolean>;
  /**
   * Makes a durable blob part of a repository; durable when it resolves. When the same bytes are known already the new
   * copy is not needed: `isKept` is false and the caller drops it. `isIntact` says whether the known copy can be read.
   */
  addBlob(
    blob: NewBlob,
    isIntact: (location: BlobLocation) => Promise<boolean>,
  ): Promise<{ readonly isKept: boolean }>;
  /** Links a blob of `from` into `to`; false if `from` does not have it. Durable when it resolves. */
  mountBlob(mount: { readonly digest: Digest; readonly from: string; readonly to: string }): Promise<boolean>;
  /** Some repositories that have the blob. */
  listBlobRepositories(digest: Digest, limit: number): Promise<readonly string[]>;
  /** Takes the blob out of the repository; false if it was not there. */
  deleteBlob(repository: string, digest: Digest): Promise<boolean>;
}

/** Rows about manifests and tags. */
export interface ManifestRecords {
  findManifest(repository: string, reference: string): Promise<StoredManifest | undefined>;
  /**
   * Checks what the manifest refers to, stores it and moves its tags, all in one transaction; durable when it resolves.
   * @throws {CodedError} `not_found` about a `manifest-blob`, `invalid_argument` about a `size`, `conflict` about a `tag`.
   */
  putManifest(manifest: NewManifest): Promise<void>;
  /** Deletes by digest, with its tags; false if it was not there. */
  deleteManifest(repository: string, digest: Digest): Promise<boolean>;
  deleteTag(repository: string, tag: string): Promise<boolean>;
  /** Sorted by bytes; `undefined` if there is no such repository. */
  listTags(repository: string, page: Page): Promise<readonly string[] | undefined>;
  listReferrers(
    repository: string,
    subject: Digest,
    page: Page & { readonly artifactType?: string | undefined },
  ): Promise<readonly Descriptor[]>;
}

/** What goes when some tags go, and the bytes that nothing else on this registry needs. */
export interface TagRemoval {
  /** Of the tags asked for, those that are there. */
  readonly tags: readonly string[];
  /** Manifests that nothing names any more: no tag, no index; with what refers to them. */
  readonly manifests: readonly Digest[];
  /** Compressed bytes of blobs that only these manifests use, in any repository. */
  readonly freedBytes: number;
}

/** Repositories as a whole. */
export interface RepositoryRecords {
  listRepositories(page: Page): Promise<readonly string[]>;
  /** Deletes a repository with everything in it; false if there is none. Visible at once, files go later. */
  deleteRepository(repository: string): Promise<boolean>;
  /** What `removeTags` would do now. */
  previewRemoval(repository: string, tags: readonly string[], limit?: RemovalLimit): Promise<TagRemoval>;
  /** Removes tags together with the manifests that nothing names then, in one transaction. */
  removeTags(repository: string, tags: readonly string[], limit?: RemovalLimit): Promise<TagRemoval>;
}

/** What a removal does not touch. */
export interface RemovalLimit {
  /** Tags that were pushed at this time or later stay: whoever decided has not seen them. */
  readonly pushedBefore?: Date;
}

/** Rows about uploads. */
export interface UploadRecords {
  /** Resolves when every process that serves this database can see it. */
  saveUpload(upload: Upload): Promise<void>;
  findUpload(id: string): Promise<Upload | undefined>;
  deleteUpload(id: string): Promise<void>;
  /** Uploads that nobody touched since `before`. */
  listIdleUploads(before: Date, limit: number): Promise<readonly string[]>;
}

/** How long things stay after nothing refers to them. */
export interface Grace {
  /** A blob that was pushed and that no manifest refers to yet. */
  readonly unreferencedMs: number;
  /** A blob whose last manifest was deleted, and the file of a blob that no repository has. */
  readonly deletedMs: number;
  /** A file whose row is gone: readers that found the row before have opened it by then. */
  readonly fileMs: number;
}

/** The collector's side: it follows a queue, never a scan. */
export interface GarbageRecords {
  /** Removes rows whose grace has ended. Returns how many were looked at and how many blobs have lost their row. */
  sweep(now: Date, limit: number): Promise<{ readonly examined: number; readonly removed: number }>;
  /** Storage keys whose files can go; `forgetKeys` when they are gone. */
  listDoomedKeys(now: Date, limit: number): Promise<readonly string[]>;
  forgetKeys(keys: readonly string[]): Promise<void>;
}

/** Everything the registry remembers. SQLite now; PostgreSQL passes the same `metadata.contract.ts`. */
export interface RegistryMetadata
  extends BlobRecords,
    ManifestRecords,
    RepositoryRecords,
    UploadRecords,
    GarbageRecords {
  /** Whether other processes write to it: then nothing of it may be cached. */
  readonly isShared: boolean;
  /** Forgets what is cached: somebody wrote to these rows in a transaction of their own. */
  refresh(): void;
  /** Resolves when everything written so far is durable. */
  flush(): Promise<void>;
}

/** An upload being written. Bytes stay after a crash of the process; only `finish` makes them durable. */
export interface BlobWriter {
  /** Bytes held so far. */
  readonly offset: number;
  /** Appends; the buffers are free again when it resolves. */
  write(chunks: readonly Uint8Array[]): Promise<void>;
  close(): Promise<void>;
}

/** Where bytes are kept: a folder now, a bucket later. Keys are ours (random), never names from outside. */
export interface BlobStorage {
  /** @throws {CodedError} `resource_exhausted` when so little room would be left that only deleting should go on. */
  checkRoom(wantedBytes?: number): Promise<void>;
  /** Opens the upload for appending, creating it; one writer at a time. */
  openWriter(key: string): Promise<BlobWriter>;
  /** Bytes an upload holds; `undefined` if it holds none yet. */
  uploadSize(key: string): Promise<number | undefined>;
  truncateUpload(key: string, sizeBytes: number): Promise<void>;
  /** Path or content of an unfinished upload, for hashing elsewhere. */
  readUpload(key: string): Promise<Uint8Array>;
  hashUpload(key: string, algorithm: DigestAlgorithm): UploadHash;
  abortUpload(key: string): Promise<void>;
  /** Makes a whole upload durable under its key. */
  finishUpload(key: string): Promise<void>;
  /** Size of a finished blob, `undefined` if it is not there. */
  blobSize(key: string): Promise<number | undefined>;
  /** Reads a range; chunks are valid until the next is asked for. @throws {CodedError} `data_loss` if it is not there. */
  openBlob(key: string, range: ByteRange): AsyncIterable<Uint8Array>;
  removeBlob(key: string): Promise<void>;
}

/** The running hash of an upload, computed off the event loop from the bytes as stored. */
export interface UploadHash {
  readonly algorithm: DigestAlgorithm;
  /** Says that the upload now holds at least `offset` bytes; returns at once. */
  advance(offset: number): void;
  /** The digest of exactly the first `sizeBytes`. */
  digest(sizeBytes: number): Promise<Digest>;
  drop(): void;
}

/** What happened, for pages, counters and webhooks. Emitted after the answer is durable. */
export type RegistryEvent =
  | {
      readonly kind: 'push';
      readonly repository: string;
      readonly tags: readonly string[];
      readonly digest: Digest;
      readonly mediaType: string;
      readonly manifestSizeBytes: number;
      readonly contentSizeBytes: number;
      readonly subject: string;
      readonly at: Date;
    }
  | {
      readonly kind: 'pull';
      readonly repository: string;
      readonly reference: string;
      readonly digest: Digest;
      readonly subject: string;
      readonly at: Date;
    }
  | {
      readonly kind: 'delete';
      readonly repository: string;
      readonly tag?: string;
      readonly digest?: Digest;
      readonly subject: string;
      readonly at: Date;
    };

/** Listeners must be quick; one that throws is logged and otherwise ignored. */
export interface RegistryEvents {
  subscribe(listener: (event: RegistryEvent) => void): () => void;
}
