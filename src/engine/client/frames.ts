/**
 * The frames of attach and logs without a terminal: `[stream, 0, 0, 0, length as 4 bytes big-endian]`, then the bytes.
 */
import { CodedError } from '#base/errors/index.ts';

/** A piece of a container's output. */
export interface OutputPiece {
  readonly stream: 'stdin' | 'stdout' | 'stderr';
  readonly bytes: Buffer;
}

const STREAMS = ['stdin', 'stdout', 'stderr'] as const;
const HEADER_BYTES = 8;

/** Takes the frames apart; the bytes of a frame come as they arrive. @throws {CodedError} `unavailable`. */
export async function* readFrames(source: AsyncIterable<Uint8Array>): AsyncGenerator<OutputPiece> {
  let header = Buffer.alloc(0);
  let stream: OutputPiece['stream'] = 'stdout';
  let left = 0;
  for await (const chunk of source) {
    let rest = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    while (rest.byteLength > 0) {
      if (left === 0) {
        const missing = HEADER_BYTES - header.byteLength;
        header = Buffer.concat([header, rest.subarray(0, missing)]);
        rest = rest.subarray(missing);
        if (header.byteLength < HEADER_BYTES) break;
        const found = STREAMS[header[0] ?? 255];
        if (found === undefined || header[1] || header[2] || header[3])
          throw new CodedError('unavailable', `unrecognized input header: ${header[0]}`);
        stream = found;
        left = header.readUInt32BE(4);
        header = Buffer.alloc(0);
        continue;
      }
      const bytes = rest.subarray(0, left);
      left -= bytes.byteLength;
      rest = rest.subarray(bytes.byteLength);
      yield { stream, bytes };
    }
  }
}
