/**
 * The engine's wiring: every driver is made here, once, and handed to those who declared what they need.
 *
 *     settings ─► store ─► networks, volumes ─► containers (keeper)
 *                   └────► registry client ─► transfer ─► builder
 *     all of them ─► backends ─► routes ─► server
 */
import { join } from 'node:path';
import { CodedError, messageOf } from '#base/errors/index.ts';
import type { Log } from '#base/log/index.ts';
import { planDockerfile } from '#build/frontend/index.ts';
import { createBuilder } from '#build/index.ts';
import type { Builder } from '#build/types.ts';
import type { ContainerService } from '#container/index.ts';
import { listBuildCache } from '#engine/server/build/index.ts';
import type { Route } from '#engine/server/core/index.ts';
import { EventBus } from '#engine/server/events/index.ts';
import type { EngineFacts } from '#engine/server/system/index.ts';
import { createRegistryClient } from '#registry/client/index.ts';
import { createImageTransfer } from '#registry/transfer/index.ts';
import type { ImageTransfer } from '#registry/transfer/types.ts';
import { createNetworkStore } from '#runtime/network/index.ts';
import type { NetworkStore } from '#runtime/network/types.ts';
import { createOciRuntime, createStepRuntime, type OciRuntime } from '#runtime/process/index.ts';
import { createVolumeStore } from '#runtime/volume/index.ts';
import type { VolumeStore } from '#runtime/volume/types.ts';
import { createArchives } from '#store/archive/index.ts';
import { openStore, type Store } from '#store/root/index.ts';
import { measureTree } from '#store/snapshot/index.ts';
import { startTrimming } from '../idle-memory.ts';
import { VERSION } from '../version.ts';
import { applyChanges } from './changes.ts';
import { startCollector } from './collector.ts';
import { createContainerBackend, openContainers } from './containers.ts';
import { createFullDiskExplainer } from './full-disk.ts';
import { ensureEngineId } from './identity.ts';
import { createImageBackend, driverName } from './image-backend.ts';
import { PRODUCT } from './product.ts';
import { registryClientOptions } from './registry.ts';
import {
  createContainerUses,
  createNetworkBackend,
  createVolumeBackend,
  listVolumeUsage,
} from './resources.ts';
import { groupRoutes } from './routes.ts';
import type { DaemonSettings } from './settings.ts';
import { createSystemBackend } from './system-backend.ts';

/** A running engine without its listeners. */
export interface Engine extends AsyncDisposable {
  readonly routes: readonly Route[];
  /** Adds to a failure what the engine knows about it. */
  explain(error: unknown): Promise<unknown>;
}

/**
 * Opens everything below the data root. Disposing closes it again; containers go on.
 * @throws {CodedError} `failed_precondition` when another engine has the root open, or a program is missing.
 */
