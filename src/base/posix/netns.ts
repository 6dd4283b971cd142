/** Network namespaces kept by a bind mount, and sockets opened inside them. */
import { closeSync, mkdirSync, openSync, readlinkSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { isSystemError } from '#base/errors/index.ts';
import { CLONE, MNT, MS, mount, setNamespace, unmount, unshare } from './mount.ts';
import { RouteSocket } from './netlink.ts';

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
    () => unshare(CLONE.NEWNET),
    () => {
      mount({ source: OWN_NETNS, target: path, flags: MS.BIND });
      using socket = new RouteSocket();
      setUp(socket);
    },
  );
}

/** Runs `body` inside the namespace kept at `path`, with a netlink socket of it. Synchronous only. */
export function withNetns<T>(path: string, body: (socket: RouteSocket) => T): T {
  return inNetns(path, () => {
    using socket = new RouteSocket();
    return body(socket);
  });
}

/** Runs `body` inside the namespace kept at `path`; what it opens stays there. Synchronous only. */
export function inNetns<T>(path: string, body: () => T): T {
  const target = openSync(path, 'r');
  try {
    return inForeignNetns(() => setNamespace(target, CLONE.NEWNET), body);
  } finally {
    closeSync(target);
  }
}

/** Lets go of a namespace: it ends, with every link in it, when its last process has. Idempotent. */
export function removeNetns(path: string): void {
  try {
    unmount(path, MNT.DETACH);
    unlinkSync(path);
  } catch (error) {
    if (!isSystemError(error, 'ENOENT') && !isSystemError(error, 'EINVAL')) throw error;
    rmSync(path, { force: true });
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
    returnTo(home);
    closeSync(home);
  }
}

function returnTo(home: number): void {
  try {
    setNamespace(home, CLONE.NEWNET);
  } catch {
    process.stderr.write('cannot return to the own network namespace; ending\n');
    process.abort();
  }
}
