import { createHash, type Hash } from 'node:crypto';
import fs from 'node:fs';
import type { FoundTarHeader, SparseExtent } from '#base/tar/index.ts';
import type { Digest } from '#oci/digest/index.ts';
import { dressFd, type Owner } from './tree.ts';

const ZEROS = Buffer.alloc(256 * 1024);

/** The content of a regular file on its way to the disk; the holes of a sparse file stay holes. */
export class FileBody {
  readonly #fd: number;
  readonly #header: FoundTarHeader;
  readonly #hash: Hash | undefined;
  /** The stretch being filled, how much of it is, and the content hashed so far. */
  #extent = 0;
  #filled = 0;
  #hashed = 0;

  /** @param fd open for writing; `finish` closes it. */
  constructor(fd: number, header: FoundTarHeader, options: { readonly isHashed: boolean }) {
    this.#fd = fd;
    this.#header = header;
    this.#hash = options.isHashed ? createHash('sha256') : undefined;
  }

  /** Takes bytes as they are stored in the archive. */
  write(bytes: Buffer): void {
    const extents = this.#header.sparse;
    if (extents === undefined) {
      this.#hash?.update(bytes);
      writeAll(this.#fd, bytes, null);
    } else this.#scatter(bytes, extents);
  }

  /** Ends the file; the digest is of the whole content, holes read as zeros. */
  finish(owner: Owner): Digest | undefined {
    try {
      if (this.#header.sparse !== undefined) {
        fs.ftruncateSync(this.#fd, this.#header.sizeBytes);
        this.#hashZeros(this.#header.sizeBytes);
      }
      dressFd(this.#fd, this.#header, owner);
    } finally {
      fs.closeSync(this.#fd);
    }
    return this.#hash === undefined ? undefined : (`sha256:${this.#hash.digest('hex')}` as Digest);
  }

  #scatter(bytes: Buffer, extents: readonly SparseExtent[]): void {
    for (let at = 0; at < bytes.length; ) {
      const extent = extents[this.#extent];
      if (extent === undefined) return; // the map covers what is stored: the decoder checked it
      const part = bytes.subarray(at, at + extent.sizeBytes - this.#filled);
      const offset = extent.offset + this.#filled;
      writeAll(this.#fd, part, offset);
      this.#hashZeros(offset);
      this.#hash?.update(part);
      this.#hashed = offset + part.length;
      this.#filled += part.length;
      if (this.#filled === extent.sizeBytes) {
        this.#extent++;
        this.#filled = 0;
      }
      at += part.length;
    }
  }

  #hashZeros(end: number): void {
    if (this.#hash === undefined) return;
    for (; this.#hashed < end; this.#hashed += Math.min(ZEROS.length, end - this.#hashed))
      this.#hash.update(ZEROS.subarray(0, Math.min(ZEROS.length, end - this.#hashed)));
  }
}

/** Writes every byte, at a place or where the descriptor is. */
export function writeAll(fd: number, bytes: Buffer, position: number | null): void {
  for (let at = 0; at < bytes.length; ) {
    at += fs.writeSync(fd, bytes, at, bytes.length - at, position === null ? null : position + at);
  }
}
