import { type ImportTargets, importImage } from './import.ts';
import { type LoadTargets, loadImages } from './load.ts';
import { saveImages } from './save.ts';
import type { Archives } from './types.ts';

/** Makes the reader and writer of archives; an open `Store` has every part. */
export function createArchives(parts: LoadTargets & ImportTargets): Archives {
  return {
    saveImages: (saved, signal) => saveImages(parts, saved, signal),
    loadImages: (archive, options = {}) => loadImages(parts, archive, options),
    importImage: (rootfs, options) => importImage(parts, rootfs, options),
    exportTree: (dir, signal) =>
      parts.changesets.streamChangeset({ dir, kind: 'plain' }, signal === undefined ? {} : { signal }),
  };
}
