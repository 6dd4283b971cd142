export { createDistributionRoutes, type DistributionBackend } from './routes.ts';
