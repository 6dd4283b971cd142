import type { BuildJob, BuildResult, LayerInfo, StateResult } from '#build/op/types.ts';
import { describeDifference } from '#build/solver/index.ts';
import type { OpCall, ResultCache } from '#build/solver/types.ts';
import type { KeyComponent } from '#build/types.ts';
import type { LeaseStore, Reclaimer } from '#store/lease/types.ts';
import type { Database } from '#store/metadata/index.ts';
import type { SnapshotName, SnapshotStore } from '#store/snapshot/types.ts';
import { type CacheEntry, dropForgotten, listEntries, type PruneOptions, pruneEntries } from './prune.ts';
import { CacheRows } from './rows.ts';
import type { CacheRow } from './types.ts';

/** A step that took this long is written at once: losing it to a crash would hurt. */
const WRITE_AT_ONCE_MS = 2000;

/** What the cache needs. */
export interface BuildCacheOptions {
  readonly db: Database;
  readonly snapshots: Pick<SnapshotStore, 'find' | 'remove'>;
  readonly leases: Pick<LeaseStore, 'isLeased'>;
  readonly reclaimer: Pick<Reclaimer, 'releaseChains'>;
  readonly describe: (snapshot: SnapshotName, known: LayerInfo | undefined) => () => Promise<LayerInfo>;
}

/** The build cache: layers this engine made itself, and when config steps were first made. */
export interface BuildCache extends ResultCache<BuildResult, BuildJob> {
  /** Notes what describing a snapshot found. */
  noteLayer(snapshot: SnapshotName, layer: LayerInfo): void;
  /** When a config step was made first, if it was. */
  findConfigStep(key: string): number | undefined;
  storeConfigStep(
    key: string,
    step: { readonly name: string; readonly createdAt: number; readonly recordId: string },
  ): void;
  /** Writes what builds have found since, in one transaction which `also` joins. */
  flush(also?: () => void): void;
  list(): readonly CacheEntry[];
  prune(options: PruneOptions): Promise<{ readonly ids: readonly string[]; readonly bytes: number }>;
  /** Keeps the cache within its bounds: the least recently used goes first. */
  collect(limits: { readonly keepBytes: number; readonly unusedMs: number }): Promise<void>;
}

/** Makes the cache over `build_cache` and `build_positions`. */
export function createBuildCache(options: BuildCacheOptions): BuildCache {
  return new StoredCache(options);
}

type Call = OpCall<BuildResult, BuildJob>;

class StoredCache implements BuildCache {
  readonly #options: BuildCacheOptions;
  readonly #rows: CacheRows;

  constructor(options: BuildCacheOptions) {
    this.#options = options;
    this.#rows = new CacheRows(options.db);
  }

  async find(key: string, call: Call): Promise<BuildResult | undefined> {
    const rows = this.#rows;
    const row = this.#findLayer(key);
    if (row === undefined || row.document.kind !== 'layer') return undefined;
    // Claimed before anything is awaited: from here on nobody takes it away.
    call.job.claim([{ kind: 'snapshot', key: row.snapshot }]);
    rows.markUsed(row.key);
    for (const position of call.job.positionsOf(call.vertex)) {
      if (rows.findPosition(position) !== row.key) rows.setPosition(position, row.key);
    }
    const { id, layer, sourceHash } = row.document;
    const parent = call.inputs[0];
    return {
      kind: 'state',
      id,
      snapshot: row.snapshot,
      ...(parent?.kind === 'state' ? { parent } : {}),
      layer: this.#options.describe(row.snapshot, layer),
      createdAt: row.createdAt,
      ...(sourceHash === undefined ? {} : { sourceHash }),
    };
  }

  #findLayer(key: string): CacheRow | undefined {
    let row = this.#rows.find(key);
    if (row?.document.kind === 'alias') row = this.#rows.find(row.document.key);
    if (row?.document.kind !== 'layer') return undefined;
    if (this.#options.snapshots.find(row.snapshot) !== undefined) return row;
    this.#rows.forget(row.key);
    return undefined;
  }

  store(entry: Parameters<BuildCache['store']>[0], call: Call): void {
    const { key, aliases, components, result } = entry;
    if (result.kind !== 'state' || result.snapshot === undefined) return;
    const shared = {
      snapshot: result.snapshot,
      createdAt: result.createdAt,
      recordId: call.job.id,
      sizeBytes: 0,
    };
    const document = layerDocument(result, call.vertex.name, components);
    this.#rows.put({ key, ...shared, document }, call.job.positionsOf(call.vertex));
    for (const alias of aliases)
      this.#rows.put({ key: alias, ...shared, document: { kind: 'alias', key } }, []);
    if (entry.durationMs > WRITE_AT_ONCE_MS) this.#rows.flush();
  }

  adopt(_key: string, call: Call): Promise<BuildResult | undefined> {
    return call.job.adopt(call);
  }

  explain(key: string, components: readonly KeyComponent[], call: Call): string | undefined {
    for (const position of call.job.positionsOf(call.vertex)) {
      const earlier = this.#rows.findPosition(position);
      if (earlier === undefined) continue;
      if (earlier === key) return 'its cache entry was removed';
      const row = this.#rows.find(earlier);
      if (row?.document.kind !== 'layer') continue;
      const difference = describeDifference(row.document.components, components);
      if (difference !== undefined) return difference;
    }
    return undefined;
  }

  noteLayer(snapshot: SnapshotName, layer: LayerInfo): void {
    this.#rows.updateSnapshot(snapshot, (row) => ({
      ...row,
      sizeBytes: layer.contentSizeBytes,
      document: row.document.kind === 'layer' ? { ...row.document, layer } : row.document,
    }));
  }

  findConfigStep(key: string): number | undefined {
    const row = this.#rows.find(key);
    if (row?.document.kind !== 'config') return undefined;
    this.#rows.markUsed(key);
    return row.createdAt;
  }

  storeConfigStep(
    key: string,
    {
      name,
      createdAt,
      recordId,
    }: { readonly name: string; readonly createdAt: number; readonly recordId: string },
  ): void {
    this.#rows.put(
      { key, snapshot: '', sizeBytes: 0, createdAt, recordId, document: { kind: 'config', name } },
      [],
    );
  }

  flush(also?: () => void): void {
    this.#rows.flush(also);
  }

  list(): readonly CacheEntry[] {
    this.#rows.flush();
    return listEntries(this.#options.db, this.#options.leases);
  }

  prune(options: PruneOptions): Promise<{ readonly ids: readonly string[]; readonly bytes: number }> {
    this.#rows.flush();
    return pruneEntries(this.#options, options);
  }

  async collect(limits: { readonly keepBytes: number; readonly unusedMs: number }): Promise<void> {
    this.#rows.flush();
    const until = new Date(Date.now() - limits.unusedMs);
    dropForgotten(this.#options.db, until);
    await pruneEntries(this.#options, { all: true, until });
    await pruneEntries(this.#options, { all: false, keepBytes: limits.keepBytes });
  }
}

function layerDocument(
  result: StateResult,
  name: string,
  components: readonly KeyComponent[],
): CacheRow['document'] {
  return {
    kind: 'layer',
    id: result.id,
    name,
    components,
    ...(result.sourceHash === undefined ? {} : { sourceHash: result.sourceHash }),
  };
}
