/** What a lease can keep. */
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
  createLease(options?: { readonly ttlMs?: number; readonly label?: string }): Lease;
  collectGarbage(signal?: AbortSignal): Promise<GcReport>;
}
