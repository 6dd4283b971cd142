import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { CodedError } from '#base/errors/index.ts';
import { becomeSubreaper } from '#base/posix/index.ts';
import type { NamesService } from '#runtime/names/index.ts';
import { KeptProcesses } from './kept.ts';
import { errorAnswer, type KeeperRequest, PROTOCOL_VERSION, readLine, sendLine } from './protocol.ts';

/** A keeper that nobody is connected to and that keeps nothing ends after this. */
const IDLE_MS = 5000;

/** Options of `runKeeper`. */
export interface KeeperServerOptions {
  /** In a directory of its own, which gets mode 0700. */
  readonly socketPath: string;
  readonly onError: (message: string) => void;
}

/**
 * Serves as a keeper until it is told to shut down, or is idle; resolves then. This process becomes a subreaper and must be
 * used for nothing else.
 * @throws {CodedError} `conflict` when another keeper serves this socket.
 */
export async function runKeeper(options: KeeperServerOptions): Promise<void> {
  becomeSubreaper();
  const keeper = new KeeperServer(options);
  await keeper.serve();
}

class KeeperServer {
  readonly #options: KeeperServerOptions;
  readonly #processes: KeptProcesses;
  readonly #listeners = new Set<Socket>();
  readonly #server: Server;
  #names: Promise<NamesService> | undefined;
  #connections = 0;
  #idle: NodeJS.Timeout | undefined;
  #onStop: () => void = () => {};

  constructor(options: KeeperServerOptions) {
    this.#options = options;
    this.#processes = new KeptProcesses({
      scratchDir: join(dirname(options.socketPath), 'starts'),
      onEvent: (event) => {
        for (const socket of this.#listeners) sendLine(socket, event);
        this.#watchIdle();
      },
      onError: options.onError,
    });
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
  }

  async serve(): Promise<void> {
    const { socketPath } = this.#options;
    mkdirSync(dirname(socketPath), { recursive: true, mode: 0o700 });
    chmodSync(dirname(socketPath), 0o700);
    const umask = process.umask(0o177);
    try {
      await listen(this.#server, socketPath);
    } finally {
      process.umask(umask);
    }
    this.#watchIdle();
    await new Promise<void>((resolve) => {
      this.#onStop = resolve;
    });
    this.#server.close();
    await (await this.#names)?.close();
    rmSync(socketPath, { force: true });
  }

  #accept(socket: Socket): void {
    this.#connections++;
    socket.on('error', () => socket.destroy());
    socket.once('close', () => {
      this.#connections--;
      this.#listeners.delete(socket);
      this.#watchIdle();
    });
    this.#answer(socket).catch((error) => {
      sendLine(socket, errorAnswer(error));
      socket.end();
      socket.resume();
    });
  }

  async #answer(socket: Socket): Promise<void> {
    const request = (await readLine(socket)) as KeeperRequest;
    if (request.op === 'attach') {
      sendLine(socket, { ok: {} });
      this.#processes.sessionOf(request.id).attach(socket, request.attach);
      return;
    }
    if (request.op === 'events') {
      this.#listeners.add(socket);
      sendLine(socket, { ok: {} });
      socket.resume();
      socket.once('end', () => socket.end());
      return;
    }
    const ok = await this.#perform(request);
    sendLine(socket, { ok });
    socket.end();
    socket.resume();
  }

  async #perform(request: Exclude<KeeperRequest, { readonly op: 'attach' | 'events' }>): Promise<unknown> {
    switch (request.op) {
      case 'hello':
        return { pid: process.pid, protocol: PROTOCOL_VERSION };
      case 'start':
        return this.#processes.start(request.start);
      case 'exec':
        return this.#processes.exec(request.exec);
      case 'resize':
        return this.#processes.resize(request.id, request.size) ?? {};
      case 'signal':
        return this.#processes.signal(request.id, request.signal, request.group === true) ?? {};
      case 'list':
        return this.#processes.list();
      case 'forget':
        return this.#processes.forget(request.id, request.abandon) ?? {};
      case 'names':
        return (await this.#openNames()).change(request.change);
      case 'shutdown':
        if (this.#processes.busy) throw new CodedError('failed_precondition', 'containers are running');
        setImmediate(() => this.#onStop());
        return {};
      default:
        throw new CodedError('unimplemented', `the keeper does not know "${(request as { op: string }).op}"`);
    }
  }

  /** Loaded when it is first needed: most engines have no network of their own making. */
  #openNames(): Promise<NamesService> {
    const { onError } = this.#options;
    this.#names ??= import('#runtime/names/index.ts').then(
      ({ NamesService: Service }) => new Service({ onError }),
    );
    return this.#names;
  }

  #watchIdle(): void {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => {
      if (this.#connections === 0 && !this.#processes.busy) this.#onStop();
    }, IDLE_MS);
  }
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(
        error.code === 'EADDRINUSE'
          ? new CodedError('conflict', `a keeper serves "${path}" already`)
          : new CodedError('unavailable', `cannot listen on "${path}": ${error.message}`, { cause: error }),
      );
    });
    server.listen(path, () => resolve());
  });
}
