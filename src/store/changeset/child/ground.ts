import type { LowerFile, LowerTree } from './lower.ts';

/** What the layer being unpacked stands on, and which directories it only implies. */
export class Ground {
  readonly #lower: LowerTree | undefined;
  readonly #implied = new Set<string>();

  /** @param lower nothing below, or nothing that is known of it: `undefined`. */
  constructor(lower: LowerTree | undefined) {
    this.#lower = lower;
  }

  /** The file at `parts` in the layers below. */
  find(parts: readonly string[]): LowerFile | undefined {
    return this.#lower?.find(parts);
  }

  /** A directory was made that no entry has described yet. */
  imply(parts: readonly string[]): void {
    this.#implied.add(parts.join('/'));
  }

  /** An entry has described a directory. */
  describe(path: string): void {
    this.#implied.delete(path);
  }

  /** Directories that no entry described. */
  get impliedDirs(): number {
    return this.#implied.size;
  }
}
