import type { TransferProgress } from './types.ts';

/** Takes lines of progress. */
export type Report = (progress: TransferProgress) => void;

const INTERVAL_MS = 100;

/**
 * A reporter of byte counts for one line of progress: at most ten a second, and the last one always.
 * `now` is milliseconds of any clock.
 */
export function countBytes(
  report: Report,
  line: { readonly id: string; readonly status: string; readonly total: number },
  now: () => number = () => performance.now(),
): (current: number) => void {
  let last = Number.NEGATIVE_INFINITY;
  return (current) => {
    const at = now();
    if (at - last < INTERVAL_MS && current < line.total) return;
    last = at;
    report({ ...line, current });
  };
}

/** Lets several listeners follow one piece of work; a listener that comes late gets the last line at once. */
export class Broadcast {
  readonly #listeners = new Set<Report>();
  #last: TransferProgress | undefined;

  get isFollowed(): boolean {
    return this.#listeners.size > 0;
  }

  follow(report: Report): () => void {
    this.#listeners.add(report);
    if (this.#last !== undefined) report(this.#last);
    return () => this.#listeners.delete(report);
  }

  report: Report = (progress) => {
    this.#last = progress;
    for (const listener of this.#listeners) listener(progress);
  };
}
