import type { Filters } from '#engine/protocol/index.ts';
import type { Volume } from '#runtime/volume/types.ts';
import type { RequestContext, Route } from '../core/index.ts';
import { publishPrune } from '../events/index.ts';
import type { VolumeBackend } from './backend.ts';

const FILTERS = ['dangling', 'name', 'driver', 'label', 'label!'];
const PRUNE_FILTERS = ['label', 'label!', 'all'];

/** Body of `POST /volumes/create`. */
interface CreateBody {
  readonly Name: string;
  readonly Driver: string;
  readonly DriverOpts: Record<string, string> | null;
  readonly Labels: Record<string, string> | null;
}

/** `/volumes`: list, inspect, create, remove, prune. */
export function createVolumeRoutes(backend: VolumeBackend): Route[] {
  return [
    {
      method: 'GET',
      path: '/volumes',
      summary: 'List volumes',
      handler: (context) => list(backend, context),
    },
    {
      method: 'POST',
      path: '/volumes/create',
      summary: 'Create a volume',
      handler: (context) => create(backend, context),
    },
    {
      method: 'POST',
      path: '/volumes/prune',
      since: '1.25',
      summary: 'Remove unused volumes',
      handler: (context) => prune(backend, context),
    },
    {
      method: 'GET',
      path: '/volumes/:name',
      summary: 'Inspect a volume',
      handler: (context) =>
        context.sendJson(200, wireVolume(backend.getVolume(context.params['name'] ?? ''))),
    },
    {
      method: 'DELETE',
      path: '/volumes/:name',
      summary: 'Remove a volume',
      handler: async (context) => {
        await backend.removeVolume(context.params['name'] ?? '', { force: context.query.flag('force') });
        context.sendStatus(204);
      },
    },
  ];
}

function list(backend: VolumeBackend, context: RequestContext): void {
  const filters = context.query.filters();
  filters.checkKnown(FILTERS);
  const volumes = backend.listVolumes().filter((volume) => isListed(backend, volume, filters));
  context.sendJson(200, { Volumes: volumes.map(wireVolume), Warnings: null });
}

function isListed(backend: VolumeBackend, volume: Volume, filters: Filters): boolean {
  const dangling = filters.flag('dangling');
  return (
    filters.some('name', (name) => volume.name.includes(name)) &&
    filters.matches('driver', volume.driver) &&
    filters.matchesLabels(volume.labels) &&
    (dangling === undefined || dangling === (backend.listUsers(volume.name).length === 0))
  );
}

/** A volume as the API shows it; also `system df`'s. */
export function wireVolume(volume: Volume): object {
  return {
    CreatedAt: volume.createdAt.toISOString(),
    Driver: volume.driver,
    Labels:
      Object.keys(volume.labels).length === 0 && !volume.anonymous
        ? null
        : { ...volume.labels, ...(volume.anonymous ? { 'com.docker.volume.anonymous': '' } : {}) },
    Mountpoint: volume.mountpoint,
    Name: volume.name,
    Options: Object.keys(volume.options).length === 0 ? null : volume.options,
    Scope: 'local',
  };
}

async function create(backend: VolumeBackend, context: RequestContext): Promise<void> {
  const body = await context.readJson<CreateBody>();
  const volume = await backend.ensureVolume({
    labels: body?.Labels ?? {},
    options: body?.DriverOpts ?? {},
    ...(body?.Name ? { name: body.Name } : {}),
    ...(body?.Driver ? { driver: body.Driver } : {}),
  });
  context.sendJson(201, wireVolume(volume));
}

async function prune(backend: VolumeBackend, context: RequestContext): Promise<void> {
  const filters = context.query.filters();
  filters.checkKnown(PRUNE_FILTERS);
  // Since 1.42 only anonymous volumes go unless the client says `all`.
  const withNamed = !context.atLeast(42) || filters.flag('all') === true;
  const removed: string[] = [];
  let reclaimed = 0;
  for (const volume of backend.listVolumes()) {
    const isKept =
      (!volume.anonymous && !withNamed) ||
      backend.listUsers(volume.name).length > 0 ||
      !filters.passesLabels(volume.labels);
    if (isKept) continue;
    reclaimed += await backend.measureVolume(volume);
    await backend.removeVolume(volume.name, { force: false });
    removed.push(volume.name);
  }
  publishPrune(backend.events, 'volume', reclaimed);
  context.sendJson(200, { VolumesDeleted: removed, SpaceReclaimed: reclaimed });
}
