/** Processes: subreaper, waiting, pidfds, terminals. */
import { constants } from 'node:os';
import { check, koffiModule, lastErrno, native, posixError } from './library.ts';

const prctlCall = native(
  'int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)',
);
const waitidCall = native('int waitid(int kind, unsigned int id, uint8_t *info, int options)');
const syscallPidfdOpen = native('long syscall(long number, int pid, unsigned int flags)');
const syscallPidfdSignal = native(
  'long syscall(long number, int pidfd, int signal, const uint8_t *info, unsigned int flags)',
);
const ioctlCall = native('int ioctl(int fd, unsigned long request, uint8_t *argument)');
const setsidCall = native('int setsid()');

const P_ALL = 0;
const P_PID = 1;
const WNOHANG = 1;
const WEXITED = 4;
const WNOWAIT = 0x01000000;

/** Makes orphaned descendants children of this process instead of init's; whoever does this must reap them. */
export function becomeSubreaper(): void {
  check(prctlCall(36, 1, 0, 0, 0), 'prctl');
}

/** Asks the kernel to send `signal` to this process when its parent thread ends. */
export function setParentDeathSignal(signal: number): void {
  check(prctlCall(1, signal, 0, 0, 0), 'prctl');
}

/** No program started from here can gain rights (suid, file capabilities). */
export function setNoNewPrivileges(): void {
  check(prctlCall(38, 1, 0, 0, 0), 'prctl');
}

/** Starts a session without a terminal. */
export function startSession(): number {
  return check(setsidCall(), 'setsid');
}

/** How a process ended: its exit code, or the signal that killed it (then `exitCode` is 128 + signal). */
export interface ExitedChild {
  readonly pid: number;
  readonly exitCode: number;
  readonly signal: number | undefined;
}

/**
 * A child that has ended and was not waited for, without taking it away: Node waits for its own children itself, so look
 * first and `reapChild` only those Node does not know. `undefined` when there is none.
 */
export function findExitedChild(): ExitedChild | undefined {
  return wait(P_ALL, 0, WEXITED | WNOHANG | WNOWAIT);
}

/** Takes the exit status of `pid`, a child not started by Node (an orphan under a subreaper). `undefined` while it runs. */
export function reapChild(pid: number): ExitedChild | undefined {
  return wait(P_PID, pid, WEXITED | WNOHANG);
}

function wait(kind: number, id: number, options: number): ExitedChild | undefined {
  const info = Buffer.alloc(128);
  const result = waitidCall(kind, id, info, options);
  if (result === -1) {
    const errno = lastErrno();
    if (errno === constants.errno.ECHILD) return undefined;
    throw posixError('waitid', errno);
  }
  const pid = info.readInt32LE(16);
  if (pid === 0) return undefined;
  const status = info.readInt32LE(24);
  const exited = info.readInt32LE(8) === 1; // CLD_EXITED
  return { pid, exitCode: exited ? status : 128 + status, signal: exited ? undefined : status };
}

/** A descriptor for a process; it becomes readable when the process ends and never means another one. */
export function openPidfd(pid: number): number {
  return check(Number(syscallPidfdOpen(434, pid, 0)), 'pidfd_open');
}

/** Sends a signal to the process of a pidfd. */
export function signalPidfd(pidfd: number, signal: number): void {
  check(Number(syscallPidfdSignal(424, pidfd, signal, null, 0)), 'pidfd_send_signal');
}

/** Calls `onReadable` once when `fd` (a pidfd, netlink socket, inotify, …) becomes readable; `close` before you close the descriptor. */
export function watchReadable(fd: number, onReadable: () => void): { close(): void } {
  let handle: ReturnType<ReturnType<typeof koffiModule>['node']['poll']> | undefined;
  const close = () => {
    handle?.close();
    handle = undefined;
  };
  handle = koffiModule().node.poll(fd, { readable: true }, () => {
    close();
    onReadable();
  });
  return { close };
}

/** Sets the size of a terminal. */
export function setWindowSize(fd: number, size: { readonly rows: number; readonly columns: number }): void {
  const window = Buffer.alloc(8);
  window.writeUInt16LE(size.rows, 0);
  window.writeUInt16LE(size.columns, 2);
  check(ioctlCall(fd, 0x5414, window), 'ioctl');
}

/** The size of a terminal. */
export function getWindowSize(fd: number): { readonly rows: number; readonly columns: number } {
  const window = Buffer.alloc(8);
  check(ioctlCall(fd, 0x5413, window), 'ioctl');
  return { rows: window.readUInt16LE(0), columns: window.readUInt16LE(2) };
}
