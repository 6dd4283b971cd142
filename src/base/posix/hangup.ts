/** Whether the other side of a half-closed connection is still there. */
import { native } from './library.ts';

const pollCall = native('int poll(uint8_t *fds, unsigned long count, int timeoutMs)');
const POLLERR = 8;
const POLLHUP = 16;
const POLLNVAL = 32;

/**
 * Whether nobody can read what is written to the socket `fd` any more. Node does not notice that of a connection whose
 * input has ended already: it waits for nothing there.
 */
export function isHungUp(fd: number): boolean {
  const request = Buffer.alloc(8);
  request.writeInt32LE(fd, 0);
  if (pollCall(request, 1, 0) <= 0) return false;
  return (request.readInt16LE(6) & (POLLERR | POLLHUP | POLLNVAL)) !== 0;
}
