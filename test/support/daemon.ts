/** An engine of its own for a test: temporary roots, a socket, and the proof that nothing of it is left afterwards. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createEngineClient, type EngineClient, parseEndpoint } from '#engine/client/index.ts';

/** Why tests with an engine are skipped, or `false`. */
export const NEEDS_ENGINE = process.getuid?.() === 0 ? false : 'the engine needs root';

const DAEMON = resolve(import.meta.dirname, '../../src/main/daemon.ts');
const READY_MS = 20_000;
const END_MS = 20_000;

/** How a test's engine is started. */
export interface TestDaemonOptions {
  /** Further flags. */
  readonly args?: readonly string[];
  /** Roots of an engine before it, to start on what that one left. */
  readonly dir?: string;
}

/** What a command said. */
export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A running engine. */
export interface TestDaemon {
  readonly dir: string;
  readonly root: string;
  readonly execRoot: string;
  readonly socketPath: string;
  /** For `DOCKER_HOST`. */
  readonly host: string;
  readonly pid: number;
  readonly client: EngineClient;
  /** Everything it logged. */
  log(): string;
  /** Runs the docker CLI against it; a failure is a result, not a throw. */
  docker(
    args: readonly string[],
    options?: { readonly input?: string | Buffer; readonly env?: Readonly<Record<string, string>> },
  ): CommandResult;
  /** As `docker`, and the command must succeed; its output without the last line end. */
  dockerOk(args: readonly string[], options?: { readonly input?: string | Buffer }): string;
  /** Ends it as `systemctl stop` does; containers go on. */
  stop(): Promise<void>;
  /** kill -9. */
  kill(): Promise<void>;
  /** A new engine on the same roots. */
  restart(): Promise<TestDaemon>;
  /** Removes containers, ends engine and keeper, and checks that nothing is mounted, running or left in the network. */
  dispose(): Promise<void>;
}

/** Whether the docker CLI is on this machine: a reason to skip, or `false`. */
export const NEEDS_DOCKER_CLI =
  spawnSync('docker', ['--version']).status === 0 ? NEEDS_ENGINE : 'the docker CLI is not installed';

const RECENT_CLI = 28;

/** As `NEEDS_DOCKER_CLI`, for tests of whole lines: an older docker CLI puts the engine's words into others of its own. */
export const NEEDS_RECENT_DOCKER_CLI = NEEDS_DOCKER_CLI || findOldCli();

function findOldCli(): string | false {
  const { stdout } = spawnSync('docker', ['--version'], { encoding: 'utf8' });
  const major = Number(/version (\d+)/.exec(stdout)?.[1] ?? RECENT_CLI);
  return major >= RECENT_CLI ? false : `the docker CLI is older than ${RECENT_CLI}`;
}

/** Runs `body` with an engine of its own. */
export async function withDaemon(
  body: (daemon: TestDaemon) => Promise<void>,
  options: TestDaemonOptions = {},
): Promise<void> {
  const daemon = await startDaemon(options);
  try {
    await body(daemon);
  } catch (error) {
    process.stderr.write(`--- log of the engine\n${daemon.log()}---\n`);
    throw error;
  } finally {
    await daemon.dispose();
  }
}

