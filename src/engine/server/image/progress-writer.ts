import { type Progress, progressLine } from '#engine/protocol/index.ts';
import type { JsonStream } from '../core/index.ts';

/**
 * Writes progress reports in order. Reports come as fast as the work goes; while the client is slower, newer numbers of
 * the same piece of work take the place of older ones, so the queue stays as short as there are pieces.
 */
export class ProgressWriter {
  readonly #stream: JsonStream;
  readonly #queue: Progress[] = [];
  #pumping: Promise<void> | undefined;
  #failed: unknown;

  constructor(stream: JsonStream) {
    this.#stream = stream;
  }

  readonly report = (progress: Progress): void => {
    const same = this.#queue.findIndex(
      ({ id, status }) => id !== undefined && id === progress.id && status === progress.status,
    );
    if (same >= 0) this.#queue[same] = progress;
    else this.#queue.push(progress);
    this.#pumping ??= this.#pump();
  };

  /** Resolves when everything reported was written; throws when the client is gone. */
  async flush(): Promise<void> {
    await this.#pumping;
    if (this.#failed !== undefined) throw this.#failed;
  }

  async #pump(): Promise<void> {
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift())
        await this.#stream.write(progressLine(next));
    } catch (error) {
      this.#failed = error;
      this.#queue.length = 0;
    } finally {
      this.#pumping = undefined;
    }
  }
}
