export { createVolumeStore, type VolumeStoreOptions } from './store.ts';
export * from './types.ts';
