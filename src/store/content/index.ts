export { type ContentStoreOptions, createContentStore } from './content-store.ts';
export { blobNotFound, DigestMismatchError } from './errors.ts';
export { diskError } from './ingest.ts';
