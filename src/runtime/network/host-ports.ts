/**
 * Claims on host ports. A claimed port is really bound: nobody else can take it, a conflict is seen at once, and
 * connections that no DNAT rule catches (over IPv6, or where the firewall was reloaded) are relayed from here.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { connect, createServer, type Server } from 'node:net';
import { CodedError, isSystemError, wrapError } from '#base/errors/index.ts';
import type { PortBinding } from './types.ts';

/** A bound port; `hostPort` is final. */
export interface PortClaim {
  readonly binding: PortBinding;
  release(): void;
}

const EPHEMERAL = { first: 32768, last: 60999 } as const;

/**
 * Binds the port of `binding` (one of its own choice for 0) and relays to `address`.
 * @throws {CodedError} `conflict` with Docker's text when the port is taken.
 */
export async function claimPort(binding: PortBinding, address: string): Promise<PortClaim> {
  if (binding.hostPort !== 0) return bind(binding, address);
  const range = EPHEMERAL.last - EPHEMERAL.first + 1;
  const start = Math.floor(Math.random() * range);
  for (let attempt = 0; attempt < 64; attempt++) {
    const hostPort = EPHEMERAL.first + ((start + attempt * 7) % range);
    try {
      return await bind({ ...binding, hostPort }, address);
    } catch (error) {
      if (!(error instanceof CodedError) || error.code !== 'conflict') throw error;
    }
  }
  throw new CodedError('resource_exhausted', 'all ports are allocated');
}

async function bind(binding: PortBinding, address: string): Promise<PortClaim> {
  const hosts = binding.hostIp === '0.0.0.0' ? ['0.0.0.0', '::'] : [binding.hostIp];
  const bound: (() => void)[] = [];
  try {
    for (const host of hosts) bound.push(await bindOne(binding, host, address));
  } catch (error) {
    for (const release of bound) release();
    if (isSystemError(error, 'EADDRINUSE')) throw portTaken(binding);
    if (isSystemError(error, 'EACCES') || isSystemError(error, 'EADDRNOTAVAIL')) {
      throw new CodedError(
        'invalid_argument',
        `Error starting userland proxy: listen ${binding.protocol}4 ${binding.hostIp}:${binding.hostPort}: bind: ${isSystemError(error, 'EACCES') ? 'permission denied' : 'cannot assign requested address'}`,
        { cause: error },
      );
    }
    throw error;
  }
  return { binding, release: () => bound.forEach((release) => void release()) };
}

async function bindOne(binding: PortBinding, host: string, address: string): Promise<() => void> {
  try {
    return binding.protocol === 'udp' ? await bindUdp(binding, host) : await bindTcp(binding, host, address);
  } catch (error) {
    const ipv6Missing =
      host === '::' && (isSystemError(error, 'EAFNOSUPPORT') || isSystemError(error, 'EADDRNOTAVAIL'));
    if (ipv6Missing) return () => {};
    throw error;
  }
}

function bindTcp(binding: PortBinding, host: string, address: string): Promise<() => void> {
  const server: Server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => {
    const upstream = connect({ host: address, port: binding.containerPort, allowHalfOpen: true });
    client.pipe(upstream).pipe(client);
    client.on('error', () => upstream.destroy());
    upstream.on('error', () => client.destroy());
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port: binding.hostPort, ipv6Only: host === '::', backlog: 128 }, () => {
      server.unref();
      resolve(() => void server.close());
    });
  });
}

function bindUdp(binding: PortBinding, host: string): Promise<() => void> {
  const socket: UdpSocket = createSocket({
    type: host.includes(':') ? 'udp6' : 'udp4',
    ipv6Only: host === '::',
  });
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind({ address: host, port: binding.hostPort, exclusive: true }, () => {
      socket.unref();
      resolve(() => void socket.close());
    });
  });
}

/** What went wrong with the ports of an endpoint, after Docker's name for it. */
export function publishFailed(
  endpoint: { readonly containerName: string; readonly endpointId: string },
  error: unknown,
): CodedError {
  const place = `endpoint ${endpoint.containerName} (${endpoint.endpointId})`;
  return wrapError(error, `driver failed programming external connectivity on ${place}`);
}

function portTaken(binding: PortBinding): CodedError {
  const name = `${binding.hostIp}:${binding.hostPort}`;
  return new CodedError('conflict', `Bind for ${name} failed: port is already allocated`, {
    subject: { kind: 'port', name },
    help: {
      id: 'run/port-taken',
      cause: `another process or container uses ${name}/${binding.protocol}`,
      fix: [`ss -ltnp 'sport = :${binding.hostPort}'`],
    },
  });
}
