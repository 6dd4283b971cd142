import type { JsonStream } from '../core/index.ts';

/** A slow client may be this far behind before output is left out, in characters. */
const BEHIND_LIMIT = 16 * 1024 * 1024;
/** Text that waits is sent in pieces of about this size. */
const PIECE = 64 * 1024;
/** What docker-py and docker-java read the image from: they expect each in a message of its own, as Docker sends them. */
const RESULT_LINE = /^(?:Successfully (?:built|tagged) |sha256:)/;

/**
 * Writes lines in order while a build goes on. Texts that wait for a slow client are joined; a step cannot be stopped to let it
 * catch up, so beyond a bound text is left out, and said to be.
 */
export class OutputWriter {
  readonly #stream: JsonStream;
  readonly #queue: object[] = [];
  #behind = 0;
  #pumping: Promise<void> | undefined;
  #failed: unknown;

  constructor(stream: JsonStream) {
    this.#stream = stream;
  }

  text(text: string): void {
    if (this.#behind > BEHIND_LIMIT) return;
    this.#behind += text.length;
    if (this.#behind > BEHIND_LIMIT) {
      this.value({ stream: '\n[output left out: the client reads too slowly]\n' });
      return;
    }
    const last = (this.#queue.at(-1) as { stream?: string } | undefined)?.stream;
    if (last !== undefined && last.length < PIECE && !RESULT_LINE.test(last) && !RESULT_LINE.test(text)) {
      this.#queue[this.#queue.length - 1] = { stream: last + text };
      return;
    }
    this.value({ stream: text });
  }

  value(value: object): void {
    this.#queue.push(value);
    this.#pumping ??= this.#pump();
  }

  /** Resolves when everything was written; throws when the client is gone. */
  async flush(): Promise<void> {
    await this.#pumping;
    if (this.#failed !== undefined) throw this.#failed;
  }

  async #pump(): Promise<void> {
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        await this.#stream.write(next);
        if (this.#queue.length === 0) this.#behind = 0;
      }
    } catch (error) {
      this.#failed = error;
      this.#queue.length = 0;
    } finally {
      this.#pumping = undefined;
    }
  }
}
