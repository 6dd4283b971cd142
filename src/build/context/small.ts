/**
 * Small contexts of plain files, unpacked without the changeset child: a cached build would mostly wait for that. Nothing here
 * can lead out of `root`, though nothing is jailed: every directory below it was made here, no name climbs, files are
 * created and never opened, and an archive with a link or anything else but files and directories is given back untouched
 * to the child, as is one that is damaged in any way.
 */
import { createHash, type Hash } from 'node:crypto';
import { chmodSync, closeSync, constants, fchmodSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { detectCompression } from '#base/bytes/index.ts';
import { setFdTimes, setTimes, UTIME_OMIT } from '#base/posix/index.ts';
import { type FoundTarHeader, TarDecoder, type TarSink } from '#base/tar/index.ts';
import { splitEntryPath } from '#oci/layer/index.ts';

/** The largest archive that is looked at; all of it is in memory. */
export const SMALL_BYTES = 1024 * 1024;

const IMPLIED_DIR_MODE = 0o755;
const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;

/**
 * Unpacks an archive of plain files and directories into `root`, an empty directory that only this process can write to, and
 * returns the text of its index, byte for byte as the changeset child writes it. `undefined` for anything else, which the child
 * shall unpack, or refuse in its words; a part may lie in `root` then.
 */
export function unpackSmall(archive: Buffer, root: string): string | undefined {
  if (archive.length === 0 || archive.length > SMALL_BYTES || detectCompression(archive) !== 'none')
    return undefined;
  const files = new PlainFiles(root);
  try {
    const decoder = new TarDecoder(files);
    decoder.write(archive);
    decoder.close();
    files.finish();
  } catch {
    // Whatever it is, the child meets it again and tells it.
    files.abandon();
    return undefined;
  }
  return files.index;
}

class PlainFiles implements TarSink {
  readonly #root: string;
  readonly #lines: string[] = [];
  /** Directories made below the root. */
  readonly #directories = new Set<string>();
  readonly #dressed: { readonly path: string; readonly header: FoundTarHeader }[] = [];
  #file:
    | { readonly path: string; readonly header: FoundTarHeader; readonly fd: number; readonly hash: Hash }
    | undefined;

  constructor(root: string) {
    this.#root = root;
  }

  get index(): string {
    return this.#lines.length === 0 ? '' : `${this.#lines.join('\n')}\n`;
  }

  entry(header: FoundTarHeader): void {
    const parts = splitEntryPath(header.path);
    const path = parts.join('/');
    const isPlain =
      header.sparse === undefined &&
      (header.xattrs?.size ?? 0) === 0 &&
      header.linkTarget === '' &&
      path.isWellFormed();
    if (!isPlain) throw new NotPlain();
    if (header.type === 'directory') {
      this.#makeDirectories(parts);
      this.#dressed.push({ path, header });
      chmodSync(join(this.#root, path), header.mode & 0o7777);
      this.#add(path, 'd', header);
    } else if (header.type === 'file' && parts.length > 0) {
      this.#makeDirectories(parts.slice(0, -1));
      const fd = openSync(join(this.#root, path), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
      this.#file = { path, header, fd, hash: createHash('sha256') };
    } else throw new NotPlain();
  }

  data(bytes: Buffer): void {
    const file = this.#file;
    if (file === undefined) return;
    file.hash.update(bytes);
    for (let at = 0; at < bytes.length; ) at += writeSync(file.fd, bytes, at);
  }

  end(): void {
    const file = this.#file;
    if (file === undefined) return;
    fchmodSync(file.fd, file.header.mode & 0o7777);
    setFdTimes(file.fd, UTIME_OMIT, file.header.modified);
    this.abandon();
    this.#add(file.path, 'f', file.header, `sha256:${file.hash.digest('hex')}`);
  }

  /** Times of directories, deepest last written first: everything in them is there now. */
  finish(): void {
    for (const { path, header } of this.#dressed.reverse())
      setTimes(join(this.#root, path), UTIME_OMIT, header.modified);
  }

  /** Closes what is open. */
  abandon(): void {
    if (this.#file !== undefined) closeSync(this.#file.fd);
    this.#file = undefined;
  }

  /** Fails where a file is in the way. */
  #makeDirectories(parts: readonly string[]): void {
    for (let depth = 1; depth <= parts.length; depth++) {
      const path = parts.slice(0, depth).join('/');
      if (this.#directories.has(path)) continue;
      const target = join(this.#root, path);
      mkdirSync(target);
      chmodSync(target, IMPLIED_DIR_MODE);
      this.#directories.add(path);
    }
  }

  #add(
    path: string,
    type: 'd' | 'f',
    { sizeBytes, mode, dataOffset }: FoundTarHeader,
    digest?: string,
  ): void {
    const line: unknown[] = [path, type, sizeBytes, mode.toString(8), dataOffset];
    if (digest !== undefined) line.push(digest);
    this.#lines.push(JSON.stringify(line));
  }
}

/** The archive holds what the child has to look at. */
class NotPlain extends Error {}
