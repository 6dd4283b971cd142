import type { BuildJob, BuildResult, LayerInfo, StateResult } from '#build/op/types.ts';
import { describeDifference } from '#build/solver/index.ts';
import type { OpCall, ResultCache } from '#build/solver/types.ts';
import type { KeyComponent } from '#build/types.ts';
import type { LeaseStore } from '#store/lease/types.ts';
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
  const { db, snapshots, leases, describe } = options;
  const rows = new CacheRows(db);

  function findLayer(key: string): CacheRow | undefined {
    let row = rows.find(key);
    if (row?.document.kind === 'alias') row = rows.find(row.document.key);
    if (row?.document.kind !== 'layer') return undefined;
    if (snapshots.find(row.snapshot) !== undefined) return row;
    rows.forget(row.key);
    return undefined;
  }

  async function find(key: string, call: OpCall<BuildResult, BuildJob>): Promise<BuildResult | undefined> {
    const row = findLayer(key);
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
      layer: describe(row.snapshot, layer),
      createdAt: row.createdAt,
      ...(sourceHash === undefined ? {} : { sourceHash }),
    };
  }

  function store(
    entry: {
      readonly key: string;
      readonly aliases: readonly string[];
      readonly components: readonly KeyComponent[];
      readonly result: BuildResult;
      readonly durationMs: number;
    },
    call: OpCall<BuildResult, BuildJob>,
  ): void {
    const { key, aliases, components, result } = entry;
    if (result.kind !== 'state' || result.snapshot === undefined) return;
    const shared = { snapshot: result.snapshot, createdAt: result.createdAt, recordId: call.job.id };
    rows.put(
      { key, ...shared, sizeBytes: 0, document: layerDocument(result, call.vertex.name, components) },
      call.job.positionsOf(call.vertex),
    );
    for (const alias of aliases)
      rows.put({ key: alias, ...shared, sizeBytes: 0, document: { kind: 'alias', key } }, []);
    if (entry.durationMs > WRITE_AT_ONCE_MS) rows.flush();
  }

  function explain(
    key: string,
    components: readonly KeyComponent[],
    call: OpCall<BuildResult, BuildJob>,
  ): string | undefined {
    for (const position of call.job.positionsOf(call.vertex)) {
      const earlier = rows.findPosition(position);
      if (earlier === undefined) continue;
      if (earlier === key) return 'its cache entry was removed';
      const row = rows.find(earlier);
      if (row?.document.kind !== 'layer') continue;
      const difference = describeDifference(row.document.components, components);
      if (difference !== undefined) return difference;
    }
    return undefined;
  }

  return {
    find,
    store,
    explain,
    adopt: (_key, call) => call.job.adopt(call),
    noteLayer: (snapshot, layer) =>
      rows.updateSnapshot(snapshot, (row) => ({
        ...row,
        sizeBytes: layer.contentSizeBytes,
        document: row.document.kind === 'layer' ? { ...row.document, layer } : row.document,
      })),
    findConfigStep: (key) => {
      const row = rows.find(key);
      if (row?.document.kind !== 'config') return undefined;
      rows.markUsed(key);
      return row.createdAt;
    },
    storeConfigStep: (key, { name, createdAt, recordId }) =>
      rows.put(
        { key, snapshot: '', sizeBytes: 0, createdAt, recordId, document: { kind: 'config', name } },
        [],
      ),
    flush: (also) => rows.flush(also),
    list: () => {
      rows.flush();
      return listEntries(db, leases);
    },
    collect: async ({ keepBytes, unusedMs }) => {
      rows.flush();
      const until = new Date(Date.now() - unusedMs);
      dropForgotten(db, until);
      await pruneEntries({ db, snapshots, leases }, { all: true, until });
      await pruneEntries({ db, snapshots, leases }, { all: false, keepBytes });
    },
    prune: (pruneOptions) => {
      rows.flush();
      return pruneEntries({ db, snapshots, leases }, pruneOptions);
    },
  };
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
