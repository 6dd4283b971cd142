import type { ByteStream } from '#base/bytes/types.ts';
import type { Digest } from '#oci/digest/index.ts';
import type { DecodedManifest, Descriptor } from '#oci/manifest/index.ts';
import type { CredentialSource, Credentials } from '#registry/auth/types.ts';

/** Settings of a registry client; all hosts are written as in references (`docker.io`, `reg.example:5000`). */
export interface RegistryClientOptions {
  /** Hosts (or CIDR ranges of addresses) that may be used without TLS or with a certificate nobody signed. */
  readonly insecureRegistries?: readonly string[];
  /** Mirrors by registry, tried in order before the registry itself, for pulls only: `{'docker.io': ['https://mirror.corp']}`. */
  readonly mirrors?: Readonly<Record<string, readonly string[]>>;
  /** Folders with `<host>/*.crt` (roots) and `<host>/*.cert` + `*.key` (client), as Docker's `/etc/docker/certs.d`. */
  readonly certsDirs?: readonly string[];
  readonly userAgent?: string;
  /** Token service hosts on a foreign domain, by registry host. */
  readonly knownRealms?: Readonly<Record<string, string>>;
  readonly proxy?: { readonly http?: string; readonly https?: string; readonly no?: readonly string[] };
  readonly timeouts?: { readonly connectMs?: number; readonly headersMs?: number; readonly bodyMs?: number };
  readonly retry?: {
    readonly attempts?: number;
    readonly baseDelayMs?: number;
    readonly maxDelayMs?: number;
  };
}

/** What one use of a repository needs. */
export interface RepositoryOptions {
  readonly credentials: CredentialSource;
  readonly access: 'pull' | 'push';
  readonly signal?: AbortSignal;
}

/** The client: one per process, holds connections and tokens. */
export interface RegistryClient {
  /**
   * Finds a working endpoint for a repository (mirrors first for a pull) and learns how it wants to be authorized.
   * @throws {CodedError} `unavailable` with the address that was tried.
   */
  openRepository(
    name: { readonly registry: string; readonly repository: string },
    options: RepositoryOptions,
  ): Promise<RepositoryClient>;
  /** @throws {CodedError} `unauthenticated` with Docker's text. */
  checkLogin(
    registry: string,
    credentials: Credentials,
    signal?: AbortSignal,
  ): Promise<{ readonly status: string; readonly identityToken?: string }>;
  close(): Promise<void>;
}

/** How the bytes of a blob are read again from `offset`; an upload that is retried calls it anew. */
export type BlobOpener = (offset: number) => ByteStream;

/** One repository on one registry (or a mirror of it). Everything that comes back is verified. */
export interface RepositoryClient {
  readonly registry: string;
  readonly repository: string;
  /** Origin in use, such as `https://registry-1.docker.io`. */
  readonly origin: string;
  /** Tag or digest to descriptor: HEAD, or GET when the registry's HEAD says too little. @throws `not_found`. */
  resolveManifest(tagOrDigest: string, signal?: AbortSignal): Promise<Descriptor>;
  /** @throws {CodedError} `data_loss` when the bytes are not those of the digest asked for. */
  fetchManifest(tagOrDigest: string, signal?: AbortSignal): Promise<DecodedManifest>;
  /** Bytes of a blob from `offset`; the answer's `offset` is 0 when the registry ignored the range. Not verified. */
  openBlob(
    digest: Digest,
    options?: { readonly offset?: number; readonly signal?: AbortSignal | undefined },
  ): Promise<{ readonly body: ByteStream; readonly offset: number }>;
  hasBlob(digest: Digest, signal?: AbortSignal): Promise<boolean>;
  /** Asks for the blob of another repository; `false` when the registry did not do it. */
  mountBlob(digest: Digest, from: string, signal?: AbortSignal): Promise<boolean>;
  uploadBlob(
    descriptor: Pick<Descriptor, 'digest' | 'size'>,
    open: BlobOpener,
    options?: {
      readonly onProgress?: (sentBytes: number) => void;
      readonly signal?: AbortSignal | undefined;
    },
  ): Promise<void>;
  /**
   * Uploads a blob while it is being made: its bytes as they come, then what `finished` says of them. Tried once; `false` when the
   * registry, or what lies before it, did not take it in this way: the whole blob is to be uploaded then. `open` may be called
   * again, and must then begin anew.
   * @throws when the registry takes no upload at all.
   */
  uploadUnfinished(
    open: () => ByteStream,
    finished: Promise<Pick<Descriptor, 'digest' | 'size'>>,
    options?: { readonly signal?: AbortSignal | undefined },
  ): Promise<boolean>;
  /** Returns the digest under which the registry keeps the manifest. */
  putManifest(
    tagOrDigest: string,
    manifest: { readonly bytes: Uint8Array; readonly mediaType: string },
    signal?: AbortSignal,
  ): Promise<Digest>;
  listTags(signal?: AbortSignal): AsyncIterable<string>;
  listReferrers(digest: Digest, artifactType?: string, signal?: AbortSignal): Promise<readonly Descriptor[]>;
  deleteManifest(tagOrDigest: string, signal?: AbortSignal): Promise<void>;
  /** Facts for an error's help: whether credentials were used, and why not. */
  readonly access: {
    readonly authenticated: boolean;
    readonly username?: string;
    readonly withheld?: string;
  };
}
