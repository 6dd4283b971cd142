/** What this engine cannot do yet says so; nothing here pretends. */
import { CodedError } from '#base/errors/index.ts';
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
