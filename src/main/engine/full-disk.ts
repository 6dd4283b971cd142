import { statfs } from 'node:fs/promises';
import { CodedError, codeOf, isDiskFull, messageOf, primaryError } from '#base/errors/index.ts';
import { formatSize } from '#engine/protocol/index.ts';
import type { SystemBackend } from '#engine/server/system/index.ts';

/** What the explanation needs. */
export interface FullDiskFacts {
  readonly root: string;
  readonly system: Pick<SystemBackend, 'diskUsage'>;
}

/**
 * Makes the function that adds to the failure of a full disk how full it is, what can be freed and how. Any other error
 * comes back as it is; never throws.
 */
export function createFullDiskExplainer(facts: FullDiskFacts): (error: unknown) => Promise<unknown> {
  return async (thrown) => {
    if (!isDiskFull(thrown)) return thrown;
    const error = primaryError(thrown);
    const known = error instanceof CodedError ? error : undefined;
    const told = known?.help?.id === 'disk/full' ? known.help.cause : undefined;
    const found = await describe(facts).catch(() => ({ cause: undefined, fix: ['docker system df'] }));
    const cause = [told, found.cause].filter((part) => part !== undefined).join('; ');
    return new CodedError(codeOf(error), messageOf(error), {
      cause: error,
      subject: known?.subject,
      data: known?.data,
      help: { id: 'disk/full', ...(cause === '' ? {} : { cause }), fix: found.fix },
    });
  };
}

async function describe({ root, system }: FullDiskFacts): Promise<{ cause: string; fix: string[] }> {
  const { bavail, blocks, bsize, ffree, files } = await statfs(root);
  const usage = await system.diskUsage({ images: true, containers: false, volumes: false, buildCache: true });
  const images = sum(usage.images as readonly ImageUsage[], (image) =>
    image.Containers > 0 ? 0 : image.Size - Math.max(image.SharedSize, 0),
  );
  const cache = sum(usage.buildCache as readonly CacheUsage[], (entry) => (entry.InUse ? 0 : entry.Size));
  const space = `${formatSize(bavail * bsize)} of ${formatSize(blocks * bsize)} free`;
  const room = files > 0 && ffree === 0 ? `${space}, no inodes free` : space;
  const freeable = [
    ...(cache > 0 ? [`${formatSize(cache)} of build cache`] : []),
    ...(images > 0 ? [`${formatSize(images)} of images without containers`] : []),
  ];
  return {
    cause: `the file system of ${root} is full (${room} now)${freeable.length > 0 ? `; can be freed: ${freeable.join(', ')}` : ''}`,
    fix: [
      ...(cache > 0 ? ['docker builder prune -af'] : []),
      ...(images > 0 ? ['docker image prune -a'] : []),
      'docker system df',
    ],
  };
}

interface ImageUsage {
  readonly Size: number;
  readonly SharedSize: number;
  readonly Containers: number;
}

interface CacheUsage {
  readonly Size: number;
  readonly InUse: boolean;
}

function sum<T>(items: readonly T[], bytesOf: (item: T) => number): number {
  return items.reduce((total, item) => total + bytesOf(item), 0);
}
