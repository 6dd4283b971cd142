export type { ContainerBackend } from './backend.ts';
export { summarize } from './list.ts';
export { createContainerRoutes } from './routes.ts';
export { streamType } from './stream-routes.ts';
