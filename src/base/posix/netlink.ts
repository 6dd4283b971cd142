/**
 * rtnetlink: links, addresses and routes of one network namespace.
 *
 *     nlmsghdr   u32 length · u16 type · u16 flags · u32 sequence · u32 port
 *     payload    ifinfomsg | ifaddrmsg | rtmsg
 *     attribute  u16 length · u16 type · data, padded to 4 bytes
 *
 * A request is answered by the kernel before `send` returns, so every call is synchronous and takes tens of microseconds.
 */
import { closeSync } from 'node:fs';
import { CodedError } from '#base/errors/index.ts';
import { PosixError } from './library.ts';
import { openSocket, receiveMessage, sendMessage } from './socket.ts';

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const AF_INET = 2;
const MESSAGE = { error: 2, newLink: 16, delLink: 17, getLink: 18, newAddress: 20, newRoute: 24 } as const;
const FLAG = { request: 1, ack: 4, exclusive: 0x200, create: 0x400 } as const;
const IFF_UP = 1;
const LINK = {
  address: 1,
  name: 3,
  mtu: 4,
  master: 10,
  linkInfo: 18,
  netnsFd: 28,
  infoKind: 1,
  infoData: 2,
  vethPeer: 1,
} as const;
const ADDRESS = { address: 1, local: 2, broadcast: 4 } as const;
const ROUTE = { destination: 1, outInterface: 4, gateway: 5 } as const;

/** How a veth pair is made: the host end joins a bridge, the other end is born inside a namespace. */
export interface VethOptions {
  readonly hostName: string;
  readonly bridgeIndex: number;
  readonly peerName: string;
  readonly peerMac: string;
  /** Descriptor of the namespace the peer is put into. */
  readonly netnsFd: number;
  readonly mtu?: number;
}

/** A netlink socket; it stays with the namespace in which it was opened. */
export class RouteSocket implements Disposable {
  readonly #fd: number;
  #sequence = 0;

  /** @throws a system error when the kernel refuses the socket. */
  constructor() {
    this.#fd = openSocket(AF_NETLINK, SOCK_RAW, 0);
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }

