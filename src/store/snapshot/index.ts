export { createSnapshotStore, type SnapshotStoreOptions } from './snapshot-store.ts';
export { measureTree, type TreeUsage } from './usage.ts';
