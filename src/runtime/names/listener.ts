import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { closeSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { isSystemError } from '#base/errors/index.ts';
import { inNetns, openInternetSocket, portOfSocket } from '#base/posix/index.ts';
import { frame } from './forward.ts';
import { RESOLVER_ADDRESS } from './types.ts';

const CONNECTIONS = 32;
const IDLE_MS = 10_000;
/** Queries are far shorter. */
const QUERY_BYTES = 4096;
/** Answers of one connection that are awaited at once. */
const PIPELINED = 16;
const PORT_TRIES = 8;

/** Answers one packet. */
export type Answer = (packet: Buffer, options: { readonly overTcp: boolean }) => Promise<Buffer | undefined>;

/** The sockets of one namespace, UDP and TCP on the same port. */
export class Listener {
  readonly port: number;
  readonly #udp: UdpSocket;
  readonly #tcp: Server;
  readonly #connections = new Set<Socket>();
  #isOpen = true;

  /** Opens them inside the namespace kept at `netnsPath`; `port` 0: one is chosen. @throws a system error. */
  constructor(netnsPath: string, port: number, answer: Answer) {
    const opened = inNetns(netnsPath, () => openPair(port));
    this.port = opened.port;
    this.#udp = createSocket('udp4');
    this.#udp.on('error', () => {});
    this.#udp.on('message', (packet, from) => {
      void tryAnswer(answer, packet, false).then((bytes) => {
        if (bytes !== undefined && this.#isOpen) this.#udp.send(bytes, from.port, from.address, () => {});
      });
    });
    this.#udp.bind({ fd: opened.udp });
    this.#tcp = createServer((socket) => this.#accept(socket, answer));
    this.#tcp.maxConnections = CONNECTIONS;
    this.#tcp.on('error', () => {});
    this.#tcp.listen({ fd: opened.tcp });
  }

  close(): void {
    this.#isOpen = false;
    this.#udp.close();
    this.#tcp.close();
    for (const socket of this.#connections) socket.destroy();
  }

  #accept(socket: Socket, answer: Answer): void {
    this.#connections.add(socket);
    socket.once('close', () => this.#connections.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.setTimeout(IDLE_MS, () => socket.destroy());
    let held = Buffer.alloc(0);
    let waiting = 0;
    const readOn = (): void => {
      while (held.length >= 2 && waiting < PIPELINED) {
        const length = held.readUInt16BE(0);
        if (length > QUERY_BYTES) {
          socket.destroy();
          return;
        }
        if (held.length < 2 + length) break;
        const packet = Buffer.from(held.subarray(2, 2 + length));
        held = held.subarray(2 + length);
        waiting++;
        void tryAnswer(answer, packet, true).then((bytes) => {
          waiting--;
          if (bytes === undefined) socket.destroy();
          else if (!socket.destroyed) socket.write(frame(bytes));
          readOn();
        });
      }
      if (waiting < PIPELINED) socket.resume();
      else socket.pause();
    };
    socket.on('data', (chunk: Buffer) => {
      held = Buffer.concat([held, chunk]);
      readOn();
    });
  }
}

/** A query that fails gets no answer: the client asks again. */
async function tryAnswer(answer: Answer, packet: Buffer, overTcp: boolean): Promise<Buffer | undefined> {
  try {
    return await answer(packet, { overTcp });
  } catch {
    return undefined;
  }
}

function openPair(wanted: number): { readonly udp: number; readonly tcp: number; readonly port: number } {
  for (let attempt = 1; ; attempt++) {
    const udp = openInternetSocket({ kind: 'udp', address: RESOLVER_ADDRESS, port: wanted });
    try {
      const port = portOfSocket(udp);
      return { udp, port, tcp: openInternetSocket({ kind: 'tcp', address: RESOLVER_ADDRESS, port }) };
    } catch (error) {
      closeSync(udp);
      // Someone in the container has the TCP port of this number.
      if (wanted !== 0 || attempt === PORT_TRIES || !isSystemError(error, 'EADDRINUSE')) throw error;
    }
  }
}
