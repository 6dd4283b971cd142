import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { hasCode } from '#base/errors/index.ts';
import { NODE_FLAGS } from '#base/node/index.ts';
import type { ContainerParts, ContainerService } from '#container/index.ts';
import { createContainerService } from '#container/index.ts';
import type { ContainerBackend } from '#engine/server/container/index.ts';
import type { EventPublisher } from '#engine/server/events/index.ts';
import { ensureKeeper, type Keeper } from '#runtime/keeper/index.ts';
import type { NetworkStore } from '#runtime/network/types.ts';
import { findProgram } from '#runtime/process/index.ts';
import type { Store } from '#store/root/index.ts';
import { driverName } from './image-backend.ts';

/** Opens the containers, starting the keeper when none is there. */
export async function openContainers(
  parts: Omit<ContainerParts, 'keeper' | 'initPath'>,
  opened: AsyncDisposableStack,
): Promise<ContainerService> {
  const keeper = await ensureKeeper({
    socketPath: join(parts.execRoot, 'keeper', 'keeper.sock'),
    command: [process.execPath, ...NODE_FLAGS, keeperProgram()],
  });
  let isClosing = false;
  opened.defer(async () => {
    isClosing = true;
    await leaveKeeper(keeper);
  });
  keeper.onLost(() => {
    if (!isClosing) parts.log.error('the keeper is gone: containers it held have lost their streams');
  });
  parts.log.info('keeper', { pid: keeper.pid });
  const initPath = findProgram('docker-init') ?? findProgram('tini');
  const service = await createContainerService({
    ...parts,
    keeper,
    ...(initPath === undefined ? {} : { initPath }),
  });
  opened.defer(() => service.close());
  return service;
}

/** A keeper that keeps nothing ends with the engine. */
async function leaveKeeper(keeper: Keeper): Promise<void> {
  try {
    await keeper.shutdown();
  } catch (error) {
    if (!hasCode(error, 'failed_precondition') && !hasCode(error, 'unavailable')) throw error;
  } finally {
    keeper.close();
  }
}

/** The published package has it beside this file, under another name. */
function keeperProgram(): string {
  return fileURLToPath(new URL('../keeper.ts', import.meta.url));
}

/** Puts the container routes' backend together. */
export function createContainerBackend(
  containers: ContainerService,
  parts: {
    readonly store: Store;
    readonly networks: NetworkStore;
    readonly events: EventPublisher;
    readonly root: string;
  },
): ContainerBackend {
  const { store, networks, events, root } = parts;
  return {
    containers,
    events,
    findNetwork: (id) => {
      try {
        return networks.getNetwork(id);
      } catch (error) {
        if (hasCode(error, 'not_found')) return undefined;
        throw error;
      }
    },
    shownImage: ({ imageName, imageId }) => {
      try {
        return store.images.findImage(imageName)?.id === imageId ? imageName : imageId;
      } catch {
        return imageId;
      }
    },
    describeStorage: (id) => {
      const active = store.snapshots.getActive(`container/${id}`);
      const data = { UpperDir: active.upperDir, LowerDir: active.lowerDirs.join(':') };
      return { Name: driverName(store), Data: store.snapshots.driver === 'copy' ? null : data };
    },
    pathsOf: (id) => {
      const dir = join(root, 'containers', id);
      return { dir, log: join(dir, `${id}-json.log`) };
    },
  };
}
