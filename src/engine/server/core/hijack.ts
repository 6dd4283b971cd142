/**
 * Taking a connection over, in both of Docker's forms:
 *
 *     client: POST …  Connection: Upgrade, Upgrade: tcp      server: HTTP/1.1 101 UPGRADED … then raw bytes
 *     client: POST …  (nothing)                              server: HTTP/1.1 200 OK …       then raw bytes
 *
 * The second has no framing: the body is what follows the head until a side closes.
 */

import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { CodedError } from '#base/errors/index.ts';
import type { RequestFacts } from './context.ts';
import type { HijackOptions } from './types.ts';

const RAW_STREAM = 'application/vnd.docker.raw-stream';

/** Answers the head and returns the raw connection. */
export function takeOver(facts: RequestFacts, options: HijackOptions): Duplex {
  const { request, response } = facts;
  const socket = response.socket;
  if (socket === null || socket.destroyed)
    throw new CodedError('aborted', 'the client closed the connection');
  const contentType = options.contentType ?? RAW_STREAM;
  response.detachSocket(socket);
  socket.setTimeout(0);
  socket.on('error', () => {});
  if (facts.upgrade !== undefined) {
    socket.write(
      `HTTP/1.1 101 UPGRADED\r\nContent-Type: ${contentType}\r\nConnection: Upgrade\r\nUpgrade: ${facts.upgrade}\r\n\r\n`,
    );
    return socket;
  }
  const chunkedInput = request.headers['transfer-encoding'] !== undefined && !request.readableEnded;
  if (!chunkedInput) releaseFromParser(socket);
  socket.write(`HTTP/1.1 200 OK\r\nContent-Type: ${contentType}\r\n\r\n`);
  return chunkedInput ? joinStreams(facts, socket) : socket;
}

/** Node's parser would read what follows as the next request: take its listeners away, which also stops its direct reads. */
function releaseFromParser(socket: Socket): void {
  for (const event of ['data', 'end', 'drain', 'timeout'] as const) socket.removeAllListeners(event);
  socket.pause();
  // Attaching a reader is Node's own signal to give the handle back from the parser.
  const nothing = (): void => {};
  socket.on('readable', nothing);
  socket.removeListener('readable', nothing);
}

/** Input comes as a chunked request body, output leaves raw. */
function joinStreams(facts: RequestFacts, socket: Socket): Duplex {
  const input = facts.request;
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
  input.on('data', (chunk: Uint8Array) => {
    if (!joined.push(chunk)) input.pause();
  });
  input.once('end', () => joined.push(null));
  socket.once('close', () => joined.destroy());
  return joined;
}
