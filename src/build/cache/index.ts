export { createAdopter } from './adopt.ts';
export { type BuildCache, type BuildCacheOptions, createBuildCache } from './build-cache.ts';
export type { CacheDocument, CacheRow } from './types.ts';
