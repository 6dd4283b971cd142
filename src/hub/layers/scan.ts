import { crc32 } from 'node:zlib';
import { CodedError } from '#base/errors/index.ts';
import { type FoundTarHeader, TarDecoder } from '#base/tar/index.ts';
import { ENTRY_LETTERS, splitEntryPath, whiteoutOf } from '#oci/layer/index.ts';
import { ENTRY_LIMIT, type EntryType, encodeEntry, LIST_LIMIT_BYTES } from './entries.ts';

/** What one pass over a layer yields beside its list. */
export interface ScanFacts {
  readonly entries: number;
  readonly contentBytes: number;
  readonly tarBytes: number;
}

/** Longest path a Linux system takes. */
const PATH_LIMIT = 4096;
const GIB = 1024 ** 3;
/** Past the first gibibyte no layer has any business to be compressed better. */
const RATIO_LIMIT = 1000;

/** Lists the entries of an uncompressed layer; lines go to `emit`. Refuses what could not be unpacked either. */
export class LayerScan {
  readonly #decoder: TarDecoder;
  readonly #emit: (line: string) => void;
  #header: FoundTarHeader | undefined;
  #crc = 0;
  #entries = 0;
  #contentBytes = 0;
  #listBytes = 0;

  constructor(emit: (line: string) => void) {
    this.#emit = emit;
    this.#decoder = new TarDecoder({
      entry: (header) => {
        this.#header = header;
        this.#crc = 0;
      },
      data: (bytes) => {
        this.#crc = crc32(bytes, this.#crc);
      },
      end: () => this.#end(),
    });
  }

  /**
   * Takes the next bytes; `readBytes` of the compressed layer have been read for them.
   * @throws {CodedError} `invalid_argument` for a hostile or broken layer, `resource_exhausted` for one that is too much.
   */
  write(chunk: Buffer, readBytes: number): void {
    this.#decoder.write(chunk);
    const { offset } = this.#decoder;
    if (offset > GIB && offset > readBytes * RATIO_LIMIT)
      throw new CodedError('invalid_argument', `it grows to more than ${RATIO_LIMIT} times its size`);
  }

  close(): ScanFacts {
    this.#decoder.close();
    return { entries: this.#entries, contentBytes: this.#contentBytes, tarBytes: this.#decoder.offset };
  }

  #end(): void {
    const header = this.#header;
    if (header === undefined) return;
    this.#header = undefined;
    if (header.path.length > PATH_LIMIT)
      throw new CodedError('invalid_argument', `a path is longer than ${PATH_LIMIT} characters`);
    const parts = splitEntryPath(header.path);
    const whiteout = whiteoutOf(parts, header.path);
    if (whiteout.kind === 'ignored') return;
    if (whiteout.kind === 'none') this.#add(header, parts.join('/'), ENTRY_LETTERS[header.type]);
    else if (whiteout.kind === 'opaque') this.#add(header, parts.slice(0, -1).join('/'), 'o');
    else this.#add(header, [...parts.slice(0, -1), whiteout.name].join('/'), 'w');
  }

  #add(header: FoundTarHeader, path: string, type: EntryType): void {
    const isFile = type === 'f';
    const line = encodeEntry({
      path,
      type,
      sizeBytes: isFile ? header.sizeBytes : 0,
      mode: header.mode,
      offset: isFile && header.sparse === undefined ? header.dataOffset : -1,
      uid: header.uid,
      gid: header.gid,
      modifiedSeconds: header.modified.seconds,
      crc: isFile ? this.#crc : 0,
      link: header.linkTarget,
    });
    this.#entries++;
    this.#listBytes += line.length;
    if (isFile) this.#contentBytes += header.sizeBytes;
    if (this.#entries > ENTRY_LIMIT)
      throw new CodedError('resource_exhausted', `it has more than ${ENTRY_LIMIT} entries`);
    if (this.#listBytes > LIST_LIMIT_BYTES)
      throw new CodedError('resource_exhausted', 'the names in it are too long to be listed');
    this.#emit(line);
  }
}
