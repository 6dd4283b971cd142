/** The registry server: the distribution protocol over rows and a place for bytes. */
export {
  createSqlMetadata,
  DEFAULT_GRACE,
  openRegistryDatabase,
  REGISTRY_MIGRATIONS,
  type RegistryTables,
} from './metadata/index.ts';
export { openAuthenticator, openAuthorizer } from './open.ts';
export { cacheRights } from './rights.ts';
export { createRegistry, type Registry, type RegistryOptions } from './server.ts';
export { type FolderStorage, openFolderStorage } from './storage/index.ts';
export type * from './types.ts';
export { INLINE_LIMIT_BYTES } from './uploads.ts';
