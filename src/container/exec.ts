import { randomBytes } from 'node:crypto';
import { closeSync, constants, openSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { raceSignal } from '#base/async/index.ts';
import { CodedError, hasCode, messageOf } from '#base/errors/index.ts';
import type { KeeperEvent } from '#runtime/keeper/types.ts';
import { clarifyStart, execFailure } from '#runtime/process/index.ts';
import { availableCapabilities, processFor, resolveUser } from '#runtime/spec/index.ts';
import { environmentOf, limitsOf, parseSecurity } from './bundle.ts';
import { type Context, dirOf, isRunning, publish, rootfsOf, runtimeRootOf } from './context.ts';
import { startExitCode } from './lifecycle.ts';
import { isDirectoryIn, readAccountFile } from './rooted-tree.ts';
import { frame, joinStreams, parseDetachKeys } from './streams.ts';
import type { ContainerRecord, Exec, ExecRequest, TerminalSize } from './types.ts';

interface Held {
  exec: Exec;
  started: boolean;
  size: TerminalSize | undefined;
  /** Told once when it ends: its exit code, or `undefined` when its container ended first. */
  onEnd?: (exitCode: number | undefined) => void;
}

/** How a process run by the engine itself ended. */
export interface RunOutcome {
  /** `undefined`: its container ended first, or the keeper is gone. */
  readonly exitCode: number | undefined;
  readonly output: string;
  readonly timedOut: boolean;
}

/** Time for a killed process to be reported. */
const KILL_GRACE_MS = 10_000;
/** Time for its last output to arrive. */
const OUTPUT_GRACE_MS = 3000;

/** Further processes in running containers. They are forgotten when their container ends. */
export class Execs {
  readonly #context: Context;
  readonly #held = new Map<string, Held>();

  constructor(context: Context) {
    this.#context = context;
  }

  /** @throws {CodedError} `conflict` while the container does not run. */
  create(record: ContainerRecord, request: ExecRequest): Exec {
    if (!isRunning(record)) {
      throw new CodedError('conflict', `container ${record.id} is not running`);
    }
    if (record.state.status === 'paused') {
      throw new CodedError(
        'conflict',
        `Container ${record.name} is paused, unpause the container before exec`,
      );
    }
    if (request.cmd.length === 0) throw new CodedError('invalid_argument', 'No exec command specified');
    parseDetachKeys(request.detachKeys);
    const exec: Exec = {
      id: randomBytes(32).toString('hex'),
      containerId: record.id,
      request,
      running: false,
      exitCode: undefined,
      pid: 0,
    };
    const [height = 0, width = 0] = request.consoleSize ?? [];
    const size = height > 0 && width > 0 ? { rows: height, columns: width } : undefined;
    this.#held.set(exec.id, { exec, started: false, size });
    publish(this.#context, record, `exec_create: ${commandLine(request)}`, { execID: exec.id });
    return exec;
  }

  /** @throws {CodedError} `not_found` with Docker's text. */
  get(id: string): Exec {
    return this.#get(id).exec;
  }

  listOf(containerId: string): readonly string[] {
    return [...this.#held.values()]
      .filter(({ exec }) => exec.containerId === containerId && exec.running)
      .map(({ exec }) => exec.id);
  }

  /** @see ContainerService.startExec */
  async start(
    id: string,
    options: { readonly detach: boolean; readonly tty: boolean; readonly size?: readonly [number, number] },
  ): Promise<{ readonly tty: boolean; run(client: Duplex, connection?: Duplex): Promise<void> }> {
    const held = this.#get(id);
    const { request, containerId } = held.exec;
    const record = this.#context.records.get(containerId);
    if (held.started) {
      throw new CodedError('conflict', `Error: Exec command ${id} is already running`);
    }
    if (!isRunning(record)) throw new CodedError('conflict', `container ${record.id} is not running`);
    const [height = 0, width = 0] = options.size ?? [];
    if (height > 0 && width > 0) held.size = { rows: height, columns: width };
    held.started = true;
    const { tty } = request;
    if (options.detach) {
      await this.#launch(held, record);
      return { tty, run: async () => {} };
    }
    return { tty, run: (client, connection) => this.#attached(held, record, client, connection) };
  }

  async #attached(
    held: Held,
    record: ContainerRecord,
    client: Duplex,
    connection: Duplex | undefined,
  ): Promise<void> {
    const { request, id } = held.exec;
    const kept = await this.#context.keeper.attach(id, {
      stdin: request.attachStdin,
      stdout: request.attachStdout,
      stderr: request.attachStderr,
      framed: !request.tty,
    });
    const joined = joinStreams(client, kept, {
      stdin: request.attachStdin,
      detachKeys: request.attachStdin && request.tty ? parseDetachKeys(request.detachKeys) : undefined,
      connection,
    });
    try {
      await this.#launch(held, record);
    } catch (error) {
      // The connection is the client's already: the reason goes where output would.
      const text = Buffer.from(`${messageOf(error)}\r\n`);
      if (!client.destroyed) client.end(request.tty ? text : frame('stdout', text));
      kept.destroy();
    }
    const how = await joined;
    if (how === 'detached') publish(this.#context, record, 'exec_detach', { execID: id });
  }

  async #launch(
    held: Held,
    record: ContainerRecord,
    limits: { readonly killAfterMs?: number } = {},
  ): Promise<void> {
    const { request, id } = held.exec;
    const context = this.#context;
    const processFile = join(dirOf(context, record.id), `exec-${id.slice(0, 16)}.json`);
    try {
      const document = processDocument(record, request, held.size);
      writeFileSync(processFile, JSON.stringify(document), { mode: 0o600 });
      held.exec = { ...held.exec, running: true };
      const { pid } = await context.keeper.exec({
        id,
        containerId: record.id,
        runtime: { path: context.runtime.path, root: runtimeRootOf(context) },
        processFile,
        ...limits,
        streams: {
          tty: request.tty,
          openStdin: request.attachStdin,
          stdinOnce: true,
          ...(held.size === undefined ? {} : { size: held.size }),
        },
      });
      held.exec = { ...held.exec, pid };
      publish(context, record, `exec_start: ${commandLine(request)}`, { execID: id });
    } catch (error) {
      // What the engine itself refuses, such as an unknown user, is not a failure of the runtime; its code is 126, as Docker's.
      const isOurs = !held.exec.running;
      const rootfs = rootfsOf(context, record.id);
      const said = clarifyStart(messageOf(error), (path) => isDirectoryIn(rootfs, path));
      const failure = !isOurs && hasCode(error, 'invalid_argument') ? execFailure(said) : error;
      const isMissing = !isOurs && !/: chdir to cwd /.test(said) && startExitCode(said) === 127;
      const exitCode = isMissing ? 127 : 126;
      held.exec = { ...held.exec, running: false, exitCode };
      await context.keeper.forget(id, { abandon: true }).catch(() => {});
      throw failure;
    } finally {
      rmSync(processFile, { force: true });
    }
  }

  /**
   * Runs a process in a container and waits for it; with its time over, or when `signal` aborts, it and what it started in its
   * process group are killed. The time counts from when it runs. Nothing is kept of it.
   * @throws {CodedError} when it cannot be started.
   */
  async run(
    record: ContainerRecord,
    request: ExecRequest,
    options: { readonly timeoutMs: number; readonly outputBytes: number; readonly signal: AbortSignal },
  ): Promise<RunOutcome> {
    const { id } = this.create(record, request);
    const held = this.#get(id);
    held.started = true;
    const { keeper } = this.#context;
    const ended = Promise.withResolvers<number | undefined>();
    held.onEnd = ended.resolve;
    try {
      const streams = await keeper.attach(id, { stdin: false, stdout: true, stderr: true, framed: false });
      const output = new Output(streams, options.outputBytes);
      using _ = output;
      // Should this engine end first, the keeper does it.
      await this.#launch(held, record, { killAfterMs: options.timeoutMs + KILL_GRACE_MS });
      const how = await this.#waitOrKill(id, ended.promise, options);
      // Output comes on a connection of its own, and may be behind the news of the end.
      await Promise.race([output.closed, delay(OUTPUT_GRACE_MS, undefined, { ref: false })]);
      return { ...how, output: output.text };
    } finally {
      this.#held.delete(id);
    }
  }

  async #waitOrKill(
    id: string,
    ended: Promise<number | undefined>,
    { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal: AbortSignal },
  ): Promise<{ readonly exitCode: number | undefined; readonly timedOut: boolean }> {
    const timer = new AbortController();
    const stop = AbortSignal.any([signal, timer.signal]);
    const timeout = setTimeout(() => timer.abort(), timeoutMs);
    timeout.unref();
    try {
      return { exitCode: await raceSignal(ended, stop), timedOut: false };
    } catch (error) {
      if (!stop.aborted) throw error;
      await this.#context.keeper.signal(id, 9, { group: true }).catch(() => {});
      await Promise.race([ended, delay(KILL_GRACE_MS, undefined, { ref: false })]);
      return { exitCode: undefined, timedOut: timer.signal.aborted && !signal.aborted };
    } finally {
      clearTimeout(timeout);
    }
  }

  async resize(id: string, size: TerminalSize): Promise<void> {
    const held = this.#get(id);
    held.size = size;
    await this.#context.keeper.resize(id, size);
  }

  /** The keeper says that a process ended. */
  onExit(event: KeeperEvent): void {
    this.#context.keeper.forget(event.exit.id).catch(() => {});
    const held = this.#held.get(event.exit.id);
    if (held === undefined) return;
    held.exec = { ...held.exec, running: false, exitCode: event.exit.exitCode };
    held.onEnd?.(event.exit.exitCode);
    const record = this.#context.records.byId(held.exec.containerId);
    if (record === undefined) return;
    publish(this.#context, record, 'exec_die', {
      execID: event.exit.id,
      exitCode: String(event.exit.exitCode),
    });
  }

  /** A container is gone, and its execs with it. */
  dropOf(containerId: string): void {
    for (const [id, { exec, onEnd }] of this.#held) {
      if (exec.containerId !== containerId) continue;
      this.#held.delete(id);
      onEnd?.(undefined);
    }
  }

  #get(id: string): Held {
    const held = this.#held.get(id) ?? this.#byPrefix(id);
    if (held !== undefined) return held;
    throw new CodedError('not_found', `No such exec instance: ${id}`, {
      subject: { kind: 'exec', name: id },
    });
  }

  #byPrefix(prefix: string): Held | undefined {
    if (prefix.length < 4) return undefined;
    const found = [...this.#held.entries()].filter(([id]) => id.startsWith(prefix));
    return found.length === 1 ? found[0]?.[1] : undefined;
  }
}

