import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, unlinkSync } from 'node:fs';
import type { Server } from 'node:http';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { CodedError, isSystemError, messageOf } from '#base/errors/index.ts';
import { isLoopbackHost } from '#base/http/index.ts';
import type { Listener } from './types.ts';

/**
 * Binds `server`. A socket file nobody answers on is replaced; one that answers is not.
 * @throws {CodedError} `permission_denied` for plain TCP on anything but loopback, `already_exists` when the address is taken.
 */
export async function listenOn(server: Server, listener: Listener): Promise<string> {
  if (listener.kind === 'unix') {
    await clearStaleSocket(listener.path);
    mkdirSync(dirname(listener.path), { recursive: true, mode: 0o755 });
    await bind(server, () => server.listen(listener.path), listener.path);
    if (listener.gid !== undefined) chownSync(listener.path, -1, listener.gid);
    chmodSync(listener.path, 0o660);
    return listener.path;
  }
  if (listener.tls === undefined && !isLoopbackHost(listener.host)) {
    throw new CodedError(
      'permission_denied',
      `cannot listen on tcp://${listener.host}:${listener.port}: an address others can reach needs mutual TLS`,
      {
        help: {
          id: 'daemon/tcp-needs-tls',
          cause: 'whoever reaches the API without a certificate is root on this machine',
          fix: [
            'add --tlsverify --tlscacert CA.pem --tlscert SERVER.pem --tlskey SERVER-KEY.pem',
            `--host tcp://127.0.0.1:${listener.port}`,
          ],
        },
      },
    );
  }
  const host = listener.host.replace(/^\[|\]$/g, '');
  await bind(server, () => server.listen({ host, port: listener.port }), `${listener.host}:${listener.port}`);
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : listener.port;
  return `${listener.host}:${port}`;
}

function bind(server: Server, start: () => void, name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void => {
      const taken = isSystemError(error, 'EADDRINUSE');
      reject(
        new CodedError(
          taken ? 'already_exists' : 'invalid_argument',
          `cannot listen on ${name}: ${messageOf(error)}`,
        ),
      );
    };
    server.once('error', failed);
    server.once('listening', () => {
      server.removeListener('error', failed);
      resolve();
    });
    start();
  });
}

async function clearStaleSocket(path: string): Promise<void> {
  if (!existsSync(path)) return;
  if (!lstatSync(path).isSocket())
    throw new CodedError(
      'already_exists',
      `cannot listen on ${path}: a file that is no socket is in the way`,
    );
  if (await answers(path)) {
    throw new CodedError('already_exists', `cannot listen on ${path}: another daemon answers there`, {
      help: { id: 'daemon/already-running', fix: [`docker -H unix://${path} version`] },
    });
  }
  unlinkSync(path);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
