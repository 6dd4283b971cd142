export { type ContentStoreOptions, createContentStore } from './content-store.ts';
export { blobNotFound, DigestMismatchError } from './errors.ts';
