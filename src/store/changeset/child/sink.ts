import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { Worker } from 'node:worker_threads';
import { compressCommand } from '#base/bytes/index.ts';
import { CodedError } from '#base/errors/index.ts';
import { openPipe } from '#base/posix/index.ts';
import { writeFrame, writeFully } from './frames.ts';
import { OUTPUT_FD, type PackRequest } from './protocol.ts';
import { waitForExit, widenPipe } from './source.ts';

/** Where the bytes of a tar go besides the hash. */
export interface TarOutput {
  write(bytes: Buffer): void;
  /** Ends the output; says what was written when that is a blob. */
  finish(): { readonly digest: string; readonly sizeBytes: number } | undefined;
}

/** Opens the output a request asks for. Files are not synced: who adopts one decides what it waits for. */
export function openTarSink(to: PackRequest['to']): TarOutput {
  if (to === 'nowhere') return { write: () => {}, finish: () => undefined };
  if (to === 'stream') {
    return {
      write: (bytes) => writeFrame(OUTPUT_FD, bytes),
      finish: () => {
        writeFrame(OUTPUT_FD, Buffer.alloc(0));
        return undefined;
      },
    };
  }
  return to.format === 'none' ? plainFile(to.path) : compressedFile(to.path, to.format, to.level);
}

function plainFile(path: string): TarOutput {
  const fd = fs.openSync(path, 'w', 0o600);
  const hash = createHash('sha256');
  let sizeBytes = 0;
  return {
    write(bytes) {
      hash.update(bytes);
      writeFully(fd, bytes);
      sizeBytes += bytes.length;
    },
    finish() {
      fs.closeSync(fd);
      return { digest: `sha256:${hash.digest('hex')}`, sizeBytes };
    },
  };
}

/** The compressor is a program; a thread takes what comes out of it, hashes it and writes it to the file. */
function compressedFile(path: string, format: 'gzip' | 'zstd', level: number | undefined): TarOutput {
  const { file, args } = compressCommand(format, level) ?? fallback(format, level);
  const [input, output] = [openPipe(), openPipe()];
  for (const pipe of [input, output]) widenPipe(pipe.writeFd);
  const fd = fs.openSync(path, 'w', 0o600);
  const { pid } = spawn(file, args, { stdio: [input.readFd, output.writeFd, 'ignore'] });
  fs.closeSync(input.readFd);
  fs.closeSync(output.writeFd);
  if (pid === undefined)
    throw new CodedError('failed_precondition', `cannot compress: ${file} does not start`);
  const shared = new SharedArrayBuffer(SHARED_BYTES);
  const worker = new Worker(COLLECTOR, { eval: true, workerData: { from: output.readFd, to: fd, shared } });
  worker.unref();
  const state = new Int32Array(shared, 0, 2);
  return {
    write: (bytes) => writeFully(input.writeFd, bytes),
    finish() {
      fs.closeSync(input.writeFd);
      Atomics.wait(state, 0, RUNNING);
      const exitCode = waitForExit(pid);
      fs.closeSync(output.readFd);
      if (Atomics.load(state, 0) !== DONE || exitCode !== 0) {
        fs.closeSync(fd);
        throw new CodedError(
          Atomics.load(state, 1) === 28 ? 'resource_exhausted' : 'internal',
          `cannot compress the layer: ${file} ended with ${exitCode}`,
        );
      }
      fs.closeSync(fd);
      return {
        digest: `sha256:${Buffer.from(shared, 16, 32).toString('hex')}`,
        sizeBytes: Number(new BigInt64Array(shared, 8, 1)[0]),
      };
    },
  };
}

/** gzip is on every Debian; it is several times slower than ISA-L. */
function fallback(
  format: 'gzip' | 'zstd',
  level: number | undefined,
): { readonly file: string; readonly args: readonly string[] } {
  if (format === 'gzip') return { file: '/bin/gzip', args: [`-${level ?? 1}`, '-n', '-c'] };
  throw new CodedError('unimplemented', 'cannot write zstd data: the program zstd is not installed', {
    help: { id: 'daemon/no-compressor', fix: ['sudo apt-get install zstd'] },
  });
}

/** `i32 state · i32 errno · i64 size · 32 bytes digest` */
const SHARED_BYTES = 48;
const RUNNING = 0;
const DONE = 1;

/** The collecting thread, as text, for the reason the hashing thread is. */
const COLLECTOR = `
const { workerData } = require('node:worker_threads');
const { createHash } = require('node:crypto');
const fs = require('node:fs');
const { from, to, shared } = workerData;
const state = new Int32Array(shared, 0, 2);
const room = Buffer.allocUnsafe(1024 * 1024);
const hash = createHash('sha256');
let size = 0;
let outcome = 2;
try {
  for (let length; (length = fs.readSync(from, room, 0, room.length, null)) > 0; ) {
    const bytes = room.subarray(0, length);
    hash.update(bytes);
    for (let at = 0; at < length; ) at += fs.writeSync(to, bytes, at, length - at);
    size += length;
  }
  hash.digest().copy(Buffer.from(shared, 16, 32));
  new BigInt64Array(shared, 8, 1)[0] = BigInt(size);
  outcome = ${DONE};
} catch (error) {
  state[1] = Math.abs(error.errno ?? 0);
  fs.closeSync(from);
}
Atomics.store(state, 0, outcome);
Atomics.notify(state, 0);
`;
