/** What one plan may cost; a Dockerfile comes from outside. */
import { CodedError } from '#base/errors/index.ts';

/** Most instructions of a file, and most steps of a plan. */
export const STEP_LIMIT = 4096;
/** Largest environment of a container, in characters: the kernel takes no more either. */
export const ENVIRONMENT_LIMIT = 1024 * 1024;
/** Largest sum of history texts: an image config may not be larger. */
export const HISTORY_LIMIT = 8 * 1024 * 1024;
/** Largest sum of the environments of all RUN steps. */
export const EXEC_LIMIT = 256 * 1024 * 1024;
/** Largest inline file after replacing variables. */
export const INLINE_FILE_LIMIT = 16 * 1024 * 1024;

/** A sum that must not pass its limit. */
export class Budget {
  readonly #limit: number;
  readonly #what: string;
  #spent = 0;

  constructor(what: string, limit: number) {
    this.#what = what;
    this.#limit = limit;
  }

  /** @throws {CodedError} `resource_exhausted` past the limit. */
  spend(amount: number): void {
    this.#spent += amount;
    if (this.#spent > this.#limit) throw tooMuch(this.#what, this.#limit);
  }
}

/** The error for one thing that is too large. */
export function tooMuch(what: string, limit: number): CodedError {
  return new CodedError('resource_exhausted', `cannot plan the Dockerfile: ${what} is larger than ${limit}`);
}

/** Characters of a list. */
export function sizeOf(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + text.length + 1, 0);
}
