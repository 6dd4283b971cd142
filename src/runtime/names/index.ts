export { NamesService } from './service.ts';
export * from './types.ts';
