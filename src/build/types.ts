import type { ImageId } from '#oci/config/index.ts';
import type { Platform } from '#oci/platform/index.ts';
import type { Reference } from '#oci/reference/index.ts';
import type { CredentialSource } from '#registry/auth/types.ts';
import type { TransferProgress } from '#registry/transfer/types.ts';
import type { ResourceLimits } from '#runtime/process/types.ts';

/** Where the build context comes from. */
export type ContextSource =
  | { readonly kind: 'tar'; readonly stream: AsyncIterable<Uint8Array> }
  | { readonly kind: 'directory'; readonly path: string }
  /** Git URL, tarball URL or the URL of a single Dockerfile. */
  | { readonly kind: 'remote'; readonly url: string };

/** Everything a build depends on. */
export interface BuildRequest {
  readonly context: ContextSource;
  /** Path inside the context; `Dockerfile` by default. May be a URL (remote Dockerfile). */
  readonly dockerfile: string;
  readonly tags: readonly Reference[];
  readonly buildArgs: Readonly<Record<string, string | null>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly target?: string;
  readonly platform?: Platform;
  readonly noCache: boolean;
  readonly pull: boolean;
  readonly cacheFrom: readonly string[];
  readonly network: 'none' | 'host' | 'default';
  readonly extraHosts: readonly string[];
  readonly limits: ResourceLimits;
  /** Docker's `rm`: print `Removing intermediate container`. */
  readonly removeIntermediate: boolean;
  /** Docker's `forcerm`: print it for a step that failed, too. */
  readonly forceRemove?: boolean;
  readonly quiet: boolean;
  readonly squash: boolean;
  readonly credentials: CredentialSource;
  readonly signal: AbortSignal;
}

/** What a running build tells. `onOutput` text is what the classic API sends as `{"stream": …}`. */
export interface BuildListener {
  readonly onOutput: (text: string) => void;
  readonly onProgress: (progress: TransferProgress) => void;
  readonly onImage: (id: ImageId) => void;
}

/** Builds images, and keeps their cache and records. */
export interface Builder {
  /** @throws {CodedError}; the message is Docker's. */
  build(
    request: BuildRequest,
    listener: BuildListener,
  ): Promise<{ readonly imageId: ImageId; readonly recordId: string }>;
  /** Build cache as `system df` lists it. */
  listCache(): readonly {
    readonly id: string;
    readonly description: string;
    readonly sizeBytes: number;
    readonly createdAt: Date;
    readonly usedAt: Date;
    readonly inUse: boolean;
  }[];
  pruneCache(options: {
    readonly all: boolean;
    readonly keepBytes?: number;
    readonly until?: Date;
  }): Promise<{ readonly ids: readonly string[]; readonly bytes: number }>;
  /** Stored build records, newest first. */
  listRecords(limit: number): readonly BuildRecord[];
  /** Stops running builds and the builder's threads; resolves when nothing is left mounted or running. */
  close(): Promise<void>;
}

/** One input of a step's cache key, by name, so that a miss can name the first that differs. */
export interface KeyComponent {
  /** For example `instruction`, `parent`, `env PATH`, `file src/main.c`, `platform`. */
  readonly name: string;
  readonly value: string;
}

/** What one step of a build did. */
export interface StepRecord {
  readonly number: number;
  readonly text: string;
  readonly cacheKey: string | undefined;
  readonly components: readonly KeyComponent[];
  readonly cached: boolean;
  /** Why it ran, when it ran: the nearest earlier record and the first component that differs. */
  readonly missReason?: string;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly diffId?: string;
  readonly sizeBytes: number;
  readonly log: string;
  readonly error?: string;
}

/** What a build did; stored when it ends, whether it worked or not. Times are milliseconds since 1970. */
export interface BuildRecord {
  readonly id: string;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly dockerfile: string;
  readonly contextDigest?: string;
  readonly tags: readonly string[];
  readonly target?: string;
  readonly platform: string;
  readonly imageId?: string;
  readonly error?: string;
  readonly steps: readonly StepRecord[];
}
