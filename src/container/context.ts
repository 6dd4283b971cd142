import { join } from 'node:path';
import type { Log } from '#base/log/index.ts';
import type { ContainerConfig } from '#oci/config/index.ts';
import type { Keeper } from '#runtime/keeper/types.ts';
import type { NetworkStore } from '#runtime/network/types.ts';
import type { OciRuntime } from '#runtime/process/index.ts';
import type { VolumeStore } from '#runtime/volume/types.ts';
import type { Changesets } from '#store/changeset/types.ts';
import type { ContentStore } from '#store/content/types.ts';
import type { ImageStore } from '#store/image/types.ts';
import type { Database } from '#store/metadata/index.ts';
import type { SnapshotStore } from '#store/snapshot/types.ts';
import type { ContainerRecords } from './records.ts';
import type { ContainerEvents, ContainerRecord, ContainerState } from './types.ts';

/** What containers are made of; options of `createContainerService`. */
export interface ContainerParts {
  readonly db: Database;
  readonly images: ImageStore;
  readonly snapshots: SnapshotStore;
  readonly changesets: Changesets;
  readonly content: ContentStore;
  readonly runtime: OciRuntime;
  readonly keeper: Keeper;
  /** Without it only the networks `host`, `none` and `container:` work. */
  readonly networks: NetworkStore | undefined;
  readonly volumes: VolumeStore;
  /** The data root. */
  readonly root: string;
  /** Run-time state, gone after a reboot. */
  readonly execRoot: string;
  readonly events: ContainerEvents;
  readonly log: Log;
  /** Dockerfile instructions of a commit. */
  readonly applyChanges: (changes: readonly string[], base: ContainerConfig) => Promise<ContainerConfig>;
  /** `docker-init` or `tini`, for `--init`. */
  readonly initPath?: string;
}

/** The parts and what all verbs share. */
export interface Context extends ContainerParts {
  readonly records: ContainerRecords;
  readonly locks: Locks;
}

/** One thing at a time per container. */
export class Locks {
  readonly #tails = new Map<string, Promise<unknown>>();

  /** Runs `body` after everything that was asked for the same id before. */
  async run<T>(id: string, body: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(id) ?? Promise.resolve();
    const mine = before.then(body, body);
    const tail = mine.catch(() => {});
    this.#tails.set(id, tail);
    try {
      return await mine;
    } finally {
      if (this.#tails.get(id) === tail) this.#tails.delete(id);
    }
  }
}

/** Key of a container's snapshot; the store keeps what has this form while the container's row exists. */
export function snapshotKey(id: string): string {
  return `container/${id}`;
}

/** A container's durable files: log, exit record, bundle. */
export function dirOf(context: Context, id: string): string {
  return join(context.root, 'containers', id);
}

/** Where a container's root file system is mounted while it runs. */
export function rootfsOf(context: Context, id: string): string {
  return join(context.execRoot, 'rootfs', id);
}

/** Where the log of a container is. */
export function logPathOf(context: Context, id: string): string {
  return join(dirOf(context, id), `${id}-json.log`);
}

/** Where the keeper notes how a container ended. */
export function exitFileOf(context: Context, id: string): string {
  return join(dirOf(context, id), 'exit.json');
}

/** State of the OCI runtime. */
export function runtimeRootOf(context: Context): string {
  return join(context.execRoot, 'runtime');
}

/** The cgroup of a container, as the runtime is told it. */
export function cgroupsPathOf(record: ContainerRecord): string {
  const parent = (record.hostConfig.CgroupParent || '/slipway').replace(/\/+$/, '');
  return `${parent.startsWith('/') ? '' : '/'}${parent}/${record.id}`;
}

/** Whether its process is there. */
export function isRunning({ state }: ContainerRecord): boolean {
  return state.status === 'running' || state.status === 'paused';
}

/** Changes a container's state; see `ContainerRecords.change` about `durable`. */
export function changeState(
  context: Context,
  id: string,
  changes: Partial<ContainerState>,
  more: Partial<ContainerRecord> & { readonly durable?: boolean } = {},
): ContainerRecord {
  const { durable, ...rest } = more;
  const record = context.records.get(id);
  return context.records.change(
    id,
    { ...rest, state: { ...record.state, ...changes } },
    durable === undefined ? {} : { durable },
  );
}

/** Tells what happened to a container, with Docker's attributes. */
export function publish(
  context: Context,
  record: ContainerRecord,
  action: string,
  attributes: Readonly<Record<string, string>> = {},
): void {
  context.events.publish({
    type: 'container',
    action,
    id: record.id,
    attributes: {
      ...record.config.Labels,
      image: record.imageName,
      name: record.name,
      ...attributes,
    },
  });
}
