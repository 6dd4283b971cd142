/** Compressed streams: which one it is, and both directions. Windows and dictionaries are held to 128 MiB. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Readable, type Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import zlib from 'node:zlib';
import { CodedError, isSystemError, messageOf } from '#base/errors/index.ts';
import { type Command, decompressCommand } from './program.ts';
import { countBytes, peekBytes } from './stream.ts';
import type { ByteStream, InputCompression, OutputCompression } from './types.ts';

/** Bytes that `detectCompression` needs to see. */
export const MAGIC_BYTES = 6;

/** The compression that these first bytes announce; `none` for anything not known. */
export function detectCompression(head: Uint8Array): InputCompression {
  const [a, b, c, d] = head;
  if (a === 0x1f && b === 0x8b) return 'gzip';
  if (a === 0x28 && b === 0xb5 && c === 0x2f && d === 0xfd) return 'zstd';
  // A skippable frame may come first.
  if (a !== undefined && a >= 0x50 && a <= 0x5f && b === 0x2a && c === 0x4d && d === 0x18) return 'zstd';
  if (a === 0xfd && b === 0x37 && c === 0x7a && d === 0x58 && head[4] === 0x5a && head[5] === 0) return 'xz';
  if (a === 0x42 && b === 0x5a && c === 0x68 && d !== undefined && d >= 0x31 && d <= 0x39) return 'bzip2';
  return 'none';
}

/** What may come out for every byte that went in, once this much is out: more is a decompression bomb. */
const GROWTH_LIMIT = 1000;
const GROWTH_FREE_BYTES = 1024 ** 3;

/**
 * Refuses data that grows without measure.
 * @throws {CodedError} `invalid_argument` past a thousandfold and a gibibyte; `what` names the data.
 */
export function checkGrowth(plainBytes: number, storedBytes: number, what: string): void {
  if (plainBytes < GROWTH_FREE_BYTES || plainBytes <= storedBytes * GROWTH_LIMIT) return;
  throw new CodedError(
    'invalid_argument',
    `${what} grows more than ${GROWTH_LIMIT}-fold when it is decompressed`,
  );
}

/** The error of compressed bytes that are not right. */
export function invalidCompression(format: string, state: string): CodedError {
  return new CodedError('invalid_argument', `invalid ${format} data: ${state}`);
}

/**
 * The plain bytes of a compressed stream. Checksums, sizes and the end are verified; more members may follow one another, other bytes may not.
 * Data that grows without measure is refused.
 * gzip and zstd run in this process's thread pool, xz and bzip2 as child programs, unless `isAlone` says that there may be none.
 * @throws {CodedError} `invalid_argument` for damaged, truncated or trailing bytes; `unimplemented` without the program.
 */
export async function* decompress(
  source: ByteStream,
  format: InputCompression | 'auto',
  options: { readonly signal?: AbortSignal; readonly isAlone?: boolean } = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  options.signal?.throwIfAborted();
  if (format === 'auto') {
    const { head, stream } = await peekBytes(source, MAGIC_BYTES);
    yield* decompress(stream, detectCompression(head), options);
  } else if (format === 'none') yield* source;
  else yield* measured(source, format, options);
}

async function* measured(
  source: ByteStream,
  format: InputCompression,
  options: { readonly signal?: AbortSignal; readonly isAlone?: boolean },
): AsyncGenerator<Uint8Array> {
  let [storedBytes, plainBytes] = [0, 0];
  const counted = countBytes(source, (bytes) => {
    storedBytes = bytes;
  });
  for await (const chunk of decode(counted, format, options)) {
    plainBytes += chunk.length;
    checkGrowth(plainBytes, storedBytes, 'the data');
    yield chunk;
  }
}

async function* decode(
  source: ByteStream,
  format: InputCompression,
  { signal, isAlone = false }: { readonly signal?: AbortSignal; readonly isAlone?: boolean },
): AsyncGenerator<Uint8Array> {
  if (format === 'gzip' || (format === 'zstd' && (isAlone || decompressCommand('zstd') === undefined))) {
    yield* through(source, format === 'gzip' ? gunzip() : unzstd(), format, signal);
  } else if (isAlone) throw new CodedError('unimplemented', `${format} data is not read here`);
  else yield* throughProgram(source, commandFor(format), format, signal);
}

