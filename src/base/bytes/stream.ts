import { createHash } from 'node:crypto';
import { CodedError } from '#base/errors/index.ts';
import type { ByteStream } from './types.ts';

/**
 * Passes at most `maxBytes` on; the first byte more is an error.
 * @throws {CodedError} `invalid_argument` naming `what` and the limit.
 */
export async function* limitBytes(
  stream: ByteStream,
  options: { readonly maxBytes: number; readonly what: string },
): AsyncGenerator<Uint8Array, void, undefined> {
  let seen = 0;
  for await (const chunk of stream) {
    seen += chunk.length;
    if (seen > options.maxBytes) {
      throw new CodedError('invalid_argument', `${options.what} is larger than ${options.maxBytes} bytes`);
    }
    yield chunk;
  }
}

/** Tells `onCount` the bytes passed so far, after every chunk. */
export async function* countBytes(
  stream: ByteStream,
  onCount: (bytes: number) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  let seen = 0;
  for await (const chunk of stream) {
    seen += chunk.length;
    onCount(seen);
    yield chunk;
  }
}

/** A stream whose bytes are hashed as they pass. */
export interface HashedStream {
  readonly stream: ByteStream;
  /** `<algorithm>:<hex>` of what has passed; call it once, after the end. */
  digest(): string;
  readonly sizeBytes: number;
}

/** Hashes a stream while someone else reads it. For small or rate-limited streams: bulk hashing belongs in a child process. */
export function hashBytes(stream: ByteStream, algorithm: 'sha256' | 'sha512' = 'sha256'): HashedStream {
  const hash = createHash(algorithm);
  let sizeBytes = 0;
  async function* pass(): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of stream) {
      hash.update(chunk);
      sizeBytes += chunk.length;
      yield chunk;
    }
  }
  return {
    stream: pass(),
    digest: () => `${algorithm}:${hash.digest('hex')}`,
    get sizeBytes() {
      return sizeBytes;
    },
  };
}

/**
 * Gathers a whole stream of at most `maxBytes` (manifests, configs: never layers).
 * @throws {CodedError} `invalid_argument` past the limit.
 */
export async function collectBytes(
  stream: ByteStream,
  options: { readonly maxBytes: number; readonly what: string },
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of limitBytes(stream, options)) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

/** Reads the first `count` bytes (fewer if the stream is shorter) and gives back a stream that still begins with them. */
export async function peekBytes(
  stream: ByteStream,
  count: number,
): Promise<{ readonly head: Buffer; readonly stream: ByteStream }> {
  const iterator = stream[Symbol.asyncIterator]();
  const chunks: Buffer[] = [];
  let size = 0;
  while (size < count) {
    const next = await iterator.next();
    if (next.done) break;
    chunks.push(Buffer.from(next.value));
    size += next.value.length;
  }
  const start = Buffer.concat(chunks);
  async function* whole(): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      if (start.length > 0) yield start;
      for (;;) {
        const next = await iterator.next();
        if (next.done) return;
        yield next.value;
      }
    } finally {
      await iterator.return?.();
    }
  }
  return { head: start.subarray(0, count), stream: whole() };
}
