import fs from 'node:fs';
import type { LayerIndexEntry } from '../types.ts';

/** Writes a layer index, line by line, to a file opened before the jail is entered. */
export class IndexWriter {
  readonly #fd: number | undefined;
  #lines: string[] = [];

  constructor(path: string | undefined) {
    this.#fd = path === undefined ? undefined : fs.openSync(path, 'w', 0o600);
  }

  add(entry: LayerIndexEntry): void {
    if (this.#fd === undefined) return;
    const { path, type, sizeBytes, mode, offset, contentDigest, linkTarget } = entry;
    const line: unknown[] = [path, type, sizeBytes, mode.toString(8), offset];
    if (contentDigest !== undefined || linkTarget !== undefined) line.push(contentDigest ?? null);
    if (linkTarget !== undefined) line.push(linkTarget);
    this.#lines.push(JSON.stringify(line));
    if (this.#lines.length === 512) this.#flush();
  }

  /** Writes what is left and closes the file; who adopts it decides what waits for the disk. */
  close(): void {
    if (this.#fd === undefined) return;
    this.#flush();
    fs.closeSync(this.#fd);
  }

  #flush(): void {
    if (this.#fd === undefined || this.#lines.length === 0) return;
    fs.writeFileSync(this.#fd, `${this.#lines.join('\n')}\n`);
    this.#lines = [];
  }
}
