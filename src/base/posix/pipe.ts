/** Real pipes: what Node gives a child is a socket pair, and a program cannot open `/dev/stdout` when that is a socket. */
import { check, native } from './library.ts';

const pipe2Call = native('int pipe2(uint8_t *fds, int flags)');
const O_CLOEXEC = 0o2000000;

/** The two ends of a pipe, both close-on-exec and yours to close. */
export interface PipeEnds {
  readonly readFd: number;
  readonly writeFd: number;
}

/** Opens a pipe. */
export function openPipe(): PipeEnds {
  const fds = Buffer.alloc(8);
  check(pipe2Call(fds, O_CLOEXEC), 'pipe2');
  return { readFd: fds.readInt32LE(0), writeFd: fds.readInt32LE(4) };
}
