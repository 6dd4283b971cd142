import { Filters } from '#engine/protocol/index.ts';
import type { EventBus } from '#engine/server/events/index.ts';
import { type ImageBackend, summarizeImages } from '#engine/server/image/index.ts';
import type { Counts, EngineFacts, SystemBackend } from '#engine/server/system/index.ts';
import type { DiffId } from '#oci/digest/index.ts';

/** Lists of the other resources for `/info` and `/system/df`, in the wire form of their own routes. */
export interface SystemParts {
  readonly facts: EngineFacts;
  readonly images: ImageBackend;
  readonly events: EventBus;
  countContainers(): Omit<Counts, 'images'>;
  listContainers(): Promise<readonly object[]>;
  listVolumes(): Promise<readonly object[]>;
  listBuildCache(): readonly object[];
}

/** Puts the system routes' backend together. */
export function createSystemBackend(parts: SystemParts): SystemBackend {
  const { facts, images, events } = parts;
  return {
    facts,
    counts: () => ({ ...parts.countContainers(), images: count(images.images.listImages()) }),
    listenerCount: () => events.listenerCount,
    diskUsage: async (wanted) => ({
      layersSize: layersSize(images),
      images: wanted.images
        ? summarizeImages(images, {
            filters: new Filters(),
            all: false,
            sharedSize: true,
            countContainers: true,
          })
        : [],
      containers: wanted.containers ? await parts.listContainers() : [],
      volumes: wanted.volumes ? await parts.listVolumes() : [],
      buildCache: wanted.buildCache ? parts.listBuildCache() : [],
    }),
  };
}

function count(items: Iterable<unknown>): number {
  let total = 0;
  for (const _ of items) total++;
  return total;
}

/** Bytes of all layers, each counted once. */
function layersSize({ images }: ImageBackend): number {
  const sizes = new Map<DiffId, number>();
  for (const image of images.listImages())
    for (const layer of image.layers) sizes.set(layer.diffId, layer.contentSizeBytes);
  return [...sizes.values()].reduce((sum, bytes) => sum + bytes, 0);
}
