import { normalizePlatform } from '#oci/platform/index.ts';
import { type Reference, withDefaultTag } from '#oci/reference/index.ts';
import type { RepositoryClient } from '#registry/client/types.ts';
import { getConfig, resolveManifest } from './document.ts';
import { pullFailure } from './failure.ts';
import { listImageEntries } from './platform.ts';
import { openForPull, pullImage } from './pull.ts';
import { pushImage } from './push.ts';
import { createContext, type TransferContext, type TransferParts } from './shared.ts';
import type { ImageTransfer, TransferOptions } from './types.ts';

export type { TransferParts } from './shared.ts';

/** Makes pull and push over a store and a registry client; one per engine, so that its transfers share work. */
export function createImageTransfer(parts: TransferParts): ImageTransfer {
  const context = createContext(parts);
  return {
    pullImage: (reference, options) => pullImage(context, reference, options),
    pushImage: (image, reference, options) => pushImage(context, image, reference, options),
    async *listRemoteTags(reference, options) {
      yield* await reading(context, reference, options, (repository) =>
        Array.fromAsync(repository.listTags(options.signal)),
      );
    },
    resolveImage: (reference, options) =>
      reading(context, reference, options, async (repository, named) => {
        const { content } = context;
        const platform = options.platform ?? context.platform;
        const resolved = await resolveManifest(repository, named, platform, { content }, options.signal);
        const config = await getConfig(repository, resolved.manifest.value, { content }, options.signal);
        return { digest: resolved.topDigest, config: config.value };
      }),
    checkLogin: (registry, credentials) => context.client.checkLogin(registry, credentials),
    inspectDistribution: (reference, options) =>
      reading(context, reference, options, async (repository, named) => {
        const descriptor = await repository.resolveManifest(named.digest ?? named.tag ?? '', options.signal);
        const document = await repository.fetchManifest(descriptor.digest, options.signal);
        if (document.kind === 'index') {
          const entries = listImageEntries(document.value);
          return { descriptor, platforms: entries.flatMap(({ platform }) => platform ?? []) };
        }
        const config = await getConfig(
          repository,
          document.value,
          { content: context.content },
          options.signal,
        );
        const { os, architecture, variant } = config.value;
        const platform = normalizePlatform({ os, architecture, ...(variant ? { variant } : {}) });
        return { descriptor, platforms: [platform] };
      }),
  };
}

/** Opens the repository of `reference` and tells failures as a pull does. */
async function reading<T>(
  context: TransferContext,
  reference: Reference,
  options: TransferOptions,
  work: (repository: RepositoryClient, named: Reference) => Promise<T>,
): Promise<T> {
  const named = withDefaultTag(reference);
  let repository: RepositoryClient | undefined;
  try {
    repository = await openForPull(context, named, options);
    return await work(repository, named);
  } catch (error) {
    options.signal?.throwIfAborted();
    throw await pullFailure(error, named, repository);
  }
}
