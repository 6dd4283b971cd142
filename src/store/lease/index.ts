export { createLeaseStore, type LeaseStoreOptions } from './lease-store.ts';
export { createReclaimer, type ReclaimerOptions } from './reclaim.ts';