export async function openEngine(settings: DaemonSettings, log: Log): Promise<Engine> {
  await using opening = new AsyncDisposableStack();
  const runtime = openRuntime(settings);
  log.info('container runtime', { ...runtime });
  const store = await openStore({
    root: settings.root,
    mountRoots: [settings.execRoot],
    ...(settings.storageDriver === undefined ? {} : { driver: settings.storageDriver }),
  });
  opening.defer(() => store.close());
  log.info('store opened', { root: settings.root, driver: store.snapshots.driver });
  const events = new EventBus();
  const base: Base = { settings, log, runtime, store, events };
  const connected = await connect(base, await openDrivers(base, opening));
  const opened = opening.move();
  return { ...connected, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

interface Base {
  readonly settings: DaemonSettings;
  readonly log: Log;
  readonly runtime: OciRuntime;
  readonly store: Store;
  readonly events: EventBus;
}

/** Everything that works, in the order in which it is opened. */
interface Drivers {
  readonly userAgent: string;
  readonly transfer: ImageTransfer;
  readonly networks: NetworkStore;
  readonly volumes: VolumeStore;
  readonly containers: ContainerService;
  readonly builder: Builder;
}

async function openDrivers(base: Base, opened: AsyncDisposableStack): Promise<Drivers> {
  const { settings, store, runtime, events, log } = base;
  const { db, content, images, snapshots, changesets, leases } = store;
  const { root, execRoot, maxDownloads, maxUploads } = settings;
  const userAgent = `${PRODUCT}/${VERSION} (linux)`;
  const client = createRegistryClient(registryClientOptions(settings, userAgent));
  opened.defer(() => client.close());
  const transfer = createImageTransfer({
    ...{ client, content, images, snapshots, changesets, leases },
    ...(maxDownloads === undefined ? {} : { maxDownloads }),
    ...(maxUploads === undefined ? {} : { maxUploads }),
  });
  const networks = await openNetworks(base, opened);
  const volumes = createVolumeStore({
    db,
    root,
    changesets,
    onDamaged: (volume, error) =>
      log.error('the description of a volume cannot be read: it goes on without labels and options', {
        volume,
        error: messageOf(error),
      }),
  });
  const stores = { db, images, snapshots, changesets, content, networks, volumes };
  const containers = await openContainers(
    { ...stores, runtime, root, execRoot, events, log, applyChanges },
    opened,
  );
  const builder = await openBuilder(base, { networks, transfer }, opened);
  opened.use(startCollector(leases, log));
  opened.use(startTrimming());
  return { userAgent, transfer, networks, volumes, containers, builder };
}

/** Joins the drivers to what the routes ask for. */
async function connect(base: Base, drivers: Drivers): Promise<Pick<Engine, 'routes' | 'explain'>> {
  const { store, events, settings } = base;
  const { transfer, networks, volumes, containers, builder, userAgent } = drivers;
  const uses = createContainerUses(containers);
  const measure = async (dir: string): Promise<number> => (await measureTree(dir)).sizeBytes;
  const volumeBackend = createVolumeBackend(volumes, uses, events, measure);
  const images = createImageBackend({
    store,
    transfer,
    archives: createArchives(store),
    events,
    userAgent,
    listUsers: (id) => uses.listImageUsers(id),
    applyChanges,
  });
  const system = createSystemBackend({
    facts: await factsOf(base),
    images,
    events,
    countContainers: () => uses.counts(),
    listContainers: () => uses.list(),
    listVolumes: () => listVolumeUsage(volumeBackend),
    listBuildCache: () => listBuildCache(builder),
  });
  const groups = groupRoutes({
    system,
    events,
    transfer,
    images,
    build: { builder, events },
    networks: createNetworkBackend(networks, uses, events),
    volumes: volumeBackend,
    containers: createContainerBackend(containers, { store, networks, events, root: settings.root }),
    execs: containers,
  });
  const explain = createFullDiskExplainer({ root: settings.root, system });
  return { routes: Object.values(groups).flat(), explain };
}

async function openNetworks(
  { settings, store, log }: Base,
  opened: AsyncDisposableStack,
): Promise<NetworkStore> {
  const networks = await createNetworkStore({
    db: store.db,
    root: settings.root,
    execRoot: settings.execRoot,
    ...(settings.bip === undefined ? {} : { defaultSubnet: settings.bip }),
    onDamaged: (network, error) =>
      log.error('the definition of a network cannot be read: it is left out', {
        network,
        error: messageOf(error),
      }),
  });
  opened.defer(() => networks.close());
  return networks;
}

async function openBuilder(
  { settings, runtime, store }: Base,
  parts: { readonly networks: NetworkStore; readonly transfer: ImageTransfer },
  opened: AsyncDisposableStack,
): Promise<Builder> {
  const stepRuntime = createStepRuntime({
    runtimePath: runtime.path,
    stateDir: join(settings.execRoot, 'steps'),
    networks: parts.networks,
  });
  const builder = await createBuilder({
    root: settings.root,
    db: store.db,
    content: store.content,
    snapshots: store.snapshots,
    images: store.images,
    leases: store.leases,
    reclaimer: store.reclaimer,
    changesets: store.changesets,
    stepRuntime,
    transfer: parts.transfer,
    planDockerfile,
  });
  opened.defer(() => builder.close());
  return builder;
}

function openRuntime(settings: DaemonSettings): OciRuntime {
  const name = settings.defaultRuntime;
  if (name === undefined) return createOciRuntime();
  const path = settings.runtimes[name] ?? (name === 'runc' || name === 'crun' ? name : undefined);
  if (path === undefined) {
    throw new CodedError(
      'invalid_argument',
      `the default runtime "${name}" is not defined: add --add-runtime ${name}=PATH`,
    );
  }
  return createOciRuntime({ path });
}

async function factsOf({ settings, runtime, store }: Base): Promise<EngineFacts> {
  return {
    name: `${PRODUCT} Engine`,
    version: VERSION,
    commit: '',
    buildTime: '',
    id: await ensureEngineId(settings.root),
    rootDir: settings.root,
    storageDriver: driverName(store),
    debug: settings.logLevel === 'debug',
    labels: settings.labels,
    runtime,
    cgroupDriver: 'cgroupfs',
    seccomp: true,
    insecureRegistries: settings.insecureRegistries,
    mirrors: settings.registryMirrors,
    proxy: settings.proxy,
  };
}
