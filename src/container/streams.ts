/** Joins a client's connection with a process's streams. */
import type { Duplex } from 'node:stream';
import { CodedError } from '#base/errors/index.ts';
import { isHungUp } from '#base/posix/index.ts';
import type { LogEntry } from './types.ts';

const STREAM_NUMBER: Readonly<Record<LogEntry['stream'], number>> = { stdout: 1, stderr: 2 };
const DEFAULT_DETACH = 'ctrl-p,ctrl-q';
const HANG_UP_CHECK_MS = 5000;

/** A chunk of output with Docker's 8-byte header: stream, three zeros, length. */
export function frame(stream: LogEntry['stream'], data: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(8 + data.length);
  framed.writeUInt32BE(0, 0);
  framed[0] = STREAM_NUMBER[stream];
  framed.writeUInt32BE(data.length, 4);
  framed.set(data, 8);
  return framed;
}

/** Bytes of `ctrl-p,ctrl-q` and the like. @throws {CodedError} `invalid_argument` with Docker's text. */
export function parseDetachKeys(text: string): Buffer {
  const keys = (text === '' ? DEFAULT_DETACH : text).split(',');
  return Buffer.from(
    keys.map((key) => {
      if (key.length === 1) return key.charCodeAt(0);
      const letter = /^ctrl-([a-z@[\\\]^_])$/i.exec(key)?.[1]?.toLowerCase();
      if (letter === undefined)
        throw new CodedError('invalid_argument', `Invalid detach keys (${text}) provided`);
      return letter.charCodeAt(0) & 0x1f;
    }),
  );
}

/** Finds a key sequence in input that comes in pieces; what may be its beginning is held back. */
export class DetachScanner {
  readonly #keys: Buffer;
  #matched = 0;

  constructor(keys: Buffer) {
    this.#keys = keys;
  }

  /** Input to pass on, and whether the sequence is complete. */
  scan(chunk: Buffer): { readonly pass: Buffer; readonly detached: boolean } {
    if (this.#matched === 0 && chunk.indexOf(this.#keys[0] as number) < 0)
      return { pass: chunk, detached: false };
    const pass: number[] = [];
    for (const byte of chunk) {
      if (byte === this.#keys[this.#matched]) {
        this.#matched++;
        if (this.#matched === this.#keys.length) return { pass: Buffer.from(pass), detached: true };
        continue;
      }
      pass.push(...this.#keys.subarray(0, this.#matched));
      this.#matched = byte === this.#keys[0] ? 1 : 0;
      if (this.#matched === 0) pass.push(byte);
    }
    return { pass: Buffer.from(pass), detached: false };
  }
}

/** A client that has ended its input and is then killed says nothing more: it is looked at now and then. */
function watchHangUp(client: Duplex, connection: Duplex): void {
  const { _handle: handle } = connection as { readonly _handle?: { readonly fd?: number } | null };
  const fd = handle?.fd;
  if (fd === undefined || fd < 0) return;
  const timer = setInterval(() => {
    if (client.destroyed) clearInterval(timer);
    else if (isHungUp(fd)) {
      client.destroy();
      connection.destroy();
    }
  }, HANG_UP_CHECK_MS);
  timer.unref();
  client.once('close', () => clearInterval(timer));
}

/**
 * Copies both ways until the output ends, the client goes, or it types the detach keys; resolves with how it ended.
 * Without `stdin` the client's input is read and dropped. `connection` is the socket under a wrapped client.
 */
export function joinStreams(
  client: Duplex,
  kept: Duplex,
  options: {
    readonly stdin: boolean;
    readonly detachKeys: Buffer | undefined;
    readonly connection: Duplex | undefined;
  },
): Promise<'ended' | 'detached' | 'gone'> {
  const { promise, resolve } = Promise.withResolvers<'ended' | 'detached' | 'gone'>();
  const scanner = options.detachKeys === undefined ? undefined : new DetachScanner(options.detachKeys);
  client.on('error', () => client.destroy());
  kept.on('error', () => kept.destroy());
  client.once('close', () => {
    kept.destroy();
    resolve('gone');
  });
  client.on('data', (chunk: Buffer) => {
    if (!options.stdin || kept.destroyed || kept.writableEnded) return;
    const { pass, detached } = scanner?.scan(chunk) ?? { pass: chunk, detached: false };
    if (pass.length > 0 && !kept.write(pass)) {
      client.pause();
      kept.once('drain', () => client.resume());
    }
    if (!detached) return;
    resolve('detached');
    kept.destroy();
    client.end();
  });
  client.once('end', () => {
    if (options.stdin) kept.end();
  });
  kept.once('end', () => {
    resolve('ended');
    kept.end();
  });
  kept.once('close', () => {
    if (!client.writableEnded) client.end();
    resolve('ended');
  });
  watchHangUp(client, options.connection ?? client);
  kept.pipe(client);
  client.resume();
  return promise;
}
