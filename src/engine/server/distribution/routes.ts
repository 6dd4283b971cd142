import { parseReference, withDefaultTag } from '#oci/reference/index.ts';
import { credentialsFor, decodeRegistryAuth } from '#registry/auth/index.ts';
import type { ImageTransfer } from '#registry/transfer/types.ts';
import type { RequestContext, Route } from '../core/index.ts';

/** What the distribution route needs. */
export type DistributionBackend = Pick<ImageTransfer, 'inspectDistribution'>;

/** `GET /distribution/{name}/json`. */
export function createDistributionRoutes(backend: DistributionBackend): Route[] {
  return [
    {
      method: 'GET',
      path: '/distribution/:name+/json',
      since: '1.30',
      summary: 'What a registry has under a name',
      handler: (context) => inspect(backend, context),
    },
  ];
}

async function inspect(backend: DistributionBackend, context: RequestContext): Promise<void> {
  const reference = withDefaultTag(parseReference(context.params['name'] ?? ''));
  const credentials = decodeRegistryAuth(context.header('x-registry-auth'));
  const { descriptor, platforms } = await backend.inspectDistribution(reference, {
    credentials: credentialsFor(reference.registry, credentials),
    signal: context.signal,
  });
  const { mediaType, digest, size } = descriptor;
  context.sendJson(200, { Descriptor: { mediaType, digest, size }, Platforms: platforms });
}
