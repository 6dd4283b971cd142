export type { ExecBackend } from './backend.ts';
export { createExecRoutes } from './routes.ts';
