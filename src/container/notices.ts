/** Events about what a container does with networks and volumes. */
import type { VolumeStore } from '#runtime/volume/types.ts';
import type { Context } from './context.ts';
import type { ContainerRecord } from './types.ts';

/** Tells that a container has joined or left a network. */
export function publishMembership(
  context: Context,
  record: ContainerRecord,
  network: { readonly id: string; readonly name: string; readonly driver: string },
  action: 'connect' | 'disconnect',
): void {
  const type = network.driver === 'none' ? 'null' : network.driver;
  context.events.publish({
    type: 'network',
    action,
    id: network.id,
    attributes: { container: record.id, name: network.name, type },
  });
}

/** Tells that a container that starts has its volumes and networks. */
export function publishJoined(context: Context, record: ContainerRecord): void {
  for (const { type, name, driver, destination, readonly, propagation } of record.mounts) {
    if (type !== 'volume' || name === undefined) continue;
    const more = { destination, 'read/write': String(!readonly), propagation };
    publishVolume(context, 'mount', name, { driver: driver ?? 'local', container: record.id, ...more });
  }
  for (const network of networksOf(context, record)) publishMembership(context, record, network, 'connect');
}

/** Tells that a container that has ended left its networks and volumes. */
export function publishLeft(context: Context, record: ContainerRecord): void {
  for (const network of networksOf(context, record))
    publishMembership(context, record, network, 'disconnect');
  for (const { type, name, driver } of record.mounts) {
    if (type !== 'volume' || name === undefined) continue;
    publishVolume(context, 'unmount', name, { driver: driver ?? 'local', container: record.id });
  }
}

/** The volume store, for a container that may need new ones: what it makes is told. */
export function tellingVolumes(context: Context): Pick<VolumeStore, 'ensureVolume'> {
  return {
    ensureVolume: async (options) => {
      const isNew = options.name === undefined || context.volumes.findVolume(options.name) === undefined;
      const volume = await context.volumes.ensureVolume(options);
      if (isNew) publishVolume(context, 'create', volume.name, { driver: volume.driver });
      return volume;
    },
  };
}

/** Tells what happened to a volume. */
export function publishVolume(
  context: Context,
  action: 'create' | 'mount' | 'unmount' | 'destroy',
  name: string,
  attributes: Readonly<Record<string, string>>,
): void {
  context.events.publish({ type: 'volume', action, id: name, attributes });
}

function networksOf(
  { networks }: Context,
  { attachments }: ContainerRecord,
): readonly { readonly id: string; readonly name: string; readonly driver: string }[] {
  const known = networks?.listNetworks() ?? [];
  return attachments.flatMap(({ networkId }) => known.find(({ id }) => id === networkId) ?? []);
}
