import { availableParallelism } from 'node:os';
import { Semaphore, SingleFlight } from '#base/async/index.ts';
import { hostPlatform, type Platform } from '#oci/platform/index.ts';
import type { RegistryClient } from '#registry/client/types.ts';
import type { Changesets } from '#store/changeset/types.ts';
import type { ContentStore } from '#store/content/types.ts';
import type { ImageStore } from '#store/image/types.ts';
import type { LeaseStore } from '#store/lease/types.ts';
import type { SnapshotStore } from '#store/snapshot/types.ts';
import { Broadcast, type Report } from './progress.ts';

/** What a transfer works on. */
export interface TransferParts {
  readonly client: RegistryClient;
  readonly content: ContentStore;
  readonly images: ImageStore;
  readonly snapshots: SnapshotStore;
  readonly changesets: Changesets;
  readonly leases: LeaseStore;
  /** Platform of pulls that name none; default: of this process. */
  readonly platform?: Platform;
  readonly maxDownloads?: number;
  readonly maxUploads?: number;
}

/** The parts and what all transfers of one engine share: limits, and work under way that others can join. */
export interface TransferContext extends TransferParts {
  readonly platform: Platform;
  readonly downloads: Semaphore;
  readonly uploads: Semaphore;
  readonly unpacks: Semaphore;
  readonly packs: Semaphore;
  /** Downloads and unpackings by digest or chain ID, uploads by repository and digest. */
  readonly work: SharedWork;
}

const MAX_DOWNLOADS = 6;
const MAX_UPLOADS = 5;
const MAX_PACKS = 2;

/** Makes the context of one engine's transfers. */
export function createContext(parts: TransferParts): TransferContext {
  return {
    ...parts,
    platform: parts.platform ?? hostPlatform(),
    downloads: new Semaphore(parts.maxDownloads ?? MAX_DOWNLOADS),
    uploads: new Semaphore(parts.maxUploads ?? MAX_UPLOADS),
    unpacks: new Semaphore(Math.max(1, Math.min(4, availableParallelism()))),
    packs: new Semaphore(MAX_PACKS),
    work: new SharedWork(),
  };
}

/** Pieces of work by key; who comes while one is under way follows it instead of doing it again. */
export class SharedWork {
  readonly #flights = new SingleFlight<string, unknown>();
  readonly #broadcasts = new Map<string, Broadcast>();

  /**
   * Runs `work`, or follows the one under way for `key`. When the one followed fails, the work is done anew once:
   * its failure may have been about the other's rights.
   */
  async run<T>(
    key: string,
    report: Report,
    signal: AbortSignal | undefined,
    work: (report: Report, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const known = this.#broadcasts.get(key);
    try {
      return await this.#follow(key, report, signal, work);
    } catch (error) {
      if (known === undefined || signal?.aborted) throw error;
      return this.#follow(key, report, signal, work);
    }
  }

  async #follow<T>(
    key: string,
    report: Report,
    signal: AbortSignal | undefined,
    work: (report: Report, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const broadcast = this.#broadcasts.get(key) ?? new Broadcast();
    this.#broadcasts.set(key, broadcast);
    const unfollow = broadcast.follow(report);
    try {
      // The key names what is made, so its result has one type.
      return (await this.#flights.run(key, (shared) => work(broadcast.report, shared), signal)) as T;
    } finally {
      unfollow();
      if (!broadcast.isFollowed && this.#broadcasts.get(key) === broadcast) this.#broadcasts.delete(key);
    }
  }
}
