/** What this engine cannot do yet says so; nothing here pretends. */
import { CodedError } from '#base/errors/index.ts';
import type { ImageArchives } from '#engine/server/image/index.ts';
import type { Changesets } from '#store/changeset/types.ts';

function refuse(what: string): () => never {
  return () => {
    throw new CodedError('unimplemented', `${what} is not part of this engine yet`);
  };
}

/** In place of layers' packing and unpacking. */
export function missingChangesets(): Changesets {
  return {
    unpackLayer: refuse('unpacking a layer'),
    describeChangeset: refuse('packing a layer'),
    packChangeset: refuse('packing a layer'),
    streamChangeset: refuse('packing a layer'),
    close: async () => undefined,
  };
}

/** In place of save, load and import. */
export function missingArchives(): ImageArchives {
  return {
    saveImages: refuse('saving images'),
    loadImages: refuse('loading images'),
    importImage: refuse('importing a root file system'),
  };
}

/** In place of `changes` of import and commit. */
export const missingChanges: (changes: readonly string[]) => Record<string, never> = (changes) =>
  changes.length === 0 ? {} : refuse('applying Dockerfile changes')();
