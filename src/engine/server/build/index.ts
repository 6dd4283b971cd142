export type { BuildBackend } from './backend.ts';
export { type BuildCacheUsage, listBuildCache } from './cache.ts';
export { createBuildRoutes } from './routes.ts';