function gunzip(): Transform {
  return zlib.createGunzip({ chunkSize: 512 * 1024 });
}

function unzstd(): Transform {
  const params = { [zlib.constants.ZSTD_d_windowLogMax]: 27 };
  return zlib.createZstdDecompress({ chunkSize: 512 * 1024, params });
}

function commandFor(format: InputCompression): Command {
  const command = decompressCommand(format);
  if (command !== undefined) return command;
  throw new CodedError('unimplemented', `cannot read ${format} data: the program ${format} is not installed`);
}

/** Compresses; level by format (gzip 1, zstd 3 unless given). Runs in this process's thread pool: for layers see `store/changeset`. */
export async function* compress(
  source: ByteStream,
  format: OutputCompression,
  options: { readonly level?: number; readonly signal?: AbortSignal } = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  if (format === 'none') yield* source;
  else if (format === 'gzip')
    yield* through(
      source,
      zlib.createGzip({ level: options.level ?? 1, chunkSize: 256 * 1024 }),
      format,
      options.signal,
    );
  else {
    const params = {
      [zlib.constants.ZSTD_c_compressionLevel]: options.level ?? 3,
      [zlib.constants.ZSTD_c_checksumFlag]: 1,
    };
    yield* through(
      source,
      zlib.createZstdCompress({ params, chunkSize: 256 * 1024 }),
      format,
      options.signal,
    );
  }
}

/** A failure of the source is told from a failure of the coder, so that only bad bytes are the sender's fault. */
async function* through(
  source: ByteStream,
  coder: Transform,
  format: string,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let sourceFailure: { readonly error: unknown } | undefined;
  async function* watched(): ByteStream & AsyncGenerator<Uint8Array> {
    try {
      yield* source;
    } catch (error) {
      sourceFailure = { error };
      throw error;
    }
  }
  const done = pipeline(
    Readable.from(watched(), { objectMode: false }),
    coder,
    signal === undefined ? {} : { signal },
  );
  done.catch(() => {}); // told below, by the loop or by `await done`
  try {
    for await (const chunk of coder) yield chunk as Buffer;
    await done;
  } catch (error) {
    signal?.throwIfAborted();
    if (sourceFailure !== undefined) throw sourceFailure.error;
    if (!isSystemError(error) || !/^(Z_|ZSTD_|ERR_ZLIB|ERR_TRAILING|ERR_)/.test(error.code)) throw error;
    throw invalidCompression(format, messageOf(error));
  } finally {
    coder.destroy();
  }
}

async function* throughProgram(
  source: ByteStream,
  command: Command,
  format: string,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const child = spawn(command.file, command.args, { stdio: ['pipe', 'pipe', 'pipe'] });
  const ended = once(child, 'close');
  let complaint = '';
  child.stderr.on('data', (text: Buffer) => {
    complaint = (complaint + text).slice(0, 500);
  });
  let sourceFailure: { readonly error: unknown } | undefined;
  const fed = pipeline(
    Readable.from(source, { objectMode: false }),
    child.stdin,
    signal === undefined ? {} : { signal },
  ).catch((error: unknown) => {
    if (!isSystemError(error, 'EPIPE') && !isSystemError(error, 'ERR_STREAM_PREMATURE_CLOSE'))
      sourceFailure = { error };
    child.kill('SIGKILL');
  });
  try {
    for await (const chunk of child.stdout) yield chunk as Buffer;
    await fed;
    const [exitCode] = (await ended) as [number | null];
    signal?.throwIfAborted();
    if (sourceFailure !== undefined) throw sourceFailure.error;
    if (exitCode !== 0 || complaint !== '')
      throw invalidCompression(format, complaint.trim() || `decoder ended with code ${exitCode}`);
  } finally {
    child.kill('SIGKILL');
  }
}
