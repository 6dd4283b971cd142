export { imageNotFound } from './image-reader.ts';
export { createImageStore, type ImageStoreOptions } from './image-store.ts';
export { chainsOf } from './layer-registry.ts';
export { type LayerToUnpack, LayerUnpacker, type UnpackStackOptions } from './layer-unpacker.ts';
