import { CodedError } from '#base/errors/index.ts';
import type { SourceOp } from '#build/graph/types.ts';
import type { OpCall, OpDriver } from '#build/solver/types.ts';
import { type ChainId, extendChain } from '#oci/digest/index.ts';
import type { Image } from '#store/image/types.ts';
import { type Fetcher, fetchGit, fetchHttp } from './fetch/index.ts';
import type { BuildJob, BuildResult, StateResult } from './types.ts';

type Call = OpCall<BuildResult, BuildJob>;

/** Where the graph meets the outside: base images, contexts, URLs. Never cached: what they yield has a content identity. */
export function createSourceDriver(options: { readonly fetcher: Fetcher }): OpDriver<BuildResult, BuildJob> {
  return {
    isShareable: false,
    isWaiting: true,
    async *keys() {},
    run: (call) => {
      const { op } = call.vertex;
      if (op.kind !== 'source') throw new CodedError('internal', `vertex ${call.vertex.digest} is no source`);
      return loadSource(options.fetcher, call, op.source);
    },
  };
}

async function loadSource(fetcher: Fetcher, call: Call, source: SourceOp): Promise<BuildResult> {
  switch (source.kind) {
    case 'scratch':
      return { kind: 'state', id: 'scratch', snapshot: undefined, createdAt: 0 };
    case 'image':
      return stateOfImage(call.job, await call.job.fetchImage(source.reference, source));
    case 'local':
      return call.job.openContext(source.name);
    case 'http':
      return fetchHttp(fetcher, call, source);
    case 'git':
      return fetchGit(call, source);
  }
}

/** The state an image stands for, claimed for the build. */
export function stateOfImage(job: BuildJob, image: Image): StateResult {
  const chainIds: ChainId[] = [];
  for (const { diffId } of image.layers) chainIds.push(extendChain(chainIds.at(-1), diffId));
  job.claim(
    chainIds.flatMap((key) => [
      { kind: 'layer', key },
      { kind: 'snapshot', key },
    ]),
  );
  const top = chainIds.at(-1);
  return {
    kind: 'state',
    id: top ?? 'scratch',
    snapshot: top,
    base: { image, chainIds },
    createdAt: image.createdAt?.getTime() ?? 0,
  };
}
