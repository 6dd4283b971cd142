export { type ContentStoreOptions, createContentStore } from './content-store.ts';
export { blobDamaged, blobNotFound, DigestMismatchError } from './errors.ts';
export { diskError } from './ingest.ts';
