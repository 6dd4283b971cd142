/**
 * Taking a connection over, in both of Docker's forms:
 *
 *     client: POST …  Connection: Upgrade, Upgrade: tcp      server: HTTP/1.1 101 UPGRADED … then raw bytes
 *     client: POST …  (nothing)                              server: HTTP/1.1 200 OK …       then raw bytes
 *
 * The second has no framing: the body is what follows the head until a side closes. Its connection leaves Node's parser
 * as soon as the request is read, so that input is never taken for another request.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Duplex, type Readable } from 'node:stream';
import { CodedError } from '#base/errors/index.ts';
import type { HijackOptions } from './types.ts';

const RAW_STREAM = 'application/vnd.docker.raw-stream';
const PARSER_EVENTS = ['data', 'end', 'drain', 'timeout', 'pause', 'resume'] as const;
const earlyInput = new WeakMap<Socket, Buffer>();
const released = new WeakSet<Socket>();

/** Answers the head and returns the raw connection. `upgrade`: the protocol of a 101; `undefined`: the 200 form. */
export function takeOver(
  exchange: { readonly request: IncomingMessage; readonly response: ServerResponse },
  upgrade: string | undefined,
  options: HijackOptions,
): Duplex {
  const { request, response } = exchange;
  // For an upgrade this may be Node's wrapper that holds input back until the request body was read.
  const connection: Duplex | null = response.socket;
  if (connection === null || connection.destroyed)
    throw new CodedError('aborted', 'the client closed the connection');
  const contentType = options.contentType ?? RAW_STREAM;
  response.detachSocket(connection as Socket);
  request.socket.setTimeout(0);
  connection.on('error', () => {});
  if (upgrade !== undefined) {
    connection.write(
      `HTTP/1.1 101 UPGRADED\r\nContent-Type: ${contentType}\r\nConnection: Upgrade\r\nUpgrade: ${upgrade}\r\n\r\n`,
    );
    return connection;
  }
  connection.write(`HTTP/1.1 200 OK\r\nContent-Type: ${contentType}\r\n\r\n`);
  const { socket } = request;
  if (isChunked(request)) return joinStreams(request, socket);
  const early = earlyInput.get(socket);
  return early === undefined ? socket : joinStreams(socket, socket, early);
}

/**
 * Prepares the 200 form; called in the same turn in which the request arrived. Resolves when the parser is done with
 * the packet, so that a handler finds the connection released.
 */
export async function releaseWhenRead(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (isChunked(request)) return;
  response.shouldKeepAlive = false;
  const { socket } = request;
  // The parser finishes the packet it is in first; the next packet can only come after this tick.
  process.nextTick(() => {
    if (request.complete) releaseFromParser(socket);
    else request.once('end', () => releaseFromParser(socket));
  });
  released.add(socket);
  await new Promise((resolve) => setImmediate(resolve));
}

/**
 * Input that came in the same packet as its request was offered to the parser, which complained: gives it back to the
 * connection. False when the complaint is about something else.
 */
export function returnEarlyInput(
  socket: Socket,
  rawPacket: Buffer | undefined,
  bytesParsed: number,
): boolean {
  if (!released.has(socket) || rawPacket === undefined) return false;
  const start = endOfRequest(rawPacket) ?? bytesParsed;
  process.nextTick(() => {
    releaseFromParser(socket);
  });
  earlyInput.set(socket, rawPacket.subarray(start));
  return true;
}

/** Where the request that begins in `packet` ends; `undefined` when it began in an earlier one. */
function endOfRequest(packet: Buffer): number | undefined {
  const headEnd = packet.indexOf('\r\n\r\n');
  if (headEnd < 0 || !packet.subarray(0, 5).equals(Buffer.from('POST '))) return undefined;
  const length = /\r\ncontent-length:[ \t]*(\d+)/i.exec(packet.toString('latin1', 0, headEnd))?.[1];
  return headEnd + 4 + Number(length ?? 0);
}

/**
 * Takes the listeners of Node's HTTP server away. Attaching a reader is its own signal to stop direct reads; the pause
 * cancels a resume that may still be due, so that bytes wait for the handler.
 */
function releaseFromParser(socket: Socket): void {
  for (const event of PARSER_EVENTS) socket.removeAllListeners(event);
  const nothing = (): void => {};
  socket.on('readable', nothing);
  socket.removeListener('readable', nothing);
  socket.pause();
}

function isChunked(request: IncomingMessage): boolean {
  return request.headers['transfer-encoding'] !== undefined;
}

/** Input is a chunked request body, or begins with bytes the parser had; output leaves raw. */
function joinStreams(input: Readable, socket: Socket, early?: Buffer): Duplex {
  const joined: Duplex = new Duplex({
    allowHalfOpen: true,
    read: () => {
      input.resume();
    },
    write: (chunk: Uint8Array, _encoding, done) => {
      socket.write(chunk, done);
    },
    final: (done) => {
      socket.end(done);
    },
    destroy: (error, done) => {
      socket.destroy();
      done(error);
    },
  });
  if (early !== undefined) joined.push(early);
  input.on('data', (chunk: Uint8Array) => {
    if (!joined.push(chunk)) input.pause();
  });
  input.once('end', () => joined.push(null));
  socket.once('close', () => joined.destroy());
  return joined;
}
