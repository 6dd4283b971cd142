/** Networks and volumes: their stores joined with what containers do with them. */
import type { ContainerRecord, ContainerService } from '#container/types.ts';
import { summarize } from '#engine/server/container/index.ts';
import type { EventPublisher } from '#engine/server/events/index.ts';
import type { ConnectOptions, NetworkBackend } from '#engine/server/network/index.ts';
import { type VolumeBackend, wireVolume } from '#engine/server/volume/index.ts';
import type { Network, NetworkStore } from '#runtime/network/types.ts';
import type { Volume, VolumeStore } from '#runtime/volume/types.ts';
import type { ImageUser } from '#store/image/types.ts';

/** What the rest of the engine asks the containers. */
export interface ContainerUses {
  counts(): { readonly running: number; readonly paused: number; readonly stopped: number };
  /** Containers made from an image, running ones first. */
  listImageUsers(imageId: string): readonly ImageUser[];
  /** Ids of containers that have the volume mounted or will. */
  listVolumeUsers(name: string): readonly string[];
  /** Names of containers whose settings name the network. */
  listNetworkUsers(networkId: string): readonly string[];
  /** Gets ready to answer for names. */
  warmNames(): void;
  connect(network: Network, container: string, options: ConnectOptions): Promise<void>;
  disconnect(network: Network, container: string, options: { readonly force: boolean }): Promise<void>;
  /** As `GET /containers/json?all=1&size=1` shows them. */
  list(): Promise<readonly object[]>;
}

/** Puts the network routes' backend together. */
export function createNetworkBackend(
  networks: NetworkStore,
  uses: ContainerUses,
  events: EventPublisher,
): NetworkBackend {
  const publish = (action: string, network: Network, more: Record<string, string> = {}): void => {
    const type = network.driver === 'none' ? 'null' : network.driver;
    events.publish({
      type: 'network',
      action,
      id: network.id,
      attributes: { name: network.name, type, ...more },
    });
  };
  return {
    events,
    listNetworks: () => networks.listNetworks(),
    getNetwork: (nameOrId) => networks.getNetwork(nameOrId),
    listMembers: (id) => networks.listEndpoints(id),
    listUsers: (id) => uses.listNetworkUsers(id),
    createNetwork: async (options) => {
      const network = await networks.createNetwork(options);
      publish('create', network);
      uses.warmNames();
      return network;
    },
    removeNetwork: async (nameOrId) => {
      const network = networks.getNetwork(nameOrId);
      await networks.removeNetwork(nameOrId);
      publish('destroy', network);
    },
    connectContainer: (network, container, options) => uses.connect(network, container, options),
    disconnectContainer: (network, container, options) => uses.disconnect(network, container, options),
  };
}

/** Puts the volume routes' backend together. */
export function createVolumeBackend(
  volumes: VolumeStore,
  uses: ContainerUses,
  events: EventPublisher,
  measure: (dir: string) => Promise<number>,
): VolumeBackend {
  const publish = (action: string, volume: Volume): void =>
    events.publish({ type: 'volume', action, id: volume.name, attributes: { driver: volume.driver } });
  return {
    events,
    listVolumes: () => volumes.listVolumes(),
    getVolume: (name) => volumes.getVolume(name),
    listUsers: (name) => uses.listVolumeUsers(name),
    measureVolume: (volume) => measure(volume.mountpoint),
    ensureVolume: async (options) => {
      const isNew = options.name === undefined || volumes.findVolume(options.name) === undefined;
      const volume = await volumes.ensureVolume(options);
      if (isNew) publish('create', volume);
      return volume;
    },
    removeVolume: async (name, { force }) => {
      const volume = volumes.findVolume(name);
      await volumes.removeVolume(name, { force, inUse: (one) => uses.listVolumeUsers(one) });
      if (volume !== undefined) publish('destroy', volume);
    },
  };
}

/** Volumes with their sizes and the number of their users, for `system df`. */
export async function listVolumeUsage(backend: VolumeBackend): Promise<readonly object[]> {
  const usage: object[] = [];
  for (const volume of backend.listVolumes()) {
    const size = await backend.measureVolume(volume);
    usage.push({
      ...wireVolume(volume),
      UsageData: { RefCount: backend.listUsers(volume.name).length, Size: size },
    });
  }
  return usage;
}

/** What the rest of the engine asks the containers, answered by their service. */
export function createContainerUses(service: ContainerService): ContainerUses {
  const isRunning = ({ state }: ContainerRecord): boolean =>
    state.status === 'running' || state.status === 'paused' || state.status === 'restarting';
  return {
    counts: () => {
      const states = service.list().map(({ state }) => state.status);
      const paused = states.filter((status) => status === 'paused').length;
      const running = states.filter((status) => status === 'running' || status === 'restarting').length;
      return { running, paused, stopped: states.length - running - paused };
    },
    listImageUsers: (imageId) =>
      service
        .list()
        .filter((record) => record.imageId === imageId)
        .map((record) => ({ containerId: record.id, running: isRunning(record) }))
        .sort((a, b) => Number(b.running) - Number(a.running)),
    listVolumeUsers: (name) => service.listVolumeUsers(name),
    listNetworkUsers: (networkId) =>
      service
        .list()
        .filter((record) => record.attachments.some((attachment) => attachment.networkId === networkId))
        .map((record) => record.name),
    warmNames: () => service.warmNames(),
    connect: (network, container, options) => service.connect(network, container, options),
    disconnect: (network, container, options) => service.disconnect(network, container, options),
    list: () =>
      Promise.all(service.list().map(async (record) => summarize(record, await service.sizes(record.id)))),
  };
}
