/** The terminal (or the pipes) of this process joined to a container's streams. */
import type { Socket } from 'node:net';
import type { HijackedStream } from '#engine/client/index.ts';
import { readFrames } from '#engine/client/index.ts';
import { parseDetachKeys } from './detach-keys.ts';
import type { CliContext } from './types.ts';

/** How a stream is joined. */
export interface JoinOptions {
  /** The container has a terminal: bytes are raw, ours is put in raw mode. */
  readonly tty: boolean;
  /** Our stdin goes to the container. */
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly detachKeys?: string | undefined;
}

/** A joined stream. */
export interface Joined {
  /** Settles when the container's output has ended or the user has detached. */
  readonly ended: Promise<'ended' | 'detached'>;
  /** Gives the terminal back. */
  release(): void;
}

/** Joins the process's streams to a hijacked connection. */
export function joinStreams(context: CliContext, stream: HijackedStream, options: JoinOptions): Joined {
  const { socket } = stream;
  const input = context.stdin.stream;
  const raw = options.tty && options.stdin && context.stdin.isTTY;
  let detach: () => void = () => undefined;
  const detached = new Promise<'detached'>((resolve) => {
    detach = () => resolve('detached');
  });
  if (raw) input.setRawMode(true);
  const stopInput = options.stdin ? sendInput(context, socket, options, detach) : () => undefined;
  const output = receiveOutput(context, stream, options).then(() => 'ended' as const);
  let released = false;
  const release = (): void => {
    if (released) return;
    released = true;
    stopInput();
    if (raw) input.setRawMode(false);
    socket.destroy();
  };
  const ended = Promise.race([output, detached]).finally(release);
  ended.catch(() => undefined); // whoever waits gets it; nobody waiting is no failure of the process
  return { ended, release };
}

function sendInput(
  context: CliContext,
  socket: Socket,
  options: JoinOptions,
  detach: () => void,
): () => void {
  const input = context.stdin.stream;
  const keys = options.tty && context.stdin.isTTY ? parseDetachKeys(options.detachKeys) : undefined;
  let matched = 0;
  const onData = (chunk: Buffer): void => {
    if (keys !== undefined) {
      for (const byte of chunk) {
        matched = byte === keys[matched] ? matched + 1 : byte === keys[0] ? 1 : 0;
        if (matched === keys.byteLength) {
          detach();
          return;
        }
      }
    }
    if (!socket.write(chunk)) {
      input.pause();
      socket.once('drain', () => input.resume());
    }
  };
  // The container sees its stdin end; its output goes on.
  const onEnd = (): void => {
    socket.end();
  };
  input.on('data', onData);
  input.on('end', onEnd);
  input.resume();
  return () => {
    input.off('data', onData);
    input.off('end', onEnd);
    input.pause();
    input.unref?.();
  };
}

async function receiveOutput(
  context: CliContext,
  stream: HijackedStream,
  options: JoinOptions,
): Promise<void> {
  const bytes = bytesOf(stream);
  if (options.tty) {
    for await (const chunk of bytes) await writeAll(context.stdout.stream, chunk);
    return;
  }
  for await (const piece of readFrames(bytes)) {
    if (piece.stream === 'stderr') {
      if (options.stderr) await writeAll(context.stderr.stream, piece.bytes);
    } else if (options.stdout) await writeAll(context.stdout.stream, piece.bytes);
  }
}

async function* bytesOf({ socket, head }: HijackedStream): AsyncGenerator<Uint8Array> {
  if (head.byteLength > 0) yield head;
  try {
    for await (const chunk of socket) yield chunk as Buffer;
  } catch {
    // The engine closes a hijacked connection as it likes; how the container ended is asked separately.
  }
}

/** Writes and waits while the reader is slow. */
export function writeAll(stream: NodeJS.WriteStream, bytes: Uint8Array): Promise<void> | undefined {
  if (stream.write(bytes)) return undefined;
  return new Promise((resolve) => stream.once('drain', resolve));
}
