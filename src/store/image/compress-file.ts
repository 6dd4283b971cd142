import { spawn } from 'node:child_process';
import { createReadStream, createWriteStream } from 'node:fs';
import { open, rm, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { compress, compressCommand } from '#base/bytes/index.ts';
import type { OutputCompression } from '#base/bytes/types.ts';
import { CodedError } from '#base/errors/index.ts';

/**
 * Compresses a file into a new one, by a child program from file to file where one is installed, else in the thread pool.
 * Returns the compressed size; on failure nothing is left.
 */
export async function compressFile(
  from: string,
  to: string,
  options: { readonly format: OutputCompression; readonly signal: AbortSignal },
): Promise<number> {
  const command = compressCommand(options.format);
  try {
    if (command === undefined) {
      const source = compress(createReadStream(from, { highWaterMark: 1024 * 1024 }), options.format);
      await pipeline(Readable.from(source), createWriteStream(to, { flags: 'wx', mode: 0o600 }), {
        signal: options.signal,
      });
    } else {
      await runProgram(command, from, to, options.signal);
    }
    return (await stat(to)).size;
  } catch (error) {
    await rm(to, { force: true });
    throw error;
  }
}

async function runProgram(
  command: { readonly file: string; readonly args: readonly string[] },
  from: string,
  to: string,
  signal: AbortSignal,
): Promise<void> {
  await using input = await open(from, 'r');
  await using output = await open(to, 'wx', 0o600);
  await new Promise<void>((resolve, reject) => {
    const child = spawn(command.file, command.args, { stdio: [input.fd, output.fd, 'pipe'], signal });
    let text = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      text = (text + chunk.toString('utf8')).slice(0, 500);
    });
    child.on('error', (error) => reject(signal.aborted ? signal.reason : error));
    child.on('close', (code) => {
      const failed = new CodedError(
        'internal',
        `cannot compress: ${command.file} ended with ${code}: ${text.trim()}`,
      );
      if (code === 0) resolve();
      else reject(failed);
    });
  });
}
