/** The files in the layers of images that were pushed here. */
export { ImageFiles, type LayeredImage } from './files.ts';
export type { LayerSources } from './lists.ts';
