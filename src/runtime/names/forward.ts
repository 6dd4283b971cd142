import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { isIPv6, Socket } from 'node:net';
import { inNetns, openInternetSocket } from '#base/posix/index.ts';
import { HostResolvers } from './host-resolvers.ts';
import { CODE, codeOfAnswer, isAnswerTo, type Query, withId } from './message.ts';
import type { NamesEntry, Upstream } from './types.ts';

/** Docker's: how many servers are asked, and how long each has. */
const SERVERS = 3;
const TIMEOUT_MS = 4000;
/** Queries under way for one namespace; each holds a socket. */
const UNDER_WAY = 128;
const DNS_PORT = 53;

interface UnderWay {
  count: number;
  readonly stop: AbortController;
}

/** Passes queries on to other resolvers. */
export class Forwarder {
  readonly #underWay = new Map<string, UnderWay>();
  readonly #host = new HostResolvers();
  readonly #timeoutMs: number;

  constructor(options: { readonly timeoutMs?: number } = {}) {
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  }

  /**
   * The first answer that is one, with the query's own id; `undefined` when no server gives one, `refused` when too many
   * queries of this namespace are under way.
   */
  async forward(
    entry: NamesEntry,
    query: Query,
    packet: Buffer,
    options: { readonly overTcp: boolean },
  ): Promise<Buffer | 'refused' | undefined> {
    const { sandboxId } = entry;
    const mine = this.#underWay.get(sandboxId) ?? { count: 0, stop: new AbortController() };
    if (mine.count >= UNDER_WAY) return 'refused';
    mine.count++;
    this.#underWay.set(sandboxId, mine);
    try {
      const upstreams = entry.upstreams === 'host' ? this.#host.list() : entry.upstreams;
      for (const upstream of upstreams.slice(0, SERVERS)) {
        if (mine.stop.signal.aborted) return undefined;
        const signal = AbortSignal.any([mine.stop.signal, AbortSignal.timeout(this.#timeoutMs)]);
        const answer = await this.#ask(entry, upstream, query, packet, { ...options, signal });
        if (answer === undefined) continue;
        const code = codeOfAnswer(answer);
        if (code !== CODE.serverFailure && code !== CODE.refused) return withId(answer, query.id);
      }
      return undefined;
    } finally {
      mine.count--;
      if (mine.count === 0 && this.#underWay.get(sandboxId) === mine) this.#underWay.delete(sandboxId);
    }
  }

  /** Gives up what is under way for a namespace: a socket would keep it, and its addresses, alive. */
  drop(sandboxId: string): void {
    this.#underWay.get(sandboxId)?.stop.abort();
    this.#underWay.delete(sandboxId);
  }

  async #ask(
    entry: NamesEntry,
    upstream: Upstream,
    query: Query,
    packet: Buffer,
    { overTcp, signal }: { readonly overTcp: boolean; readonly signal: AbortSignal },
  ): Promise<Buffer | undefined> {
    const id = randomInt(65_536);
    const open = overTcp ? askOverTcp : askOverUdp;
    try {
      return await open({
        upstream,
        netnsPath: upstream.fromHost ? undefined : entry.netnsPath,
        packet: withId(packet, id),
        accepts: (answer) => isAnswerTo(answer, query, id),
        signal,
      });
    } catch {
      // No route, refused, too late, or the namespace has gone: the next one may do.
      return undefined;
    }
  }
}

interface Exchange {
  readonly upstream: Upstream;
  readonly netnsPath: string | undefined;
  readonly packet: Buffer;
  readonly accepts: (answer: Buffer) => boolean;
  readonly signal: AbortSignal;
}

/** A socket for each query: its port, which the kernel chooses, is half of what someone who forges answers must guess. */
function askOverUdp(exchange: Exchange): Promise<Buffer> {
  const { upstream, netnsPath, packet, accepts, signal } = exchange;
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const socket = createSocket(isIPv6(upstream.address) ? 'udp6' : 'udp4');
  socket.on('error', reject);
  socket.on('message', (answer) => {
    if (accepts(answer)) resolve(answer);
  });
  if (netnsPath !== undefined) socket.bind({ fd: openInside(netnsPath, 'udp') });
  // Connected, it hears nobody else, and learns that a port is closed.
  socket.connect(upstream.port ?? DNS_PORT, upstream.address, (error?: Error) => {
    if (error) reject(error);
    else socket.send(packet, (failure) => failure && reject(failure));
  });
  return settle(promise, signal, () => socket.close());
}

function askOverTcp(exchange: Exchange): Promise<Buffer> {
  const { upstream, netnsPath, packet, accepts, signal } = exchange;
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const socket =
    netnsPath === undefined
      ? new Socket()
      : new Socket({ fd: openInside(netnsPath, 'tcp'), manualStart: true } as object);
  let held = Buffer.alloc(0);
  socket.on('error', reject);
  socket.once('close', () => reject(new Error('the server closed the connection')));
  socket.on('data', (chunk: Buffer) => {
    held = Buffer.concat([held, chunk]);
    if (held.length < 2 || held.length < 2 + held.readUInt16BE(0)) return;
    const answer = held.subarray(2, 2 + held.readUInt16BE(0));
    if (accepts(answer)) resolve(answer);
    else reject(new Error('the server answered something else'));
  });
  socket.connect({ port: upstream.port ?? DNS_PORT, host: upstream.address }, () => {
    socket.write(frame(packet));
  });
  return settle(promise, signal, () => socket.destroy());
}

async function settle(promise: Promise<Buffer>, signal: AbortSignal, close: () => void): Promise<Buffer> {
  const late = Promise.withResolvers<never>();
  const onAbort = (): void => late.reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
    close();
  }
}

function openInside(netnsPath: string, kind: 'udp' | 'tcp'): number {
  return inNetns(netnsPath, () => openInternetSocket({ kind, address: '0.0.0.0', port: 0 }));
}

/** A message as it goes over TCP: its length before it. */
export function frame(packet: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(packet.length);
  return Buffer.concat([length, packet]);
}