function processDocument(
  record: ContainerRecord,
  request: ExecRequest,
  size: TerminalSize | undefined,
): object {
  const { config, hostConfig: host } = record;
  const root = openSync(`/proc/${record.state.pid}/root`, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const user = resolveUser(
      request.user || config.User || '',
      (path) => readAccountFile(root, path),
      host.GroupAdd ?? [],
    );
    const privileged = request.privileged || host.Privileged === true;
    const own = new Set(request.env.map((entry) => entry.split('=', 1)[0]));
    const env = environmentOf(
      {
        ...config,
        Tty: request.tty,
        Env: [
          ...(config.Env ?? []).filter((entry) => !own.has(entry.split('=', 1)[0])),
          ...request.env.filter((entry) => entry.includes('=')),
        ],
      },
      user.home,
    );
    return processFor({
      args: request.cmd,
      env,
      cwd: request.workingDir || config.WorkingDir || '/',
      user,
      terminal: request.tty,
      ...(size === undefined ? {} : { consoleSize: { height: size.rows, width: size.columns } }),
      privileged,
      capAdd: host.CapAdd ?? [],
      capDrop: host.CapDrop ?? [],
      available: availableCapabilities(),
      noNewPrivileges: parseSecurity(host.SecurityOpt ?? [], privileged).noNewPrivileges,
      limits: limitsOf(host),
      oomScoreAdj: host.OomScoreAdj ?? 0,
    });
  } finally {
    closeSync(root);
  }
}

/** The first bytes of a stream as text, with `...` after them when there was more. */
class Output implements Disposable {
  readonly closed: Promise<void>;
  readonly #stream: Duplex;
  readonly #limit: number;
  readonly #chunks: Buffer[] = [];
  #size = 0;

  constructor(stream: Duplex, limit: number) {
    this.#stream = stream;
    this.#limit = limit;
    this.closed = new Promise((resolve) => stream.once('close', resolve));
    stream.once('end', () => stream.destroy());
    stream.on('data', (chunk: Buffer) => {
      if (this.#size < limit) this.#chunks.push(chunk.subarray(0, limit - this.#size));
      this.#size += chunk.length;
    });
    stream.resume();
  }

  get text(): string {
    return `${Buffer.concat(this.#chunks).toString('utf8')}${this.#size > this.#limit ? '...' : ''}`;
  }

  [Symbol.dispose](): void {
    this.#stream.destroy();
  }
}

/** As Docker's events have it: the program, a space, its arguments. */
function commandLine({ cmd: [program = '', ...args] }: ExecRequest): string {
  return `${program} ${args.join(' ')}`;
}
