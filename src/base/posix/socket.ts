/** Sockets that node:net cannot open or use: passed descriptors, netlink. */
import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { check, koffiModule, lastErrno, native, posixError } from './library.ts';

const recvmsgCall = native('int64_t recvmsg(int fd, uint8_t *message, int flags)');
const sendmsgCall = native('int64_t sendmsg(int fd, const uint8_t *message, int flags)');
const pollCall = native('int poll(uint8_t *fds, unsigned long count, int timeoutMs)');
const socketCall = native('int socket(int domain, int type, int protocol)');
const bindCall = native('int bind(int fd, const uint8_t *address, unsigned int size)');
const sendCall = native('int64_t send(int fd, const uint8_t *data, size_t size, int flags)');
const recvCall = native('int64_t recv(int fd, uint8_t *data, size_t size, int flags)');

const getsocknameCall = native('int getsockname(int fd, uint8_t *address, uint8_t *size)');
const setsockoptCall = native(
  'int setsockopt(int fd, int level, int option, const uint8_t *value, unsigned int size)',
);

const AF_INET = 2;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCKADDR_IN_BYTES = 16;
const SO_REUSEADDR = 2;
const ONE = Buffer.from([1, 0, 0, 0]);
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_CMSG_CLOEXEC = 0x40000000;
const CONTROL_BYTES = 24; // cmsghdr (16) + one descriptor, padded to 8

/** Buffers of one message; kept together so that none is collected while the kernel has its address. */
interface Message {
  readonly header: Buffer;
  readonly control: Buffer;
  readonly parts: readonly Buffer[];
}

function messageWith(data: Buffer, control: Buffer): Message {
  const { address } = koffiModule();
  const vector = Buffer.alloc(16);
  vector.writeBigUInt64LE(address(data), 0);
  vector.writeBigUInt64LE(BigInt(data.length), 8);
  const header = Buffer.alloc(56);
  header.writeBigUInt64LE(address(vector), 16);
  header.writeBigUInt64LE(1n, 24);
  header.writeBigUInt64LE(address(control), 32);
  header.writeBigUInt64LE(BigInt(control.length), 40);
  return { header, control, parts: [data, vector] };
}

/**
 * Receives one descriptor sent over a unix socket (`runc --console-socket`), waiting up to `timeoutMs` for it.
 * The new descriptor is close-on-exec and yours to close. With a `net.Socket`, pass its `_handle.fd` and open the
 * server with `pauseOnConnect`, so that Node does not read the message away.
 */
export function receiveFd(socketFd: number, options: { readonly timeoutMs?: number } = {}): number {
  waitReadable(socketFd, options.timeoutMs ?? 1000);
  const message = messageWith(Buffer.alloc(4096), Buffer.alloc(CONTROL_BYTES));
  check(Number(recvmsgCall(socketFd, message.header, MSG_CMSG_CLOEXEC)), 'recvmsg');
  const { control } = message;
  const isRights =
    message.header.readBigUInt64LE(40) >= 20n &&
    control.readInt32LE(8) === SOL_SOCKET &&
    control.readInt32LE(12) === SCM_RIGHTS;
  if (!isRights || message.parts.length === 0) throw posixError('recvmsg', constants.errno.EBADMSG);
  return control.readInt32LE(16);
}

/** Sends a copy of the descriptor `fd` over a unix socket, with `data` (at least one byte). */
export function sendFd(socketFd: number, fd: number, data: Uint8Array = Buffer.from([0])): void {
  const control = Buffer.alloc(CONTROL_BYTES);
  control.writeBigUInt64LE(20n, 0);
  control.writeInt32LE(SOL_SOCKET, 8);
  control.writeInt32LE(SCM_RIGHTS, 12);
  control.writeInt32LE(fd, 16);
  const message = messageWith(Buffer.from(data), control);
  check(Number(sendmsgCall(socketFd, message.header, 0x4000)), 'sendmsg');
  if (message.parts.length === 0) throw posixError('sendmsg', constants.errno.EINVAL);
}

/** Blocks this thread until `fd` is readable. */
export function waitReadable(fd: number, timeoutMs: number): void {
  const request = Buffer.alloc(8);
  request.writeInt32LE(fd, 0);
  request.writeInt16LE(1, 4);
  for (const end = performance.now() + timeoutMs; ; ) {
    const left = Math.max(0, Math.ceil(end - performance.now()));
    const ready = pollCall(request, 1, left);
    if (ready === 0) throw posixError('poll', constants.errno.ETIMEDOUT);
    if (ready > 0) return;
    // A signal, such as that of a child's end, does not end the wait.
    if (lastErrno() !== constants.errno.EINTR) check(ready, 'poll');
  }
}

/** Opens a raw socket, close-on-exec; for families Node has no API for (netlink is family 16). */
export function openSocket(family: number, type: number, protocol: number): number {
  return check(socketCall(family, type | 0o2000000, protocol), 'socket');
}

/**
 * Opens an IPv4 socket in the network namespace of the calling thread, close-on-exec and not blocking, bound to `address` and
 * `port` (0: one is chosen). It is yours to close, or to give to Node (`bind({ fd })`, `listen({ fd })`).
 */
export function openInternetSocket(options: {
  readonly kind: 'udp' | 'tcp';
  readonly address: string;
  readonly port: number;
}): number {
  const fd = openSocket(AF_INET, (options.kind === 'udp' ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK, 0);
  const address = Buffer.alloc(SOCKADDR_IN_BYTES);
  address.writeUInt16LE(AF_INET, 0);
  address.writeUInt16BE(options.port, 2);
  address.set(options.address.split('.').map(Number), 4);
  try {
    // Connections of an earlier listener on the same port may linger.
    if (options.kind === 'tcp') check(setsockoptCall(fd, SOL_SOCKET, SO_REUSEADDR, ONE, 4), 'setsockopt');
    bindSocket(fd, address);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return fd;
}

/** The port an internet socket is bound to. */
export function portOfSocket(fd: number): number {
  const address = Buffer.alloc(SOCKADDR_IN_BYTES);
  const size = Buffer.alloc(4);
  size.writeUInt32LE(SOCKADDR_IN_BYTES);
  check(getsocknameCall(fd, address, size), 'getsockname');
  return address.readUInt16BE(2);
}

/** Binds a socket to an address given as its C structure. */
export function bindSocket(fd: number, address: Uint8Array): void {
  check(bindCall(fd, address, address.length), 'bind');
}

/** Sends one message. */
export function sendMessage(fd: number, data: Uint8Array): void {
  check(Number(sendCall(fd, data, data.length, 0x4000)), 'send');
}

/** Receives one message of at most `maxBytes`; blocks on a blocking socket, `undefined` when a non-blocking one has none. */
export function receiveMessage(fd: number, maxBytes = 65_536): Buffer | undefined {
  const room = Buffer.alloc(maxBytes);
  const size = Number(recvCall(fd, room, maxBytes, 0));
  if (size >= 0) return room.subarray(0, size);
  const errno = lastErrno();
  if (errno === constants.errno.EAGAIN) return undefined;
  throw posixError('recv', errno);
}
