import type { EventPublisher } from '#engine/server/events/index.ts';
import { createRegistrySearch, type ImageBackend } from '#engine/server/image/index.ts';
import type { ImageTransfer } from '#registry/transfer/types.ts';
import type { Store } from '#store/root/index.ts';

/** What the image routes work on. */
export interface ImageParts {
  readonly store: Store;
  readonly transfer: ImageTransfer;
  readonly archives: ImageBackend['archives'];
  readonly events: EventPublisher;
  readonly userAgent: string;
  readonly listUsers: ImageBackend['listUsers'];
  readonly applyChanges: ImageBackend['applyChanges'];
}

/** Puts the image routes' backend together. */
export function createImageBackend(parts: ImageParts): ImageBackend {
  const { store, transfer, archives, events, listUsers, applyChanges } = parts;
  return {
    images: store.images,
    transfer,
    archives,
    events,
    listUsers,
    applyChanges,
    search: createRegistrySearch({ userAgent: parts.userAgent }),
    describeStorage: ({ chainId }) => {
      const [upper, ...lower] = chainId === undefined ? [] : store.snapshots.listDirs(chainId);
      if (store.snapshots.driver === 'copy' || upper === undefined)
        return { Name: driverName(store), Data: null };
      const data = { UpperDir: upper, ...(lower.length > 0 ? { LowerDir: lower.join(':') } : {}) };
      return { Name: driverName(store), Data: data };
    },
  };
}

/** Docker's name of the storage driver. */
export function driverName(store: Store): string {
  return store.snapshots.driver === 'overlay' ? 'overlay2' : 'vfs';
}
