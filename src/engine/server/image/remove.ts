import { CodedError, hasCode } from '#base/errors/index.ts';
import type { ImageId } from '#oci/config/index.ts';
import type { DiffId } from '#oci/digest/index.ts';
import { formatFamiliar } from '#oci/reference/index.ts';
import type { Image, RemovalStep } from '#store/image/types.ts';
import type { RequestContext } from '../core/index.ts';
import { publishPrune } from '../events/index.ts';
import type { ImageBackend } from './backend.ts';
import { isNamed, passesLabels, untilOf } from './list.ts';
import { eventAttributes } from './names.ts';

const PRUNE_FILTERS = ['dangling', 'label', 'label!', 'until'];

/** `DELETE /images/{name}`. */
export async function removeImage(backend: ImageBackend, context: RequestContext): Promise<void> {
  const name = context.params['name'] ?? '';
  const steps = await remove(backend, name, {
    force: context.query.flag('force'),
    noprune: context.query.flag('noprune'),
  });
  context.sendJson(200, steps.map(encodeStep));
}

async function remove(
  backend: ImageBackend,
  name: string,
  options: { readonly force: boolean; readonly noprune: boolean },
): Promise<readonly RemovalStep[]> {
  const image = backend.images.getImage(name);
  const steps = await backend.images.removeImage(name, {
    ...options,
    inUse: (id) => backend.listUsers(id)[0],
  });
  for (const step of steps) {
    if ('untagged' in step) publish(backend, 'untag', image, image.id);
    else if (step.deleted === image.id) publish(backend, 'delete', image, image.id);
  }
  return steps;
}

function publish(backend: ImageBackend, action: string, image: Image, name: string): void {
  backend.events.publish({ type: 'image', action, id: image.id, attributes: eventAttributes(image, name) });
}

function encodeStep(step: RemovalStep): object {
  return 'untagged' in step ? { Untagged: formatFamiliar(step.untagged) } : { Deleted: step.deleted };
}

/** `POST /images/prune`: images without a name, or with `dangling=false` every image that no container uses. */
export async function pruneImages(backend: ImageBackend, context: RequestContext): Promise<void> {
  const filters = context.query.filters();
  filters.checkKnown(PRUNE_FILTERS);
  const onlyDangling = filters.flag('dangling') ?? true;
  const until = untilOf(filters);
  const before = layersOf(backend);
  const candidates = [...backend.images.listImages()].filter((image) => {
    if (onlyDangling && isNamed(image)) return false;
    if (until !== undefined && (image.createdAt?.getTime() ?? 0) > until.getTime()) return false;
    return passesLabels(filters, image) && backend.listUsers(image.id).length === 0;
  });
  const steps: RemovalStep[] = [];
  for (const image of candidates) {
    context.signal.throwIfAborted();
    steps.push(...(await pruneOne(backend, image.id)));
  }
  const after = layersOf(backend);
  const freed = [...before].reduce((sum, [diffId, bytes]) => sum + (after.has(diffId) ? 0 : bytes), 0);
  publishPrune(backend.events, 'image', freed);
  context.sendJson(200, {
    ImagesDeleted: steps.length > 0 ? steps.map(encodeStep) : null,
    SpaceReclaimed: freed,
  });
}

/** Removes an image by each of its names, then by id. What became used or has children meanwhile stays. */
async function pruneOne(backend: ImageBackend, id: ImageId): Promise<readonly RemovalStep[]> {
  const steps: RemovalStep[] = [];
  for (let image = backend.images.findImage(id); image !== undefined; image = backend.images.findImage(id)) {
    const name = image.references[0] ?? image.repoDigests[0];
    try {
      steps.push(
        ...(await remove(backend, name === undefined ? id : formatFamiliar(name), {
          force: false,
          noprune: false,
        })),
      );
    } catch (error) {
      if (hasCode(error, 'conflict') || hasCode(error, 'not_found')) return steps;
      throw error;
    }
    const left = backend.images.findImage(id);
    if (name === undefined && left !== undefined)
      throw new CodedError('internal', `cannot prune image ${id}: it is still there after its removal`);
  }
  return steps;
}

function layersOf(backend: ImageBackend): ReadonlyMap<DiffId, number> {
  const layers = new Map<DiffId, number>();
  for (const image of backend.images.listImages())
    for (const layer of image.layers) layers.set(layer.diffId, layer.contentSizeBytes);
  return layers;
}
