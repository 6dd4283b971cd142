/** All routes of the engine, group by group. */
import { type AuthBackend, createAuthRoutes } from '#engine/server/auth/index.ts';
import { type BuildBackend, createBuildRoutes } from '#engine/server/build/index.ts';
import { type ContainerBackend, createContainerRoutes } from '#engine/server/container/index.ts';
import type { Route } from '#engine/server/core/index.ts';
import { createDistributionRoutes, type DistributionBackend } from '#engine/server/distribution/index.ts';
import { createEventRoutes, type EventBus } from '#engine/server/events/index.ts';
import { createExecRoutes, type ExecBackend } from '#engine/server/exec/index.ts';
import { createImageRoutes, type ImageBackend } from '#engine/server/image/index.ts';
import { createNetworkRoutes, type NetworkBackend } from '#engine/server/network/index.ts';
import { createSwarmRoutes, createSystemRoutes, type SystemBackend } from '#engine/server/system/index.ts';
import { createVolumeRoutes, type VolumeBackend } from '#engine/server/volume/index.ts';

/** What the groups work on. */
export interface Backends {
  readonly system: SystemBackend;
  readonly events: EventBus;
  readonly transfer: AuthBackend & DistributionBackend;
  readonly images: ImageBackend;
  readonly build: BuildBackend;
  readonly networks: NetworkBackend;
  readonly volumes: VolumeBackend;
  readonly containers: ContainerBackend;
  readonly execs: ExecBackend;
}

/** Routes by the name of their group, in the order of the reference. */
export function groupRoutes(backends: Backends): Readonly<Record<string, readonly Route[]>> {
  return {
    System: [...createSystemRoutes(backends.system), ...createAuthRoutes(backends.transfer)],
    Events: createEventRoutes(backends.events),
    Containers: createContainerRoutes(backends.containers),
    Exec: createExecRoutes(backends.execs),
    Images: createImageRoutes(backends.images),
    Build: createBuildRoutes(backends.build),
    Distribution: createDistributionRoutes(backends.transfer),
    Networks: createNetworkRoutes(backends.networks),
    Volumes: createVolumeRoutes(backends.volumes),
    'Swarm and plugins': createSwarmRoutes(),
  };
}
