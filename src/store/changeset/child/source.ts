import { spawn } from 'node:child_process';
import fs from 'node:fs';
import {
  decompressCommand,
  detectCompression,
  type InputCompression,
  MAGIC_BYTES,
} from '#base/bytes/index.ts';
import { CodedError } from '#base/errors/index.ts';
import { openPipe, reapChild, setPipeSize } from '#base/posix/index.ts';
import { readFrame } from './frames.ts';

const PIPE_BYTES = 1024 * 1024;
const EXIT_WAIT_MS = 10_000;
const STRICT_WAIT_MS = 600_000;

/** Layer bytes, decompressed, read synchronously. */
export interface TarSource {
  /** Fills from the start of `room`; 0 at the end. */
  read(room: Buffer): number;
  /** Compressed size where it is known: what a decompression bomb is measured against. */
  readonly storedBytes: number | undefined;
  /** Call after the end: checks that the decompressor was content, and lets go of everything. */
  close(readBytes: number): void;
}

/** Bytes that arrive in frames over descriptor 0, plain. */
export function openFramedSource(): TarSource {
  return { read: (room) => readFrame(0, room), storedBytes: undefined, close: () => {} };
}

/** A file, decompressed by a program of its own. Must be opened outside the jail. */
export function openFileSource(path: string, format: InputCompression | 'auto'): TarSource {
  const fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  const stats = fs.fstatSync(fd);
  if (!stats.isFile()) {
    fs.closeSync(fd);
    throw new CodedError('invalid_argument', 'the layer is not a regular file');
  }
  const compression = format === 'auto' ? detect(fd) : format;
  if (compression === 'none') {
    return {
      read: (room) => fs.readSync(fd, room, 0, room.length, null),
      storedBytes: stats.size,
      close: () => fs.closeSync(fd),
    };
  }
  return openDecompressed(fd, compression, stats.size);
}

function openDecompressed(fd: number, compression: InputCompression, storedBytes: number): TarSource {
  const { file, args } = decompressCommand(compression) ?? fallback(compression);
  const endMark = compression === 'gzip' ? readEndMark(fd, storedBytes) : undefined;
  const strict = compression === 'gzip' ? fs.openSync(`/proc/self/fd/${fd}`, 'r') : undefined;
  // bzip2 only complains about other bytes behind its data.
  const complaints = compression === 'bzip2' ? openPipe() : undefined;
  const pipe = openPipe();
  widenPipe(pipe.writeFd);
  const child = spawn(file, args, { stdio: [fd, pipe.writeFd, complaints?.writeFd ?? 'ignore'] });
  fs.closeSync(pipe.writeFd);
  if (complaints !== undefined) fs.closeSync(complaints.writeFd);
  fs.closeSync(fd);
  const { pid } = child;
  if (pid === undefined)
    throw new CodedError('failed_precondition', `cannot read ${compression} data: ${file} does not start`);
  return {
    read: (room) => fs.readSync(pipe.readFd, room, 0, room.length, null),
    storedBytes,
    close: (readBytes) => {
      fs.closeSync(pipe.readFd);
      if (waitForExit(pid) !== 0)
        throw new CodedError('invalid_argument', `invalid ${compression} data: it is damaged or truncated`);
      if (complaints !== undefined && hasBytes(complaints.readFd))
        throw new CodedError('invalid_argument', `invalid ${compression} data: other bytes follow it`);
      // ISA-L passes over what follows the last member; then the length noted at the end is another one.
      if (strict === undefined) return;
      const isWhole = endMark === readBytes % 2 ** 32 || isStrictGzip(strict);
      fs.closeSync(strict);
      if (!isWhole) throw new CodedError('invalid_argument', 'invalid gzip data: other bytes follow it');
    },
  };
}

/** Whether a program that has ended left a word; closes the descriptor. */
function hasBytes(fd: number): boolean {
  const length = fs.readSync(fd, Buffer.alloc(1));
  fs.closeSync(fd);
  return length > 0;
}

/** Where ISA-L is not installed, gzip itself is slower but always there. */
function fallback(compression: InputCompression): {
  readonly file: string;
  readonly args: readonly string[];
} {
  if (compression === 'gzip') return { file: '/bin/gzip', args: ['-d', '-c'] };
  throw new CodedError(
    'unimplemented',
    `cannot read ${compression} data: the program ${compression} is not installed`,
    {
      help: {
        id: 'daemon/no-decompressor',
        fix: [`sudo apt-get install ${compression === 'xz' ? 'xz-utils' : compression}`],
      },
    },
  );
}

/** The exit code of a child; this process has no event loop turning that would tell. */
export function waitForExit(pid: number, limitMs = EXIT_WAIT_MS): number {
  const nap = new Int32Array(new SharedArrayBuffer(4));
  for (const started = Date.now(); Date.now() - started < limitMs; ) {
    const exited = reapChild(pid);
    if (exited !== undefined) return exited.exitCode;
    Atomics.wait(nap, 0, 0, 1);
  }
  return -1;
}

function detect(fd: number): InputCompression {
  const head = Buffer.alloc(MAGIC_BYTES);
  return detectCompression(head.subarray(0, fs.readSync(fd, head, 0, head.length, 0)));
}

/** Fewer turns between two programs; a user at the limit of pipe memory keeps the usual size. */
export function widenPipe(fd: number): void {
  try {
    setPipeSize(fd, PIPE_BYTES);
  } catch {
    // The size is only a matter of speed.
  }
}

/** The length that a gzip member notes in its last four bytes. */
function readEndMark(fd: number, sizeBytes: number): number {
  const mark = Buffer.alloc(4);
  fs.readSync(fd, mark, 0, mark.length, Math.max(0, sizeBytes - mark.length));
  return mark.readUInt32LE();
}

/** GNU gzip's opinion, which is strict about what follows; several members in a row are fine. */
function isStrictGzip(fd: number): boolean {
  const { pid } = spawn('/bin/gzip', ['-t'], { stdio: [fd, 'ignore', 'ignore'] });
  return pid !== undefined && waitForExit(pid, STRICT_WAIT_MS) === 0;
}
