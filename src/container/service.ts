import { execFile } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { promisify } from 'node:util';
import { CodedError } from '#base/errors/index.ts';
import type { Network } from '#runtime/network/types.ts';
import { listChanges } from './changes.ts';
import { commitContainer } from './commit.ts';
import {
  type ContainerParts,
  type Context,
  changeState,
  isRunning,
  Locks,
  logPathOf,
  publish,
  runtimeRootOf,
  snapshotKey,
} from './context.ts';
import { createContainer } from './create.ts';
import { Execs } from './exec.ts';
import { exportTar, readArchive, statPath, writeArchive } from './files.ts';
import { HealthMonitors } from './health-monitor.ts';
import { Lifecycle } from './lifecycle.ts';
import { readLog } from './logs.ts';
import { connectContainer, disconnectContainer } from './membership.ts';
import { listProcesses, sampleStats } from './monitor.ts';
import { ContainerRecords } from './records.ts';
import { recoverContainers } from './recovery.ts';
import { renameContainer } from './rename.ts';
import { restoreNames, warmNames } from './resolver.ts';
import { frame, joinStreams, parseDetachKeys } from './streams.ts';
import type {
  AttachQuery,
  ContainerRecord,
  ContainerService,
  LogEntry,
  LogQuery,
  PathStat,
} from './types.ts';
import { planUpdate } from './update.ts';
import type { HostSettings } from './wire.ts';

const run = promisify(execFile);

/**
 * Opens the containers of an engine and joins them with what the keeper holds: what ran while no engine was there goes
 * on, and what ended meanwhile is told now.
 */
export async function createContainerService(parts: ContainerParts): Promise<ContainerService> {
  for (const dir of [
    parts.execRoot,
    `${parts.execRoot}/rootfs`,
    `${parts.execRoot}/views`,
    `${parts.execRoot}/runtime`,
  ]) {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  }
  const context: Context = { ...parts, records: new ContainerRecords(parts.db), locks: new Locks() };
  for (const { id, reason } of context.records.broken) {
    parts.log.error('a container cannot be read from the database', { container: id, reason });
  }
  const service = new Containers(context);
  await service.recover();
  return service;
}

class Containers implements ContainerService {
  readonly #context: Context;
  readonly #lifecycle: Lifecycle;
  readonly #execs: Execs;
  readonly #health: HealthMonitors;
  readonly #unsubscribe: () => void;

