import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CodedError, messageOf } from '#base/errors/index.ts';
import { killCgroup, readOomKills, removeCgroup } from '#runtime/process/index.ts';
import { launch } from './launch.ts';
import { LogWriter, logClock } from './log-writer.ts';
import { Reaper } from './reaper.ts';
import { Session } from './session.ts';
import type { ExitRecord, KeeperEvent, KeeperExec, KeeperStart, KeptProcess } from './types.ts';

interface Kept {
  readonly id: string;
  readonly containerId: string | undefined;
  readonly session: Session;
  pid: number;
  startedAt: number;
  exit: ExitRecord | undefined;
}

/** All processes of a keeper: starts them, records their ends. */
export class KeptProcesses {
  readonly #reaper = new Reaper();
  readonly #kept = new Map<string, Kept>();
  readonly #scratchDir: string;
  readonly #onEvent: (event: KeeperEvent) => void;
  readonly #onError: (message: string) => void;

  constructor(options: {
    readonly scratchDir: string;
    readonly onEvent: (event: KeeperEvent) => void;
    readonly onError: (message: string) => void;
  }) {
    this.#scratchDir = options.scratchDir;
    this.#onEvent = options.onEvent;
    this.#onError = options.onError;
    mkdirSync(this.#scratchDir, { recursive: true, mode: 0o700 });
    this.#reaper.listen();
  }

  /** Whether a process runs or is being started. */
  get busy(): boolean {
    for (const { pid, exit } of this.#kept.values()) if (pid !== 0 && exit === undefined) return true;
    return false;
  }

  list(): readonly KeptProcess[] {
    return [...this.#kept.values()]
      .filter(({ pid }) => pid > 0)
      .map(({ id, containerId, pid, startedAt, exit }) => ({
        id,
        pid,
        startedAt,
        ...(containerId === undefined ? {} : { containerId }),
        ...(exit === undefined ? {} : { exit }),
      }));
  }

  /** The session of `id`; one is made for those who attach before the start. */
  sessionOf(id: string): Session {
    return this.#slot(id, undefined).session;
  }

  /** @throws {CodedError} `conflict` while it runs; `invalid_argument` with the runtime's words. */
  async start(request: KeeperStart): Promise<{ readonly pid: number; readonly startedAt: number }> {
    const log =
      request.log === undefined
        ? undefined
        : new LogWriter(request.log, (error) =>
            this.#onError(`cannot write log of ${request.id}: ${messageOf(error)}`),
          );
    rmSync(request.exitFile, { force: true });
    return this.#launch(request.id, undefined, {
      runtime: request.runtime,
      command: ['run', '--detach', '--bundle', request.bundle],
      operand: request.id,
      streams: request.streams,
      log,
      onExit: (kept, exitCode) => this.#containerEnded(request, kept, exitCode),
      onFailure: () => removeRuntimeState(request),
    });
  }

  async exec(request: KeeperExec): Promise<{ readonly pid: number; readonly startedAt: number }> {
    let deadline: NodeJS.Timeout | undefined;
    const started = await this.#launch(request.id, request.containerId, {
      runtime: request.runtime,
      command: ['exec', '--detach', '--process', request.processFile],
      operand: request.containerId,
      streams: request.streams,
      log: undefined,
      onExit: async (kept, exitCode) => {
        clearTimeout(deadline);
        await kept.session.end();
        this.#tell(kept, {
          id: kept.id,
          exitCode,
          oomKilled: false,
          startedAt: kept.startedAt,
          finishedAt: logClock(),
        });
      },
      onFailure: () => {},
    });
    if (request.killAfterMs !== undefined)
      deadline = setTimeout(() => this.#killGroup(request.id), request.killAfterMs);
    return started;
  }

  #killGroup(id: string): void {
    try {
      this.signal(id, 9, true);
    } catch {
      // It has ended.
    }
  }

  resize(id: string, size: { readonly rows: number; readonly columns: number }): void {
    this.#slot(id, undefined).session.resize(size);
  }

  /** @throws {CodedError} `not_found` when it does not run. */
  signal(id: string, signal: number, group = false): void {
    const kept = this.#kept.get(id);
    if (kept === undefined || kept.pid === 0 || kept.exit !== undefined) {
      throw new CodedError('not_found', `process ${id} is not running`);
    }
    // The runtime makes every process it starts the leader of a session, and so of a group.
    process.kill(group ? -kept.pid : kept.pid, signal);
  }

  /** Drops an ended process, or one that never started. */
  forget(id: string, abandon: boolean): void {
    const kept = this.#kept.get(id);
    if (kept === undefined || (kept.exit === undefined && (kept.pid !== 0 || !abandon))) return;
    kept.session.abandon();
    this.#kept.delete(id);
    for (const other of this.#kept.values()) {
      if (other.containerId === id && other.exit !== undefined) this.#kept.delete(other.id);
    }
  }

  #slot(id: string, containerId: string | undefined): Kept {
    let kept = this.#kept.get(id);
    // A container that is started again, or attached to before that, is a new process.
    if (kept === undefined || kept.exit !== undefined) {
      kept = { id, containerId, session: new Session(), pid: 0, startedAt: 0, exit: undefined };
      this.#kept.set(id, kept);
    }
    return kept;
  }

  async #launch(
    id: string,
    containerId: string | undefined,
    options: Pick<Parameters<typeof launch>[2], 'runtime' | 'command' | 'operand' | 'streams' | 'log'> & {
      readonly onExit: (kept: Kept, exitCode: number) => Promise<void>;
      readonly onFailure: () => void;
    },
  ): Promise<{ readonly pid: number; readonly startedAt: number }> {
    let kept = this.#slot(id, containerId);
    if (kept.pid !== 0) throw new CodedError('conflict', `process ${id} is running`);
    if (kept.containerId !== containerId) {
      kept = { ...kept, containerId };
      this.#kept.set(id, kept);
    }
    kept.pid = -1;
    // Before it runs: clients read the log since then, and nothing of it may be earlier.
    kept.startedAt = logClock();
    const current = kept;
    try {
      await this.#reaper.whileStarting(async (own) => {
        current.pid = await launch(own, current.session, {
          ...options,
          scratchDir: this.#scratchDir,
          name: id.slice(0, 24),
        });
        this.#reaper.watch(current.pid, ({ exitCode }) => {
          options
            .onExit(current, exitCode)
            .catch((error) => this.#onError(`cannot end ${id}: ${messageOf(error)}`));
        });
      });
    } catch (error) {
      kept.pid = 0;
      options.onFailure();
      throw error;
    }
    return { pid: kept.pid, startedAt: kept.startedAt };
  }

  async #containerEnded(request: KeeperStart, kept: Kept, exitCode: number): Promise<void> {
    const record: ExitRecord = {
      id: request.id,
      exitCode,
      oomKilled: readOomKills(request.cgroupsPath) > 0,
      startedAt: kept.startedAt,
      finishedAt: logClock(),
    };
    await kept.session.end();
    try {
      writeDurably(request.exitFile, JSON.stringify(record));
    } catch (error) {
      this.#onError(`cannot record the exit of ${request.id}: ${messageOf(error)}`);
    }
    removeRuntimeState(request);
    this.#tell(kept, record);
  }

  #tell(kept: Kept, exit: ExitRecord): void {
    kept.exit = exit;
    this.#onEvent({
      kind: 'exit',
      exit,
      ...(kept.containerId === undefined ? {} : { containerId: kept.containerId }),
    });
  }
}

/** What `runc delete` would do, without starting it: kill what is left, remove the cgroups and the state directory. */
function removeRuntimeState(request: KeeperStart): void {
  if (!removeCgroup(request.cgroupsPath)) {
    killCgroup(request.cgroupsPath);
    removeCgroup(request.cgroupsPath);
  }
  rmSync(join(request.runtime.root, request.id), { recursive: true, force: true });
}

function writeDurably(path: string, text: string): void {
  const temporary = `${path}.tmp`;
  const fd = openSync(temporary, 'w', 0o600);
  try {
    writeSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, path);
  const dir = openSync(dirname(path), 'r');
  try {
    fsyncSync(dir);
  } finally {
    closeSync(dir);
  }
}
