import { CodedError } from '#base/errors/index.ts';
import type { Descriptor, Index } from '#oci/manifest/index.ts';
import { formatPlatform, normalizePlatform, type Platform, rankPlatform } from '#oci/platform/index.ts';

/** Entries of an index that are images: attestations carry the platform `unknown/unknown`. */
export function listImageEntries(index: Index): readonly Descriptor[] {
  return index.manifests.filter(
    ({ platform, artifactType }) => platform?.os !== 'unknown' && artifactType === undefined,
  );
}

/**
 * The entry of an index that serves `wanted` best; among equals the first. An entry without a platform is taken only
 * when it is alone.
 * @throws {CodedError} `not_found` with Docker's text and the platforms that exist.
 */
export function choosePlatform(index: Index, wanted: Platform, name: string): Descriptor {
  const entries = listImageEntries(index);
  const ranked = entries
    .flatMap((entry) => {
      const rank = entry.platform === undefined ? undefined : rankPlatform(entry.platform, wanted);
      return rank === undefined ? [] : [{ entry, rank }];
    })
    .sort((a, b) => a.rank - b.rank);
  const [best] = ranked;
  if (best !== undefined) return best.entry;
  const [only] = entries;
  if (entries.length === 1 && only !== undefined && only.platform === undefined) return only;
  const offered = [
    ...new Set(
      entries.flatMap(({ platform }) => (platform ? [formatPlatform(normalizePlatform(platform))] : [])),
    ),
  ];
  const linux = offered.find((platform) => platform.startsWith('linux/')) ?? offered[0];
  throw new CodedError(
    'not_found',
    `no matching manifest for ${describePlatform(wanted)} in the manifest list entries`,
    {
      subject: { kind: 'manifest', name },
      help: {
        id: 'pull/no-platform',
        cause: `${name} is offered for ${offered.join(', ') || 'no platform at all'}`,
        ...(linux === undefined ? {} : { fix: [`slipway pull --platform ${linux} ${name}`] }),
      },
    },
  );
}

/** As Docker prints the platform it looks for: arm64 with its default variant. */
export function describePlatform(platform: Platform): string {
  const normal = normalizePlatform(platform);
  return formatPlatform(
    normal.architecture === 'arm64' && normal.variant === undefined ? { ...normal, variant: 'v8' } : normal,
  );
}