  /** Index of a link, or `undefined` when there is none of this name. */
  findLink(name: string): number | undefined {
    try {
      const reply = this.#request(
        MESSAGE.getLink,
        0,
        [linkMessage(0, 0), attribute(LINK.name, cString(name))],
        `find link "${name}"`,
      );
      return reply?.readInt32LE(16 + 4);
    } catch (error) {
      if (isErrno(error, 'ENODEV')) return undefined;
      throw error;
    }
  }

  /** Creates a bridge; one that exists is kept. Returns its index. */
  ensureBridge(name: string, mac: string): number {
    const found = this.findLink(name);
    if (found !== undefined) return found;
    const info = nest(LINK.linkInfo, [attribute(LINK.infoKind, cString('bridge'))]);
    const payload = [
      linkMessage(0, IFF_UP),
      attribute(LINK.name, cString(name)),
      attribute(LINK.address, macBytes(mac)),
      info,
    ];
    this.#request(
      MESSAGE.newLink,
      FLAG.create | FLAG.exclusive | FLAG.ack,
      payload,
      `create bridge "${name}"`,
    );
    return this.findLink(name) ?? fail(`bridge "${name}" vanished`);
  }

  /** Creates a veth pair, host end up and on its bridge, peer inside the namespace of `netnsFd`. */
  createVeth(options: VethOptions): void {
    const mtu = options.mtu === undefined ? [] : [attribute(LINK.mtu, u32(options.mtu))];
    const peer = nest(LINK.vethPeer, [
      linkMessage(0, 0),
      attribute(LINK.name, cString(options.peerName)),
      attribute(LINK.address, macBytes(options.peerMac)),
      attribute(LINK.netnsFd, u32(options.netnsFd)),
      ...mtu,
    ]);
    const info = nest(LINK.linkInfo, [
      attribute(LINK.infoKind, cString('veth')),
      nest(LINK.infoData, [peer]),
    ]);
    const payload = [
      linkMessage(0, IFF_UP),
      attribute(LINK.name, cString(options.hostName)),
      attribute(LINK.master, u32(options.bridgeIndex)),
      ...mtu,
      info,
    ];
    this.#request(
      MESSAGE.newLink,
      FLAG.create | FLAG.exclusive | FLAG.ack,
      payload,
      `create link "${options.hostName}"`,
    );
  }

  setUp(index: number): void {
    this.#request(MESSAGE.newLink, FLAG.ack, [linkMessage(index, IFF_UP)], `bring up link ${index}`);
  }

  /** Puts a link onto a bridge. */
  setMaster(index: number, bridgeIndex: number): void {
    this.#request(
      MESSAGE.newLink,
      FLAG.ack,
      [linkMessage(index, IFF_UP), attribute(LINK.master, u32(bridgeIndex))],
      `put link ${index} onto bridge ${bridgeIndex}`,
    );
  }

  /** Removes a link; one that is gone already is fine. */
  removeLink(name: string): void {
    try {
      this.#request(
        MESSAGE.delLink,
        FLAG.ack,
        [linkMessage(0, 0), attribute(LINK.name, cString(name))],
        `remove link "${name}"`,
      );
    } catch (error) {
      if (!isErrno(error, 'ENODEV')) throw error;
    }
  }

  /** Adds `address/prefixLength`; an address that is there already is fine. */
  addAddress(index: number, address: string, prefixLength: number): void {
    const message = Buffer.alloc(8);
    message[0] = AF_INET;
    message[1] = prefixLength;
    message.writeUInt32LE(index, 4);
    const bytes = ipv4Bytes(address);
    const broadcast = Buffer.alloc(4);
    broadcast.writeUInt32BE((bytes.readUInt32BE(0) | (0xffffffff >>> prefixLength)) >>> 0);
    const payload = [
      message,
      attribute(ADDRESS.local, bytes),
      attribute(ADDRESS.address, bytes),
      attribute(ADDRESS.broadcast, broadcast),
    ];
    this.#ignoring('EEXIST', () =>
      this.#request(
        MESSAGE.newAddress,
        FLAG.create | FLAG.exclusive | FLAG.ack,
        payload,
        `add address ${address}/${prefixLength}`,
      ),
    );
  }

  /** Adds the default route over `gateway`. */
  addDefaultRoute(index: number, gateway: string): void {
    const message = Buffer.from([AF_INET, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0]);
    const payload = [
      message,
      attribute(ROUTE.gateway, ipv4Bytes(gateway)),
      attribute(ROUTE.outInterface, u32(index)),
    ];
    this.#ignoring('EEXIST', () =>
      this.#request(
        MESSAGE.newRoute,
        FLAG.create | FLAG.exclusive | FLAG.ack,
        payload,
        `add default route over ${gateway}`,
      ),
    );
  }

  #ignoring(code: string, body: () => void): void {
    try {
      body();
    } catch (error) {
      if (!isErrno(error, code)) throw error;
    }
  }

  /** Sends one request and reads its answer: the first message for a GET, `undefined` for an ACK. */
  #request(type: number, flags: number, payload: readonly Buffer[], what: string): Buffer | undefined {
    const body = Buffer.concat(payload);
    const message = Buffer.alloc(16 + body.length);
    message.writeUInt32LE(message.length, 0);
    message.writeUInt16LE(type, 4);
    message.writeUInt16LE(flags | FLAG.request, 6);
    message.writeUInt32LE(++this.#sequence, 8);
    body.copy(message, 16);
    sendMessage(this.#fd, message);
    for (;;) {
      const reply = receiveMessage(this.#fd);
      if (reply === undefined) throw new CodedError('internal', `cannot ${what}: netlink gave no answer`);
      if (reply.readUInt32LE(8) !== this.#sequence) continue;
      if (reply.readUInt16LE(4) !== MESSAGE.error) return reply;
      const errno = -reply.readInt32LE(16);
      if (errno !== 0) throw new PosixError(what, errno);
      return undefined;
    }
  }
}

function linkMessage(index: number, flags: number): Buffer {
  const message = Buffer.alloc(16);
  message.writeInt32LE(index, 4);
  message.writeUInt32LE(flags, 8);
  message.writeUInt32LE(flags, 12);
  return message;
}

function attribute(type: number, data: Buffer): Buffer {
  const padded = Buffer.alloc(4 + Math.ceil(data.length / 4) * 4);
  padded.writeUInt16LE(4 + data.length, 0);
  padded.writeUInt16LE(type, 2);
  data.copy(padded, 4);
  return padded;
}

function nest(type: number, children: readonly Buffer[]): Buffer {
  return attribute(type, Buffer.concat(children));
}

function cString(text: string): Buffer {
  return Buffer.from(`${text}\0`);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function macBytes(mac: string): Buffer {
  return Buffer.from(mac.replaceAll(':', ''), 'hex');
}

function ipv4Bytes(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}

function fail(message: string): never {
  throw new CodedError('internal', message);
}

function isErrno(error: unknown, code: string): boolean {
  return error instanceof PosixError && error.code === code;
}
