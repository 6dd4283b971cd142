import { native } from './library.ts';

const trim = native('int malloc_trim(size_t pad)');

/**
 * Gives memory of the C heap that is free back to the system: buffers that came and went leave it with holes, which libc
 * keeps for later. Does nothing where libc has no such call (musl keeps little). Takes a few milliseconds.
 */
export function trimHeap(): void {
  try {
    trim(0);
  } catch {
    // No such call.
  }
}
