/**
 * A thread that hashes files while others write them: the event loop only says how far a file has come.
 *
 *     in:  {id, path, algorithm}   follow a file from its beginning
 *          {id, end}               its first `end` bytes are there
 *          {id, end, finish: true} that was all: answer
 *          {id, drop: true}        forget it
 *     out: {id, hex} or {id, error}
 */
import { createHash, type Hash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';

interface Followed {
  readonly fd: number;
  readonly hash: Hash;
  position: number;
}

interface Request {
  readonly id: number;
  readonly path?: string;
  readonly algorithm?: string;
  readonly end?: number;
  readonly finish?: boolean;
  readonly drop?: boolean;
}

const followed = new Map<number, Followed>();
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
  if (request.path !== undefined) {
    const hash = createHash(request.algorithm ?? 'sha256');
    followed.set(request.id, { fd: openSync(request.path, 'r'), hash, position: 0 });
  }
  const file = followed.get(request.id);
  if (file === undefined) return;
  if (request.end !== undefined) advance(file, request.end);
  if (request.finish) parentPort?.postMessage({ id: request.id, hex: file.hash.digest('hex') });
  if (request.finish || request.drop) forget(request.id);
}

function advance(file: Followed, end: number): void {
  while (file.position < end) {
    const read = readSync(file.fd, room, 0, Math.min(room.length, end - file.position), file.position);
    if (read === 0) throw new Error(`file ends at ${file.position} bytes, ${end} were announced`);
    file.hash.update(read === room.length ? room : room.subarray(0, read));
    file.position += read;
  }
}

function forget(id: number): void {
  const file = followed.get(id);
  if (file === undefined) return;
  followed.delete(id);
  closeSync(file.fd);
}
