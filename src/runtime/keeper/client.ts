import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { CodedError, hasCode, isSystemError } from '#base/errors/index.ts';
import { acquireFileLock } from '#base/fs/index.ts';
import type { NamesAnswer, NamesChange } from '#runtime/names/types.ts';
import {
  type KeeperAnswer,
  type KeeperRequest,
  PROTOCOL_VERSION,
  readLine,
  readLines,
  sendLine,
} from './protocol.ts';
import type {
  AttachRequest,
  Keeper,
  KeeperEvent,
  KeeperExec,
  KeeperStart,
  KeptProcess,
  TerminalSize,
} from './types.ts';

const START_TIMEOUT_MS = 10_000;

/** Options of `ensureKeeper`. */
export interface EnsureKeeperOptions {
  readonly socketPath: string;
  /** Program and first arguments that run a keeper; `--socket <path>` is added. */
  readonly command: readonly [string, ...string[]];
  readonly env?: NodeJS.ProcessEnv;
}

/**
 * Connects to the keeper at `socketPath`; starts one when there is none. It gets a session of its own and outlives this
 * process.
 * @throws {CodedError} `unavailable` when it does not come up; `failed_precondition` when it speaks a newer protocol.
 */
export async function ensureKeeper(options: EnsureKeeperOptions): Promise<Keeper> {
  mkdirSync(dirname(options.socketPath), { recursive: true, mode: 0o700 });
  await using _ = await acquireFileLock(join(dirname(options.socketPath), 'keeper.lock'), {
    waitMs: START_TIMEOUT_MS,
  });
  const found = await tryConnect(options.socketPath);
  if (found !== undefined) return found;
  rmSync(options.socketPath, { force: true });
  const output = openSync(join(dirname(options.socketPath), 'keeper.log'), 'a', 0o600);
  const [program, ...args] = options.command;
  const child = spawn(program, [...args, '--socket', options.socketPath], {
    detached: true,
    stdio: ['ignore', output, output],
    ...(options.env === undefined ? {} : { env: options.env }),
  });
  closeSync(output);
  let failure: Error | undefined;
  child.once('error', (error) => {
    failure = error;
  });
  child.unref();
  for (const deadline = performance.now() + START_TIMEOUT_MS; performance.now() < deadline; ) {
    await delay(5);
    const keeper = await tryConnect(options.socketPath);
    if (keeper !== undefined) return keeper;
    if (failure !== undefined || child.exitCode !== null) break;
  }
  throw new CodedError(
    'unavailable',
    `cannot start the keeper "${options.command.join(' ')}": ${failure?.message ?? 'it did not answer'}`,
    { help: { id: 'keeper-start', fix: [`cat ${join(dirname(options.socketPath), 'keeper.log')}`] } },
  );
}

async function tryConnect(path: string): Promise<Keeper | undefined> {
  try {
    return await connectKeeper(path);
  } catch (error) {
    if (hasCode(error, 'unavailable')) return undefined;
    throw error;
  }
}

/** Connects to a keeper that runs. @throws {CodedError} `unavailable` when none answers. */
export async function connectKeeper(socketPath: string): Promise<Keeper> {
  const client = new KeeperClient(socketPath);
  await client.open();
  return client;
}

class KeeperClient implements Keeper {
  readonly #path: string;
  readonly #listeners = new Set<(event: KeeperEvent) => void>();
  readonly #lost = new Set<() => void>();
  #events: Socket | undefined;
  #closed = false;
  #pid = 0;

  constructor(path: string) {
    this.#path = path;
  }

  get pid(): number {
    return this.#pid;
  }

  async open(): Promise<void> {
    const hello = (await this.#ask({ op: 'hello' })) as { readonly pid: number; readonly protocol: number };
    if (hello.protocol > PROTOCOL_VERSION) {
      throw new CodedError(
        'failed_precondition',
        `the keeper (process ${hello.pid}) is newer than this daemon`,
      );
    }
    this.#pid = hello.pid;
    const events = await this.#send({ op: 'events' });
    events.unref();
    this.#events = events;
    readLines(events, (value) => {
      for (const listener of this.#listeners) listener(value as KeeperEvent);
    });
    events.once('close', () => {
      if (this.#closed) return;
      for (const listener of this.#lost) listener();
    });
    events.once('end', () => events.destroy());
  }

  async start(request: KeeperStart): Promise<{ readonly pid: number; readonly startedAt: number }> {
    return (await this.#ask({ op: 'start', start: request })) as { pid: number; startedAt: number };
  }

  async exec(request: KeeperExec): Promise<{ readonly pid: number; readonly startedAt: number }> {
    return (await this.#ask({ op: 'exec', exec: request })) as { pid: number; startedAt: number };
  }

  async attach(id: string, request: AttachRequest): Promise<Duplex> {
    return this.#send({ op: 'attach', id, attach: request });
  }

  async resize(id: string, size: TerminalSize): Promise<void> {
    await this.#ask({ op: 'resize', id, size });
  }

  async signal(id: string, signal: number, options: { readonly group?: boolean } = {}): Promise<void> {
    await this.#ask({ op: 'signal', id, signal, ...options });
  }

  async list(): Promise<readonly KeptProcess[]> {
    return (await this.#ask({ op: 'list' })) as readonly KeptProcess[];
  }

  async forget(id: string, options: { readonly abandon?: boolean } = {}): Promise<void> {
    await this.#ask({ op: 'forget', id, abandon: options.abandon === true });
  }

  async names(change: NamesChange): Promise<NamesAnswer> {
    return (await this.#ask({ op: 'names', change })) as NamesAnswer;
  }

  subscribe(listener: (event: KeeperEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  onLost(listener: () => void): void {
    this.#lost.add(listener);
  }

  close(): void {
    this.#closed = true;
    this.#events?.destroy();
  }

  async shutdown(): Promise<void> {
    await this.#ask({ op: 'shutdown' });
    this.close();
  }

  async #ask(request: KeeperRequest): Promise<unknown> {
    const { socket, answer } = await this.#exchange(request);
    socket.destroy();
    return answer;
  }

  async #send(request: KeeperRequest): Promise<Socket> {
    return (await this.#exchange(request)).socket;
  }

  async #exchange(request: KeeperRequest): Promise<{ readonly socket: Socket; readonly answer: unknown }> {
    const socket = await open(this.#path);
    try {
      sendLine(socket, request);
      const answer = (await readLine(socket)) as KeeperAnswer;
      if ('error' in answer) throw new CodedError(answer.error.code, answer.error.message);
      return { socket, answer: answer.ok };
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }
}

function open(path: string): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const socket = connect({ path, allowHalfOpen: true });
  const onError = (error: Error): void => {
    const reason = isSystemError(error) ? error.code : error.message;
    reject(
      new CodedError('unavailable', `cannot reach the keeper at "${path}": ${reason}`, { cause: error }),
    );
  };
  socket.once('error', onError);
  socket.once('connect', () => {
    socket.removeListener('error', onError);
    socket.on('error', () => socket.destroy());
    resolve(socket);
  });
  return promise;
}
