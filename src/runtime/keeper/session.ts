import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { ReadStream as TtyStream } from 'node:tty';
import { setWindowSize } from '#base/posix/index.ts';
import type { LogStream, LogWriter } from './log-writer.ts';
import type { AttachRequest, StreamOptions, TerminalSize } from './types.ts';

/** A client that takes no more than this slows the process down, as in Docker: its output must not pile up here. */
const CLIENT_LIMIT = 1024 * 1024;
/** How long output may go on after the process has ended, for descriptors that someone else inherited. */
const OUTPUT_GRACE_MS = 2000;
const STREAM_NUMBER: Readonly<Record<LogStream, number>> = { stdout: 1, stderr: 2 };

interface Client {
  readonly socket: Duplex;
  readonly request: AttachRequest;
}

/** The streams of one process: its output to the log and to everyone attached, their input to its stdin. */
export class Session {
  readonly #clients = new Set<Client>();
  readonly #sources = new Set<Socket>();
  #log: LogWriter | undefined;
  #options: StreamOptions | undefined;
  #stdin: Duplex | undefined;
  #terminalFd: number | undefined;
  #size: TerminalSize | undefined;
  #ended = false;
  #waiting = 0;
  #onSourcesClosed: (() => void) | undefined;

  /** Adds a client. One that comes after the end gets only the end. */
  attach(socket: Duplex, request: AttachRequest): void {
    if (this.#ended) {
      socket.end();
      socket.resume();
      return;
    }
    const client: Client = { socket, request };
    this.#clients.add(client);
    const drop = (): void => {
      this.#clients.delete(client);
      this.#resumeIfDrained();
    };
    socket.once('close', drop);
    socket.on('error', () => socket.destroy());
    socket.on('drain', () => this.#resumeIfDrained());
    if (!request.stdin) socket.resume();
    else if (this.#options !== undefined) this.#connectInput(client);
    else socket.pause();
  }

  /** Connects a started process by pipes. `stdinFd` is present when its stdin is open. */
  startPipes(
    fds: { readonly stdin: number | undefined; readonly stdout: number; readonly stderr: number },
    options: StreamOptions,
    log: LogWriter | undefined,
  ): void {
    this.#log = log;
    this.#options = options;
    if (fds.stdin !== undefined) {
      this.#stdin = new Socket({ fd: fds.stdin, readable: false, writable: true });
      // A process that does not read its input is no error.
      this.#stdin.on('error', () => this.#stdin?.destroy());
    }
    this.#read(new Socket({ fd: fds.stdout, readable: true, writable: false }), 'stdout');
    this.#read(new Socket({ fd: fds.stderr, readable: true, writable: false }), 'stderr');
    for (const client of this.#clients) if (client.request.stdin) this.#connectInput(client);
  }

  /** Connects a started process by its terminal. */
  startTerminal(fd: number, options: StreamOptions, log: LogWriter | undefined): void {
    this.#log = log;
    this.#options = options;
    this.#terminalFd = fd;
    const size = this.#size ?? options.size;
    if (size !== undefined) setWindowSize(fd, size);
    const terminal = new TtyStream(fd, { readable: true, writable: true });
    this.#stdin = terminal;
    this.#read(terminal, 'stdout');
    for (const client of this.#clients) if (client.request.stdin) this.#connectInput(client);
  }

  /** Sets the terminal's size, now or when it starts. */
  resize(size: TerminalSize): void {
    this.#size = size;
    if (this.#terminalFd !== undefined) setWindowSize(this.#terminalFd, size);
  }

  /** The process has ended: waits for the rest of its output, ends the clients, completes the log. */
  async end(): Promise<void> {
    await this.#sourcesClosed();
    this.#ended = true;
    for (const source of this.#sources) source.destroy();
    this.#stdin?.destroy();
    this.#terminalFd = undefined;
    await this.#log?.close();
    for (const { socket } of this.#clients) {
      socket.end();
      socket.resume();
    }
  }

  /** Ends everyone attached to something that will never start. */
  abandon(): void {
    this.#ended = true;
    for (const { socket } of this.#clients) {
      socket.end();
      socket.resume();
    }
  }

  #read(source: Socket, stream: LogStream): void {
    this.#sources.add(source);
    source.on('data', (chunk: Buffer) => this.#deliver(stream, chunk));
    // A terminal ends with EIO when its last user is gone.
    source.on('error', () => source.destroy());
    source.once('end', () => source.destroy());
    source.once('close', () => {
      this.#sources.delete(source);
      if (this.#sources.size === 0) this.#onSourcesClosed?.();
    });
  }

  #deliver(stream: LogStream, chunk: Buffer): void {
    let full = false;
    for (const { socket, request } of this.#clients) {
      if (!request[stream] || socket.destroyed || socket.writableEnded) continue;
      if (request.framed) {
        const header = Buffer.alloc(8);
        header[0] = STREAM_NUMBER[stream];
        header.writeUInt32BE(chunk.length, 4);
        socket.cork();
        socket.write(header);
        socket.write(chunk);
        socket.uncork();
      } else socket.write(chunk);
      if (socket.writableLength > CLIENT_LIMIT) full = true;
    }
    if (this.#log !== undefined && !this.#log.append(stream, chunk)) {
      full = true;
      this.#waiting++;
      void this.#log.drained().then(() => {
        this.#waiting--;
        this.#resumeIfDrained();
      });
    }
    if (full) for (const source of this.#sources) source.pause();
  }

  #resumeIfDrained(): void {
    if (this.#waiting > 0) return;
    for (const { socket } of this.#clients) if (socket.writableLength > CLIENT_LIMIT) return;
    for (const source of this.#sources) source.resume();
  }

  #connectInput({ socket, request }: Client): void {
    const stdin = this.#stdin;
    const { tty, stdinOnce } = this.#options as StreamOptions;
    if (stdin === undefined) {
      socket.resume();
      return;
    }
    socket.on('data', (chunk: Buffer) => {
      if (stdin.destroyed || stdin.writableEnded) return;
      if (stdin.write(chunk)) return;
      socket.pause();
      stdin.once('drain', () => socket.resume());
      stdin.once('close', () => socket.resume());
    });
    socket.once('end', () => {
      if (stdinOnce && !tty) stdin.end();
      // As Docker: who attached to a lasting stdin, or to a terminal, and ends its input, is detached.
      else if (request.stdin) socket.end();
    });
    socket.once('close', () => {
      if (stdinOnce && !tty) stdin.end();
    });
    socket.resume();
  }

  async #sourcesClosed(): Promise<void> {
    if (this.#sources.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onSourcesClosed = resolve;
    const timer = setTimeout(() => {
      // Whoever still reads slowly may go on; only silence is cut off.
      if (this.#waiting > 0 || [...this.#clients].some(({ socket }) => socket.writableLength > 0))
        timer.refresh();
      else resolve();
    }, OUTPUT_GRACE_MS);
    await promise;
    clearTimeout(timer);
  }
}

/** Closes descriptors that were not handed to a session. */
export function closeAll(fds: Iterable<number | undefined>): void {
  for (const fd of fds) {
    if (fd === undefined) continue;
    try {
      closeSync(fd);
    } catch {
      // Closed already.
    }
  }
}