/** Starts an engine and waits until it answers. */
export async function startDaemon(options: TestDaemonOptions = {}): Promise<TestDaemon> {
  const dir = options.dir ?? mkdtempSync(join(tmpdir(), 'slipway-engine-'));
  const paths = { root: join(dir, 'root'), execRoot: join(dir, 'exec'), socketPath: join(dir, 'api.sock') };
  const host = `unix://${paths.socketPath}`;
  const args = [
    '--root',
    paths.root,
    '--exec-root',
    paths.execRoot,
    '--host',
    host,
    '--config-file',
    '/dev/null',
  ];
  const child = spawn(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      DAEMON,
      ...args,
      '--log-level',
      'debug',
      ...(options.args ?? []),
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let log = '';
  child.stderr?.on('data', (chunk) => {
    log += String(chunk);
  });
  await waitReady(child, () => log);
  return new RunningDaemon({ dir, ...paths, host, child, log: () => log, args: options.args ?? [] });
}

async function waitReady(child: ChildProcess, log: () => string): Promise<void> {
  for (const end = Date.now() + READY_MS; !/^API listen on /m.test(log()); await sleep(10)) {
    if (child.exitCode !== null || child.signalCode !== null || Date.now() > end) {
      child.kill('SIGKILL');
      throw new Error(`the engine did not start:\n${log()}`);
    }
  }
}

interface Parts {
  readonly dir: string;
  readonly root: string;
  readonly execRoot: string;
  readonly socketPath: string;
  readonly host: string;
  readonly child: ChildProcess;
  readonly args: readonly string[];
  readonly log: () => string;
}

class RunningDaemon implements TestDaemon {
  readonly dir: string;
  readonly root: string;
  readonly execRoot: string;
  readonly socketPath: string;
  readonly host: string;
  readonly client: EngineClient;
  readonly log: () => string;
  readonly #parts: Parts;
  #next: TestDaemon | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.dir = parts.dir;
    this.root = parts.root;
    this.execRoot = parts.execRoot;
    this.socketPath = parts.socketPath;
    this.host = parts.host;
    this.log = parts.log;
    this.client = createEngineClient(parseEndpoint(parts.host));
  }

  get pid(): number {
    return this.#parts.child.pid ?? 0;
  }

  docker(
    args: readonly string[],
    options: { readonly input?: string | Buffer; readonly env?: Readonly<Record<string, string>> } = {},
  ): CommandResult {
    const { status, stdout, stderr, error } = spawnSync('docker', args, {
      input: options.input ?? '',
      encoding: 'utf8',
      maxBuffer: 256 * 1024 * 1024,
      env: {
        PATH: process.env['PATH'] ?? '',
        DOCKER_HOST: this.host,
        DOCKER_CONFIG: join(this.dir, 'docker-config'),
        ...options.env,
      },
    });
    if (error !== undefined) throw error;
    return { code: status ?? -1, stdout, stderr };
  }

  dockerOk(args: readonly string[], options: { readonly input?: string | Buffer } = {}): string {
    const result = this.docker(args, options);
    assert.equal(result.code, 0, `docker ${args.join(' ')}\n${result.stdout}${result.stderr}\n${this.log()}`);
    return result.stdout.replace(/\n$/, '');
  }

  stop(): Promise<void> {
    return this.#end('SIGTERM');
  }

  kill(): Promise<void> {
    return this.#end('SIGKILL');
  }

  async restart(): Promise<TestDaemon> {
    await this.stop();
    this.#next = await startDaemon({ dir: this.dir, args: this.#parts.args });
    return this.#next;
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const { child } = this.#parts;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    const timer = setTimeout(() => child.kill('SIGKILL'), END_MS);
    await ended;
    clearTimeout(timer);
  }

  async dispose(): Promise<void> {
    if (this.#next !== undefined) return this.#next.dispose();
    const { child } = this.#parts;
    const isRunning = child.exitCode === null && child.signalCode === null;
    // An engine that was killed is started once more: only an engine takes its containers down properly.
    const cleaner = isRunning
      ? this
      : await startDaemon({ dir: this.dir, args: this.#parts.args }).catch(() => undefined);
    if (cleaner !== undefined) {
      await removeContainers(cleaner.client);
      await cleaner.stop();
    }
    await endProcesses(this.dir);
    const left = leftovers(this.dir);
    unmountBelow(this.dir);
    rmSync(this.dir, { recursive: true, force: true });
    assert.deepEqual(left, [], 'nothing of the engine is left');
  }
}

async function removeContainers(client: EngineClient): Promise<void> {
  const list = await client
    .call<readonly { readonly Id: string }[]>('GET', '/containers/json', { query: { all: true } })
    .catch(() => []);
  for (const { Id } of list)
    await client.send('DELETE', `/containers/${Id}`, { query: { force: true, v: true } });
}

/** Mounts and processes of the engine that should not be there any more. */
function leftovers(dir: string): string[] {
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .filter((line) => line.split(' ')[1]?.startsWith(`${dir}/`))
    .map((line) => `mount ${line}`);
  return [...mounts, ...processesOf(dir).map(({ pid, command }) => `process ${pid} ${command}`)];
}

function processesOf(dir: string): { pid: number; command: string }[] {
  const found: { pid: number; command: string }[] = [];
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      if (command.includes(`${dir}/`) || readlinkSync(`/proc/${pid}/cwd`).startsWith(`${dir}/`))
        found.push({ pid, command });
    } catch {
      // It ended meanwhile.
    }
  }
  return found;
}

/** The keeper outlives the engine on purpose; with no containers it has nothing to keep. */
async function endProcesses(dir: string): Promise<void> {
  for (const { pid, command } of processesOf(dir)) {
    if (!/\bkeeper\b/.test(command)) continue;
    process.kill(pid, 'SIGTERM');
    for (const end = Date.now() + 3000; existsSync(`/proc/${pid}`) && Date.now() < end; await sleep(20));
    if (existsSync(`/proc/${pid}`)) process.kill(pid, 'SIGKILL');
  }
}

/** So that a failed test does not leave the machine in a state that fails the next one. */
function unmountBelow(dir: string): void {
  const targets = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((target) => target.startsWith(`${dir}/`))
    .reverse();
  for (const target of targets) execFileSync('umount', ['--lazy', target]);
}