  constructor(context: Context) {
    this.#context = context;
    this.#execs = new Execs(context);
    this.#health = new HealthMonitors(context, this.#execs);
    this.#lifecycle = new Lifecycle(context, this.#health);
    this.#lifecycle.resumeFrozen = (record) => this.#thaw(record);
    this.#unsubscribe = context.keeper.subscribe((event) => {
      if (event.containerId !== undefined) {
        this.#execs.onExit(event);
        return;
      }
      this.#execs.dropOf(event.exit.id);
      this.#lifecycle.onExit(event.exit).catch((error) => {
        context.log.error('the end of a container could not be handled', { container: event.exit.id, error });
      });
    });
    context.keeper.onLost(() =>
      context.log.error('the keeper is gone: containers cannot be started or attached to'),
    );
  }

  async recover(): Promise<void> {
    await recoverContainers(this.#context, this.#lifecycle);
    await restoreNames(this.#context);
    for (const record of this.list()) this.#health.watch(record);
  }

  async close(): Promise<void> {
    await this.#health.close();
    this.#unsubscribe();
    this.#lifecycle.close();
  }

  list(): readonly ContainerRecord[] {
    return this.#context.records.list();
  }

  get(nameOrId: string): ContainerRecord {
    return this.#context.records.get(nameOrId);
  }

  find(nameOrId: string): ContainerRecord | undefined {
    return this.#context.records.find(nameOrId);
  }

  create(request: Parameters<ContainerService['create']>[0]): ReturnType<ContainerService['create']> {
    return createContainer(this.#context, request);
  }

  start(nameOrId: string): Promise<boolean> {
    return this.#lifecycle.start(this.get(nameOrId).id);
  }

  stop(nameOrId: string, options: Parameters<ContainerService['stop']>[1]): Promise<boolean> {
    return this.#lifecycle.stop(this.get(nameOrId).id, options);
  }

  kill(nameOrId: string, signal: string): Promise<void> {
    return this.#lifecycle.kill(nameOrId, signal);
  }

  async restart(nameOrId: string, options: Parameters<ContainerService['restart']>[1]): Promise<void> {
    const { id } = this.get(nameOrId);
    await this.#lifecycle.stop(id, options);
    await this.#lifecycle.start(id);
    publish(this.#context, this.get(id), 'restart');
  }

  async pause(nameOrId: string): Promise<void> {
    const record = this.get(nameOrId);
    if (record.state.status === 'paused')
      throw new CodedError('conflict', `Container ${record.id} is already paused`);
    if (record.state.status !== 'running')
      throw new CodedError('conflict', `container ${record.id} is not running`);
    // A frozen probe could neither end nor be killed.
    await this.#health.halt(record.id);
    try {
      await this.#runtime('pause', record.id);
    } catch (error) {
      this.#health.watch(this.get(record.id));
      throw error;
    }
    publish(this.#context, changeState(this.#context, record.id, { status: 'paused' }), 'pause');
  }

  async unpause(nameOrId: string): Promise<void> {
    const record = this.get(nameOrId);
    if (record.state.status !== 'paused')
      throw new CodedError('conflict', `Container ${record.id} is not paused`);
    await this.#thaw(record);
  }

  async #thaw(record: ContainerRecord): Promise<void> {
    await this.#runtime('resume', record.id);
    if (this.get(record.id).state.status !== 'paused') return;
    publish(this.#context, changeState(this.#context, record.id, { status: 'running' }), 'unpause');
    this.#health.watch(this.get(record.id));
  }

  async #runtime(verb: string, id: string, ...more: readonly string[]): Promise<void> {
    try {
      await run(this.#context.runtime.path, ['--root', runtimeRootOf(this.#context), verb, ...more, id]);
    } catch (error) {
      const text = (error as { readonly stderr?: string }).stderr?.trim() || (error as Error).message;
      throw new CodedError('internal', `cannot ${verb} container ${id}: ${text}`, { cause: error });
    }
  }

  rename(nameOrId: string, name: string): void {
    renameContainer(this.#context, this.get(nameOrId), name);
  }

  remove(nameOrId: string, options: Parameters<ContainerService['remove']>[1]): Promise<void> {
    if (options.link === true) {
      this.get(nameOrId);
      throw new CodedError('conflict', 'Conflict, cannot remove the default link name of the container');
    }
    return this.#lifecycle.remove(this.get(nameOrId).id, options);
  }

  async update(nameOrId: string, changes: HostSettings): Promise<readonly string[]> {
    const record = this.get(nameOrId);
    const { hostConfig, flags } = planUpdate(record, changes);
    if (isRunning(record) && flags.length > 0) await this.#runtime('update', record.id, ...flags);
    this.#context.records.change(record.id, { hostConfig });
    publish(this.#context, record, 'update');
    return [];
  }

  wait(
    nameOrId: string,
    ...rest: readonly [Parameters<ContainerService['wait']>[1], AbortSignal]
  ): ReturnType<ContainerService['wait']> {
    return this.#lifecycle.wait(this.get(nameOrId), ...rest);
  }

  async resize(nameOrId: string, size: Parameters<ContainerService['resize']>[1]): Promise<void> {
    const record = this.get(nameOrId);
    if (!isRunning(record)) throw new CodedError('conflict', `container ${record.id} is not running`);
    await this.#context.keeper.resize(record.id, size);
    publish(this.#context, record, 'resize', { height: String(size.rows), width: String(size.columns) });
  }

  logs(nameOrId: string, query: LogQuery): AsyncIterable<LogEntry> {
    const record = this.get(nameOrId);
    if (record.hostConfig.LogConfig?.Type === 'none') {
      throw new CodedError('unimplemented', 'configured logging driver does not support reading');
    }
    const ended = (): boolean => {
      const now = this.#context.records.byId(record.id);
      return now === undefined || !(isRunning(now) || now.state.status === 'restarting');
    };
    return readLog(logPathOf(this.#context, record.id), query, ended);
  }

  async attach(
    nameOrId: string,
    query: AttachQuery,
  ): Promise<{ readonly tty: boolean; run(client: Duplex, connection?: Duplex): Promise<void> }> {
    const record = this.get(nameOrId);
    if (record.state.status === 'paused') {
      throw new CodedError(
        'conflict',
        `Container ${record.id} is paused, unpause the container before attach.`,
      );
    }
    if (record.state.status === 'restarting') {
      throw new CodedError(
        'conflict',
        `Container ${record.id} is restarting, wait until the container is running`,
      );
    }
    const detachKeys = parseDetachKeys(query.detachKeys);
    const tty = record.config.Tty === true;
    return {
      tty,
      run: (client, connection) => this.#attached(record, query, detachKeys, { client, connection }),
    };
  }

  async #attached(
    record: ContainerRecord,
    query: AttachQuery,
    detachKeys: Buffer,
    { client, connection }: { readonly client: Duplex; readonly connection: Duplex | undefined },
  ): Promise<void> {
    const tty = record.config.Tty === true;
    const isOver = record.state.status === 'exited' || record.state.status === 'dead';
    // Attached first: nothing that is written while the log is sent is missed.
    const kept =
      query.stream && !(isOver && query.logs)
        ? await this.#context.keeper.attach(record.id, {
            stdin: query.stdin,
            stdout: query.stdout,
            stderr: query.stderr,
            framed: !tty,
          })
        : undefined;
    publish(this.#context, record, 'attach');
    if (query.logs) await this.#replay(record, query, client);
    if (kept === undefined) {
      client.end();
      return;
    }
    const how = await joinStreams(client, kept, {
      stdin: query.stdin,
      detachKeys: query.stdin && tty ? detachKeys : undefined,
      connection,
    });
    if (how === 'detached') publish(this.#context, record, 'detach');
  }

  async #replay(record: ContainerRecord, query: AttachQuery, client: Duplex): Promise<void> {
    const { stdout, stderr } = query;
    const past = { stdout, stderr, follow: false, tail: undefined, since: undefined, until: undefined };
    for await (const entry of this.logs(record.id, { ...past, signal: new AbortController().signal })) {
      const data = Buffer.from(entry.text);
      if (client.destroyed) return;
      client.write(record.config.Tty === true ? data : frame(entry.stream, data));
    }
  }

  async createExec(
    nameOrId: string,
    request: Parameters<ContainerService['createExec']>[1],
  ): ReturnType<ContainerService['createExec']> {
    return this.#execs.create(this.get(nameOrId), request);
  }

  getExec(id: string): ReturnType<ContainerService['getExec']> {
    return this.#execs.get(id);
  }

  startExec(
    id: string,
    options: Parameters<ContainerService['startExec']>[1],
  ): ReturnType<ContainerService['startExec']> {
    return this.#execs.start(id, options);
  }

  resizeExec(id: string, size: Parameters<ContainerService['resizeExec']>[1]): Promise<void> {
    return this.#execs.resize(id, size);
  }

  async top(nameOrId: string, psArgs: string): ReturnType<ContainerService['top']> {
    const record = this.get(nameOrId);
    const processes = await listProcesses(record, psArgs);
    publish(this.#context, record, 'top');
    return processes;
  }

  async changes(nameOrId: string): ReturnType<ContainerService['changes']> {
    const record = this.get(nameOrId);
    return listChanges(this.#context, snapshotKey(record.id), record.stubs);
  }

  exportTar(nameOrId: string, signal: AbortSignal): AsyncIterable<Uint8Array> {
    return exportTar(this.#context, this.get(nameOrId), signal);
  }

  async statPath(nameOrId: string, path: string): Promise<PathStat> {
    return statPath(this.#context, nameOrId, path);
  }

  async readArchive(
    nameOrId: string,
    path: string,
    signal: AbortSignal,
  ): ReturnType<ContainerService['readArchive']> {
    return readArchive(this.#context, nameOrId, path, signal);
  }

  async writeArchive(
    nameOrId: string,
    path: string,
    tar: AsyncIterable<Uint8Array>,
    options: Parameters<ContainerService['writeArchive']>[3],
  ): Promise<void> {
    await writeArchive(this.#context, nameOrId, path, tar, options);
  }

  async commit(request: Parameters<ContainerService['commit']>[0]): ReturnType<ContainerService['commit']> {
    const record = this.get(request.container);
    const pauses = request.pause && record.state.status === 'running';
    if (pauses) await this.pause(record.id);
    try {
      return await commitContainer(this.#context, record, request);
    } finally {
      if (pauses) await this.unpause(record.id).catch(() => {});
    }
  }

  async stats(nameOrId: string, previous: object | undefined): Promise<object> {
    return sampleStats(this.#context, this.get(nameOrId), previous);
  }

  async sizes(nameOrId: string): ReturnType<ContainerService['sizes']> {
    const record = this.get(nameOrId);
    const { sizeBytes } = await this.#context.snapshots.usage(snapshotKey(record.id));
    const image = this.#context.images.findImage(record.imageId);
    return { sizeRw: sizeBytes, sizeRootFs: sizeBytes + (image?.sizeBytes ?? 0) };
  }

  listVolumeUsers(name: string): readonly string[] {
    return this.list()
      .filter(({ mounts }) => mounts.some((mount) => mount.name === name))
      .map(({ id }) => id);
  }

  warmNames(): void {
    warmNames(this.#context);
  }

  async connect(
    network: Network,
    container: string,
    options: Parameters<ContainerService['connect']>[2],
  ): Promise<void> {
    const { id } = this.get(container);
    return this.#context.locks.run(id, () => connectContainer(this.#context, this.get(id), network, options));
  }

  async disconnect(network: Network, container: string): Promise<void> {
    const { id } = this.get(container);
    return this.#context.locks.run(id, () => disconnectContainer(this.#context, this.get(id), network));
  }
}
