export * from './backend.ts';
export * from './routes.ts';
