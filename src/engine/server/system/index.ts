export type { Counts, DiskUsage, DiskUsageParts, EngineFacts, SystemBackend } from './backend.ts';
export { createSystemRoutes } from './routes.ts';
export { createSwarmRoutes } from './swarm.ts';
