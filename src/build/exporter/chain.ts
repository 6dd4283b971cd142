import type { LayerInfo, StateResult } from '#build/op/types.ts';
import { type ChainId, type DiffId, extendChain } from '#oci/digest/index.ts';
import type { ImageStore } from '#store/image/types.ts';
import type { Database } from '#store/metadata/index.ts';
import type { SnapshotName, SnapshotStore } from '#store/snapshot/types.ts';

/** A layer made by this build or an earlier one, in the order of the image. */
export interface ExportLayer {
  readonly info: LayerInfo;
  readonly snapshot: SnapshotName;
}

/** DiffIDs of a state, base first; waits for its layers to be described. Layers without a change are left out. */
export async function listDiffIds(state: StateResult | undefined): Promise<readonly DiffId[]> {
  const { base, layers } = await collectLayers(state);
  return [
    ...(base?.base?.image.layers.map(({ diffId }) => diffId) ?? []),
    ...layers.map(({ info }) => info.diffId),
  ];
}

/**
 * Makes the layers of a state known to the image store: each snapshot gets its chain ID as a name, then its row. Nothing
 * is durable until `addImage` has returned.
 */
export async function registerLayers(
  state: StateResult | undefined,
  store: {
    readonly db: Pick<Database, 'transaction'>;
    readonly images: Pick<ImageStore, 'addLayer'>;
    readonly snapshots: Pick<SnapshotStore, 'find' | 'addName'>;
  },
): Promise<void> {
  const { base, layers } = await collectLayers(state);
  const register = (): void => {
    let chainId: ChainId | undefined = base?.base?.chainIds.at(-1);
    for (const { info, snapshot } of layers) {
      chainId = extendChain(chainId, info.diffId);
      if (store.snapshots.find(chainId) === undefined) store.snapshots.addName(snapshot, chainId);
      store.images.addLayer(
        {
          diffId: info.diffId,
          tarSizeBytes: info.tarSizeBytes,
          contentSizeBytes: info.contentSizeBytes,
          indexDigest: info.indexDigest,
        },
        { chainId },
      );
    }
  };
  store.db.transaction(register, { durable: false }); // the image that is added next makes it durable
}

async function collectLayers(
  state: StateResult | undefined,
): Promise<{ readonly base: StateResult | undefined; readonly layers: readonly ExportLayer[] }> {
  const layers: ExportLayer[] = [];
  let at = state;
  for (; at !== undefined && at.base === undefined; at = at.parent) {
    if (at.layer === undefined || at.snapshot === undefined) continue;
    const info = await at.layer();
    if (!info.isEmpty) layers.push({ info, snapshot: at.snapshot });
  }
  return { base: at, layers: layers.reverse() };
}
