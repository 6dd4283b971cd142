import type { Builder } from '#build/types.ts';

/** A record of the build cache, as `GET /system/df` shows it. */
export interface BuildCacheUsage {
  readonly ID: string;
  readonly Type: string;
  readonly Description: string;
  readonly InUse: boolean;
  readonly Shared: boolean;
  readonly Size: number;
  readonly CreatedAt: string;
  readonly LastUsedAt: string;
  readonly UsageCount: number;
}

/** The build cache for `GET /system/df`. */
export function listBuildCache(builder: Pick<Builder, 'listCache'>): readonly BuildCacheUsage[] {
  return builder.listCache().map((entry) => ({
    ID: entry.id,
    Type: 'regular',
    Description: entry.description,
    InUse: entry.inUse,
    Shared: false,
    Size: entry.sizeBytes,
    CreatedAt: entry.createdAt.toISOString(),
    LastUsedAt: entry.usedAt.toISOString(),
    UsageCount: 1,
  }));
}
