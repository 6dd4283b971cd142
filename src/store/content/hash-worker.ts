/**
 * A thread that hashes files while others write them: the event loop only says how far a file has come.
 *
 *     in:  {id, algorithm, path}   follow a file from its beginning
 *          {id, algorithm}         hash chunks
 *          {id, chunk}             one chunk; answered by {id, taken} so that the sender does not run ahead
 *          {id, end}               its first `end` bytes are there
 *          {id, end, finish: true} that was all: answer
 *          {id, drop: true}        forget it
 *     out: {id, hex}, {id, taken} or {id, error}
 */
import { createHash, type Hash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';

interface Hashed {
  readonly fd: number | undefined;
  readonly hash: Hash;
  position: number;
}

interface Request {
  readonly id: number;
  readonly path?: string;
  readonly algorithm?: string;
  readonly chunk?: Uint8Array;
  readonly end?: number;
  readonly finish?: boolean;
  readonly drop?: boolean;
}

const hashed = new Map<number, Hashed>();
const room = Buffer.allocUnsafe(1024 * 1024);

parentPort?.on('message', (request: Request) => {
  try {
    handle(request);
  } catch (error) {
    forget(request.id);
    parentPort?.postMessage({
      id: request.id,
      error: error instanceof Error ? error.message : String(error),
    });
  }
});

function handle(request: Request): void {
  const { id, algorithm, path, chunk, end } = request;
  if (algorithm !== undefined) {
    const fd = path === undefined ? undefined : openSync(path, 'r');
    hashed.set(id, { fd, hash: createHash(algorithm), position: 0 });
  }
  const target = hashed.get(id);
  if (target === undefined) return;
  if (chunk !== undefined) {
    target.hash.update(chunk);
    parentPort?.postMessage({ id, taken: chunk.byteLength });
  }
  if (end !== undefined && target.fd !== undefined) advance(target, target.fd, end);
  if (request.finish) parentPort?.postMessage({ id, hex: target.hash.digest('hex') });
  if (request.finish || request.drop) forget(id);
}

function advance(file: Hashed, fd: number, end: number): void {
  while (file.position < end) {
    const read = readSync(fd, room, 0, Math.min(room.length, end - file.position), file.position);
    if (read === 0) throw new Error(`file ends at ${file.position} bytes, ${end} were announced`);
    file.hash.update(read === room.length ? room : room.subarray(0, read));
    file.position += read;
  }
}

function forget(id: number): void {
  const target = hashed.get(id);
  hashed.delete(id);
  if (target?.fd !== undefined) closeSync(target.fd);
}
