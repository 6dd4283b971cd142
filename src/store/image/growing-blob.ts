import { closeSync, fstatSync, openSync, read } from 'node:fs';
import { promisify } from 'node:util';
import { CodedError } from '#base/errors/index.ts';
import type { GrowingBlob } from './types.ts';

const readAt = promisify(read);

/** Bytes that are waited for before a reader takes what there is. */
const LEAST_BYTES = 64 * 1024;
const CHUNK_BYTES = 256 * 1024;

/**
 * A file that a child process appends to, read from its beginning by any number of readers meanwhile. Its maker says when there
 * may be more (`grew`) and when that was all (`end`, `fail`); readers that have begun by then read to the end, even when the
 * file has got another name.
 */
export class GrowingFile implements GrowingBlob {
  readonly #fd: number;
  /** The maker and the readers; the last one closes the file. */
  #users = 1;
  #outcome: 'open' | 'whole' | { readonly error: unknown } = 'open';
  #more = Promise.withResolvers<void>();

  /** Makes the file at `path`. */
  constructor(path: string) {
    this.#fd = openSync(path, 'wx+', 0o600);
  }

  get isGrowing(): boolean {
    return this.#outcome === 'open';
  }

  get sizeBytes(): number {
    return fstatSync(this.#fd).size;
  }

  grew(): void {
    const more = this.#more;
    this.#more = Promise.withResolvers();
    more.resolve();
  }

  end(): void {
    this.#settle('whole');
  }

  fail(error: unknown): void {
    this.#settle({ error });
  }

  async *open(): AsyncGenerator<Uint8Array, void, undefined> {
    if (this.#users === 0) throw new CodedError('failed_precondition', 'the blob does not grow any more');
    this.#users++;
    try {
      for (let at = 0; ; ) {
        const { isGrowing } = this;
        const more = this.#more.promise;
        if (typeof this.#outcome === 'object') throw this.#outcome.error;
        const there = this.sizeBytes - at;
        if (there === 0 && !isGrowing) return;
        if (there < LEAST_BYTES && isGrowing) {
          await more;
          continue;
        }
        // A new buffer each time: the socket may still hold the last one.
        const room = Buffer.allocUnsafeSlow(Math.min(there, CHUNK_BYTES));
        const { bytesRead } = await readAt(this.#fd, room, 0, room.length, at);
        at += bytesRead;
        yield room.subarray(0, bytesRead);
      }
    } finally {
      this.#release();
    }
  }

  #settle(outcome: 'whole' | { readonly error: unknown }): void {
    if (!this.isGrowing) return;
    this.#outcome = outcome;
    this.grew();
    this.#release();
  }

  #release(): void {
    if (--this.#users === 0) closeSync(this.#fd);
  }
}
