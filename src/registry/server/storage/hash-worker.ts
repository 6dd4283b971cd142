/**
 * Thread that hashes uploads from their files, following the writer: the event loop moves the bytes to disk and says how
 * far it is; what is hashed here is what is stored. Messages are `HashRequest`, answers `HashReply`.
 */
import { createHash, type Hash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';

/** Asks the thread to hash up to an offset; with `replyTo`, to finish and answer. */
export type HashRequest =
  | {
      readonly kind: 'advance';
      readonly key: string;
      readonly path: string;
      readonly algorithm: string;
      readonly offset: number;
      readonly replyTo?: number;
    }
  | { readonly kind: 'drop'; readonly key: string };

/** The digest in hex, or what went wrong. */
export interface HashReply {
  readonly replyTo: number;
  readonly hex?: string;
  readonly error?: string;
}

interface Running {
  readonly hash: Hash;
  readonly algorithm: string;
  offset: number;
}

const CHUNK_BYTES = 1024 * 1024;
const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
const running = new Map<string, Running>();

parentPort?.on('message', (request: HashRequest) => {
  if (request.kind === 'drop') {
    running.delete(request.key);
    return;
  }
  const { key, path, algorithm, offset, replyTo } = request;
  try {
    const state = advance(key, path, algorithm, offset);
    if (replyTo === undefined) return;
    running.delete(key);
    reply({ replyTo, hex: state.hash.digest('hex') });
  } catch (error) {
    running.delete(key);
    if (replyTo !== undefined)
      reply({ replyTo, error: error instanceof Error ? error.message : String(error) });
  }
});

/** Goes on from where it was, or from the start when the upload was truncated, resumed or is new here. */
function advance(key: string, path: string, algorithm: string, offset: number): Running {
  let state = running.get(key);
  if (state === undefined || state.algorithm !== algorithm || state.offset > offset) {
    state = { hash: createHash(algorithm), algorithm, offset: 0 };
    running.set(key, state);
  }
  if (state.offset === offset) return state;
  const fd = openSync(path, 'r');
  try {
    while (state.offset < offset) {
      const want = Math.min(CHUNK_BYTES, offset - state.offset);
      const read = readSync(fd, buffer, 0, want, state.offset);
      if (read === 0) throw new Error(`upload ends at ${state.offset} of ${offset} bytes`);
      state.hash.update(buffer.subarray(0, read));
      state.offset += read;
    }
  } finally {
    closeSync(fd);
  }
  return state;
}

function reply(message: HashReply): void {
  parentPort?.postMessage(message);
}
