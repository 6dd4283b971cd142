import type { ChainId, Digest } from '#oci/digest/index.ts';

/**
 * What a lease can keep: a blob by digest; a snapshot by one of its names, or an active one by its key (over a restart);
 * a layer by its diffID (in every stack) or by the chain ID of one stack.
 */
export type Resource =
  | { readonly kind: 'blob'; readonly key: string }
  | { readonly kind: 'snapshot'; readonly key: string }
  | { readonly kind: 'layer'; readonly key: string };

/** A dated claim that keeps content from gc. Disposing it gives the claim up. */
export interface Lease extends AsyncDisposable {
  readonly id: string;
  add(resource: Resource): void;
}

/** What a collection freed. */
export interface GcReport {
  readonly blobs: number;
  readonly snapshots: number;
  readonly bytes: number;
}

/** Leases and the collector. GC may run beside pulls, pushes and builds. */
export interface LeaseStore {
  /** With `ttlMs` it also outlives a restart of the engine, until then; without, it ends with the process at the latest. */
  createLease(options?: { readonly ttlMs?: number; readonly label?: string }): Lease;
  /**
   * Removes what neither an image, a container, the build cache nor a lease needs and what is older than the grace.
   * Works in short steps; one collection at a time, a second caller gets the result of the running one.
   */
  collectGarbage(signal?: AbortSignal): Promise<GcReport>;
  /** For the start: leases of the process before us. */
  dropProcessLeases(): void;
  /** Whether a lease holds this, now. */
  isLeased(resource: Resource): boolean;
}

/**
 * Removes single things at once when nothing refers to them any more (`rmi`): by indexed queries, without the grace.
 * Leases are respected, so whoever builds on something that exists leases it first.
 */
export interface Reclaimer {
  /** Chains topmost first, base last; stops at the first one that is needed. Returns those that went. */
  releaseChains(chainIds: readonly ChainId[]): readonly ChainId[];
  releaseBlobs(digests: readonly Digest[]): GcReport;
}
