/** Network namespaces kept by a bind mount, and sockets opened inside them. */
import { closeSync, mkdirSync, openSync, readlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import koffi from 'koffi';
import { isSystemError } from '#base/errors/index.ts';
import { RouteSocket } from './netlink.ts';

const libc = koffi.load('libc.so.6');
const unshare = libc.func('int unshare(int flags)');
const setns = libc.func('int setns(int fd, int type)');
const mount = libc.func(
  'int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)',
);
const umount2 = libc.func('int umount2(const char *target, int flags)');

const CLONE_NEWNET = 0x40000000;
const MS_BIND = 4096;
const MNT_DETACH = 2;
const OWN_NETNS = '/proc/thread-self/ns/net';

/**
 * Makes a network namespace and keeps it under `path`; `setUp` runs inside it and must be synchronous. The calling
 * thread is back in its own namespace when this returns; should that ever fail the process ends, since every later
 * connection would go astray.
 */
export function createNetns(path: string, setUp: (socket: RouteSocket) => void): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeFileSync(path, '', { flag: 'wx', mode: 0o600 });
  inForeignNetns(
    () => check(unshare(CLONE_NEWNET) as number, 'unshare the network namespace'),
    () => {
      check(mount(OWN_NETNS, path, null, MS_BIND, null) as number, `bind the network namespace to "${path}"`);
      using socket = new RouteSocket();
      setUp(socket);
    },
  );
}

/** Runs `body` inside the namespace kept at `path`. Synchronous only. */
export function withNetns<T>(path: string, body: (socket: RouteSocket) => T): T {
  const target = openSync(path, 'r');
  try {
    return inForeignNetns(
      () => check(setns(target, CLONE_NEWNET) as number, `enter "${path}"`),
      () => {
        using socket = new RouteSocket();
        return body(socket);
      },
    );
  } finally {
    closeSync(target);
  }
}

/** Lets go of a namespace: it ends, with every link in it, when its last process has. Idempotent. */
export function removeNetns(path: string): void {
  umount2(path, MNT_DETACH);
  try {
    unlinkSync(path);
  } catch (error) {
    if (!isSystemError(error, 'ENOENT')) throw error;
  }
}

/** Identity of the namespace of the calling thread, such as `net:[4026531840]`. */
export function ownNetns(): string {
  return readlinkSync(OWN_NETNS);
}

function inForeignNetns<T>(enter: () => void, body: () => T): T {
  const home = openSync(OWN_NETNS, 'r');
  try {
    enter();
    return body();
  } finally {
    if ((setns(home, CLONE_NEWNET) as number) !== 0) {
      process.stderr.write('cannot return to the own network namespace; ending\n');
      process.abort();
    }
    closeSync(home);
  }
}

function check(result: number, what: string): void {
  if (result === 0) return;
  const errno = koffi.errno();
  throw Object.assign(new Error(`cannot ${what}: errno ${errno}`), {
    code: errno === 1 ? 'EPERM' : `errno ${errno}`,
    errno,
  });
}
