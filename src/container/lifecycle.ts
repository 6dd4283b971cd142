import { existsSync, rmdirSync, rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { CodedError, hasCode, messageOf } from '#base/errors/index.ts';
import type { ExitRecord } from '#runtime/keeper/types.ts';
import { clarifyStart, killCgroup, startFailure } from '#runtime/process/index.ts';
import { makeBundleDir, writeBundle } from './bundle.ts';
import {
  type Context,
  cgroupsPathOf,
  changeState,
  dirOf,
  exitFileOf,
  isRunning,
  logPathOf,
  publish,
  rootfsOf,
  runtimeRootOf,
  snapshotKey,
} from './context.ts';
import { freshHealth } from './health.ts';
import type { HealthMonitors } from './health-monitor.ts';
import { followLinks } from './hosts-file.ts';
import { resolveLinks } from './links.ts';
import { removeOwnVolumes } from './mounts.ts';
import {
  namespacesOf,
  type PreparedNetwork,
  prepareNetwork,
  releaseNetwork,
  releaseSandbox,
} from './networking.ts';
import { publishJoined, publishLeft } from './notices.ts';
import { Restarts } from './restarts.ts';
import { isDirectoryIn } from './rooted-tree.ts';
import { logLimits, parseSignal } from './settings.ts';
import { dropShm, prepareShm } from './shm.ts';
import type { ContainerRecord, WaitCondition, WaitResult } from './types.ts';
import { acquireVolumes, releaseVolumes } from './volume-use.ts';
import { Waiters } from './waiters.ts';

const STOP_TIMEOUT_SECONDS = 10;
const LAST_SIGNAL = 64;

/** Starts, ends and removes containers, and keeps what waits for that. */
export class Lifecycle {
  readonly #context: Context;
  readonly #waiters = new Waiters();
  readonly #restarts: Restarts;

  readonly #health: HealthMonitors;

  constructor(context: Context, health: HealthMonitors) {
    this.#context = context;
    this.#health = health;
    this.#restarts = new Restarts(context, (id) => this.start(id, { isRestart: true }));
  }

  /** Stops waiting for restarts; containers go on. */
  close(): void {
    this.#restarts.close();
  }

  /** Registers at once; see `ContainerService.wait`. */
  wait(record: ContainerRecord, condition: WaitCondition, signal: AbortSignal): Promise<WaitResult> {
    return this.#waiters.wait(record, condition, signal);
  }

  /** @see ContainerService.start */
  start(id: string, options: { readonly isRestart?: boolean } = {}): Promise<boolean> {
    return this.#context.locks.run(id, () => this.#startLocked(id, options.isRestart === true));
  }

  async #startLocked(id: string, isRestart: boolean): Promise<boolean> {
    const context = this.#context;
    const record = context.records.get(id);
    if (record.state.status === 'paused') {
      throw new CodedError('conflict', 'cannot start a paused container, try unpause instead');
    }
    if (record.state.status === 'running') return false;
    if (record.state.status === 'removing' || record.state.status === 'dead') {
      throw new CodedError('conflict', 'container is marked for removal and cannot be started');
    }
    this.#restarts.cancel(id);
    try {
      await this.#launch(record);
    } catch (error) {
      const failed = this.#failStart(record, error);
      if (record.hostConfig.AutoRemove === true && !isRestart)
        await this.#removeLocked(record.id, { volumes: true });
      throw failed;
    }
    publishJoined(context, context.records.get(id));
    publish(context, context.records.get(id), 'start');
    this.#health.watch(context.records.get(id));
    followLinks(context, context.records.get(id));
    return true;
  }

  async #launch(record: ContainerRecord): Promise<void> {
    const context = this.#context;
    const { id, config, hostConfig: host } = record;
    await using undo = new AsyncDisposableStack();
    const rootfs = rootfsOf(context, id);
    context.snapshots.mountAt(snapshotKey(id), rootfs, { volatile: host.AutoRemove === true });
    undo.defer(() => this.#unmount(id));
    const network = await prepareNetwork(context, record);
    undo.defer(async () => {
      if (network.sandbox !== undefined) await releaseSandbox(context, network.sandbox, network.hasResolver);
    });
    await acquireVolumes(context, record);
    undo.defer(() => releaseVolumes(context, record));
    const dir = dirOf(context, id);
    makeBundleDir(dir);
    const stubs = writeBundle(
      { ...record, attachments: network.attachments },
      {
        dir,
        rootfs,
        cgroupsPath: cgroupsPathOf(record),
        network: network.namespace,
        namespaces: namespacesOf(context, host),
        networks: context.networks,
        initPath: context.initPath,
        hasResolver: network.hasResolver,
        networkOwnerDir: network.ownerDir,
        links: resolveLinks(context, record),
        shm: prepareShm(context, record),
      },
    );
    const limits = logLimits(host);
    const [height = 0, width = 0] = host.ConsoleSize ?? [];
    const started = await this.#keeperStart({
      id,
      runtime: { path: context.runtime.path, root: runtimeRootOf(context) },
      bundle: dir,
      cgroupsPath: cgroupsPathOf(record),
      streams: {
        tty: config.Tty === true,
        openStdin: config.OpenStdin === true,
        stdinOnce: config.StdinOnce === true,
        ...(height > 0 && width > 0 ? { size: { rows: height, columns: width } } : {}),
      },
      ...(limits === undefined ? {} : { log: { path: logPathOf(context, id), ...limits } }),
      exitFile: exitFileOf(context, id),
    });
    undo.move();
    this.#markStarted(record, started, network, stubs);
  }

  async #keeperStart(
    request: Parameters<Context['keeper']['start']>[0],
  ): ReturnType<Context['keeper']['start']> {
    try {
      return await this.#context.keeper.start(request);
    } catch (error) {
      if (!hasCode(error, 'invalid_argument')) throw error;
      const rootfs = rootfsOf(this.#context, request.id);
      throw startFailure(clarifyStart(messageOf(error), (path) => isDirectoryIn(rootfs, path)));
    }
  }

  #markStarted(
    record: ContainerRecord,
    started: { readonly pid: number; readonly startedAt: number },
    network: PreparedNetwork,
    stubs: readonly string[],
  ): void {
    changeState(
      this.#context,
      record.id,
      {
        status: 'running',
        pid: started.pid,
        exitCode: 0,
        error: '',
        oomKilled: false,
        startedAt: started.startedAt,
        finishedAt: 0,
        health: freshHealth(record.config),
      },
      {
        attachments: network.attachments,
        ...(network.sandbox === undefined
          ? {}
          : { sandboxId: network.sandbox.id, sandboxPath: network.sandbox.path }),
        stubs: [...new Set([...record.stubs, ...stubs])],
        stoppedByHand: false,
      },
    );
  }

  #failStart(record: ContainerRecord, error: unknown): unknown {
    const message = messageOf(error);
    const exitCode = startExitCode(message);
    changeState(this.#context, record.id, {
      status: record.state.startedAt === 0 ? 'created' : 'exited',
      pid: 0,
      exitCode,
      error: message,
    });
    this.#waiters.settle(record.id, ['not-running', 'next-exit'], { exitCode, error: '' });
    return error;
  }

  /** The keeper says that a container's process has ended. */
  onExit(exit: ExitRecord): Promise<void> {
    return this.#context.locks.run(exit.id, async () => {
      const record = this.#context.records.byId(exit.id);
      if (record !== undefined) await this.#exited(record, exit);
    });
  }

  async #exited(before: ContainerRecord, exit: ExitRecord): Promise<void> {
    const context = this.#context;
    const { id } = before;
    if (before.state.finishedAt >= exit.finishedAt && !isRunning(before)) return;
    const restarts = this.#restarts.isWanted(before, exit);
    // A probe that was under way has ended with the container; nobody waits for the news of it.
    void this.#health.halt(id);
    await releaseNetwork(context, before);
    await this.#unmount(id);
    const record = changeState(
      context,
      id,
      {
        status: restarts ? 'restarting' : 'exited',
        pid: 0,
        exitCode: exit.exitCode,
        oomKilled: exit.oomKilled,
        finishedAt: exit.finishedAt,
        // As Docker shows what is not checked any more.
        ...(before.state.health ? { health: { ...before.state.health, status: 'unhealthy' } } : {}),
      },
      {
        attachments: before.attachments.map(({ endpoint: _, ...kept }) => kept),
        sandboxId: undefined,
        sandboxPath: undefined,
        durable: before.hostConfig.AutoRemove !== true,
      },
    );
    await context.keeper.forget(id).catch(() => {});
    if (exit.oomKilled) publish(context, record, 'oom');
    publish(context, record, 'die', {
      exitCode: String(exit.exitCode),
      execDuration: String(Math.floor((exit.finishedAt - exit.startedAt) / 1000)),
    });
    publishLeft(context, record);
    releaseVolumes(context, record);
    const result = { exitCode: exit.exitCode, error: '' };
    this.#waiters.settle(id, restarts ? ['next-exit'] : ['not-running', 'next-exit'], result);
    if (restarts) this.#restarts.schedule(record, exit);
    else if (record.hostConfig.AutoRemove === true) await this.#removeLocked(id, { volumes: true });
  }

  /** @see ContainerService.stop */
  async stop(
    id: string,
    options: { readonly signal?: string; readonly timeoutSeconds?: number },
  ): Promise<boolean> {
    const context = this.#context;
    const record = context.records.get(id);
    if (record.state.status === 'restarting') {
      this.#restarts.cancel(id);
      changeState(context, id, { status: 'exited' }, { stoppedByHand: true });
      this.#waiters.settle(id, ['not-running', 'next-exit'], { exitCode: record.state.exitCode, error: '' });
      return true;
    }
    if (!isRunning(record)) return false;
    const signal = parseSignal(options.signal || record.config.StopSignal || 'SIGTERM');
    const seconds = options.timeoutSeconds ?? record.config.StopTimeout ?? STOP_TIMEOUT_SECONDS;
    const ended = this.wait(record, 'next-exit', new AbortController().signal);
    context.records.change(id, { stoppedByHand: true });
    await this.#signal(record, signal);
    publish(context, record, 'kill', { signal: String(signal) });
    if (record.state.status === 'paused') await this.resumeFrozen(record);
    const inTime =
      seconds < 0
        ? ended.then(() => true)
        : Promise.race([ended.then(() => true), delay(seconds * 1000, false, { ref: false })]);
    if (!(await inTime)) {
      await this.#signal(record, 9);
      publish(context, record, 'kill', { signal: '9' });
      killCgroup(cgroupsPathOf(record));
      await ended;
    }
    publish(context, context.records.byId(id) ?? record, 'stop');
    return true;
  }

  /** @see ContainerService.kill */
  async kill(id: string, text: string): Promise<void> {
    const context = this.#context;
    const { record, signal } = naming(`cannot kill container: ${id}`, () => {
      const found = context.records.get(id);
      if (/^\d+$/.test(text) && Number(text) > LAST_SIGNAL)
        throw new CodedError('invalid_argument', `the linux daemon does not support signal ${text}`);
      const wanted = parseSignal(text || 'KILL');
      if (!isRunning(found)) throw new CodedError('conflict', `container ${found.id} is not running`);
      return { record: found, signal: wanted };
    });
    const isEnd = signal === 9 || signal === parseSignal(record.config.StopSignal || 'TERM');
    if (isEnd) context.records.change(record.id, { stoppedByHand: true });
    await this.#signal(record, signal);
    if (signal === 9 && record.state.status === 'paused') await this.resumeFrozen(record);
    publish(context, record, 'kill', { signal: String(signal) });
    if (signal !== 9) return;
    // As Docker: who kills for good may rely on the end.
    await Promise.race([
      this.wait(context.records.get(record.id), 'not-running', new AbortController().signal).catch(() => {}),
      delay(STOP_TIMEOUT_SECONDS * 1000, undefined, { ref: false }),
    ]);
  }

  async #signal(record: ContainerRecord, signal: number): Promise<void> {
    try {
      await this.#context.keeper.signal(record.id, signal);
    } catch (error) {
      if (!hasCode(error, 'not_found')) throw error;
    }
  }

  /** Thaws a paused container so that it can receive a signal; set by the service. */
  resumeFrozen: (record: ContainerRecord) => Promise<void> = async () => {};

  /** @see ContainerService.remove */
  async remove(id: string, options: { readonly force: boolean; readonly volumes: boolean }): Promise<void> {
    const context = this.#context;
    const record = context.records.get(id);
    if (isRunning(record) || record.state.status === 'restarting') {
      if (!options.force) throw stillRunning(record);
      this.#restarts.cancel(id);
      if (isRunning(record)) await this.kill(id, 'KILL');
    }
    // A container with --rm removes itself when it ends.
    await context.locks.run(id, async () => {
      if (context.records.byId(id) !== undefined) await this.#removeLocked(id, { volumes: options.volumes });
    });
  }

  async #removeLocked(id: string, options: { readonly volumes: boolean }): Promise<void> {
    const context = this.#context;
    const record = context.records.get(id);
    if (isRunning(record)) throw stillRunning(record);
    await this.#unmount(id);
    context.records.remove(id);
    this.#restarts.forget(id);
    await context.snapshots.remove(snapshotKey(id));
    rmSync(dirOf(context, id), { recursive: true, force: true });
    context.keeper.forget(id, { abandon: true }).catch(() => {});
    if (options.volumes) await removeOwnVolumes(context, record);
    publish(context, record, 'destroy');
    this.#waiters.settle(id, ['not-running', 'next-exit', 'removed'], {
      exitCode: record.state.exitCode,
      error: '',
    });
    this.#waiters.drop(id);
  }

  async #unmount(id: string): Promise<void> {
    dropShm(this.#context, id);
    const target = rootfsOf(this.#context, id);
    if (!existsSync(target)) return;
    // What goes with its container was mounted without syncs: that ends at once.
    const goes = this.#context.records.byId(id)?.hostConfig.AutoRemove === true;
    if (goes) this.#context.snapshots.unmount(target);
    else await this.#context.snapshots.unmountInBackground(target);
    try {
      rmdirSync(target);
    } catch {
      // It was not there.
    }
  }

  /** Starts what a restart policy wants up after the engine was started. */
  startPolicies(): void {
    this.#restarts.startAll();
  }
}

function stillRunning(record: ContainerRecord): CodedError {
  return new CodedError(
    'conflict',
    `cannot remove container "/${record.name}": container is ${record.state.status}: stop the container before removing or force remove`,
  );
}

/** Docker's exit code of a container whose start failed. */
export function startExitCode(message: string): number {
  if (/executable file not found|no such file or directory|system cannot find the file/.test(message))
    return 127;
  if (/permission denied|not a directory|is a directory|exec format error/.test(message)) return 126;
  return 128;
}

/** What `body` returns; its coded errors carry `prefix` before their message, as Docker's do. */
export function naming<T>(prefix: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    throw new CodedError(error.code, `${prefix}: ${error.message}`, { cause: error });
  }
}
