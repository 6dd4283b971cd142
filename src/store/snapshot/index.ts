export { createSnapshotStore, type SnapshotStoreOptions } from './snapshot-store.ts';
