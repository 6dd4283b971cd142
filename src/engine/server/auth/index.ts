export { type AuthBackend, createAuthRoutes } from './routes.ts';
