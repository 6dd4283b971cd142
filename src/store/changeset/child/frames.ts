/**
 * Byte streams between daemon and child, so that one pipe serves many jobs:
 *
 *     u32 length (little endian) · that many bytes · …          length 0: the stream has ended
 */
import fs from 'node:fs';

const LENGTH_BYTES = 4;
const header = Buffer.alloc(LENGTH_BYTES);
const state = { left: 0 };

/** The next bytes of the framed stream on `fd`; 0 at its end, after which a new stream may begin. Synchronous. */
export function readFrame(fd: number, room: Buffer): number {
  if (state.left === 0) {
    readFully(fd, header);
    state.left = header.readUInt32LE();
    if (state.left === 0) return 0;
  }
  const taken = fs.readSync(fd, room, 0, Math.min(room.length, state.left), null);
  if (taken === 0) throw new Error('the other side is gone');
  state.left -= taken;
  return taken;
}

/** Writes bytes as one frame; an empty buffer ends the stream. Synchronous. */
export function writeFrame(fd: number, bytes: Uint8Array): void {
  header.writeUInt32LE(bytes.length);
  writeFully(fd, header);
  if (bytes.length > 0) writeFully(fd, bytes);
}

/** The frame of a chunk, for the side that writes asynchronously. */
export function frameHeader(length: number): Buffer {
  const bytes = Buffer.alloc(LENGTH_BYTES);
  bytes.writeUInt32LE(length);
  return bytes;
}

/** Writes all of `bytes`. */
export function writeFully(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += fs.writeSync(fd, bytes, at, bytes.length - at);
}

function readFully(fd: number, room: Buffer): void {
  for (let at = 0; at < room.length; ) {
    const taken = fs.readSync(fd, room, at, room.length - at, null);
    if (taken === 0) throw new Error('the other side is gone');
    at += taken;
  }
}
