export { imageNotFound } from './image-reader.ts';
export { createImageStore, type ImageStoreOptions } from './image-store.ts';
export { chainsOf } from './layer-registry.ts';
export { LayerUnpacker, type UnpackRequest } from './layer-unpacker.ts';
