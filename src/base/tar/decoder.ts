/**
 * The one tar reader: bytes in, entries out, synchronous and free of I/O. Reads V7, ustar, star, GNU (long names,
 * base-256, sparse) and PAX. What two readers could read differently is refused.
 */
import { BLOCK, hasValidChecksum, invalidTar, isZeroBlock, numberField, textField } from './field.ts';
import { decodeName } from './name.ts';
import { decimal, extentsOf, idOf, MAX_EXTENTS, MAX_RECORD_BYTES, type PaxFields, parsePax } from './pax.ts';
import type { FoundTarHeader, TarEntryType, TarTime } from './types.ts';

/** Receives what a decoder finds; `data` chunks are views of the bytes given to `write`. */
export interface TarSink {
  entry(header: FoundTarHeader): void;
  data(bytes: Buffer): void;
  /** The entry's data is complete. */
  end(): void;
}

const TYPES: Readonly<Record<string, TarEntryType | 'unusable'>> = {
  '\0': 'file',
  '0': 'file',
  '7': 'file',
  S: 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'char',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
};

/** A header block whose meaning may still need records or a sparse map. */
interface Pending {
  readonly block: Buffer;
  readonly sizeBytes: number;
}

/** Where the next bytes go: gathered into `room`, passed to the sink, or skipped. */
type State = 'block' | 'gather' | 'data' | 'skip' | 'ended';

/** Turns a byte stream into entries. Feed it with `write`, then call `close`. */
export class TarDecoder {
  readonly #sink: TarSink;
  #state: State = 'block';
  #offset = 0;
  readonly #block = Buffer.alloc(BLOCK);
  #blockFill = 0;
  #remaining = 0;
  #padding = 0;
  #gathered: Buffer = this.#block;
  #gatherFill = 0;
  #onGathered: (data: Buffer) => void = () => {};
  #onBlock: (block: Buffer) => void = (block) => this.#header(block);
  #recordBytes = 0;
  /** A record or sparse map has been seen that belongs to the entry to come. */
  #expectsEntry = false;
  #zeroBlocks = 0;
  #pax: PaxFields | undefined;
  #longName: string | undefined;
  #longLink: string | undefined;

  constructor(sink: TarSink) {
    this.#sink = sink;
  }

  /** Bytes read so far. */
  get offset(): number {
    return this.#offset;
  }

  /** Takes the next bytes of the archive. */
  write(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; ) at = this.#step(chunk, at);
  }

  #step(chunk: Buffer, at: number): number {
    switch (this.#state) {
      case 'block':
      case 'ended':
        return this.#takeBlock(chunk, at);
      case 'gather': {
        const end = Math.min(chunk.length, at + this.#remaining);
        chunk.copy(this.#gathered, this.#gatherFill, at, end);
        this.#gatherFill += end - at;
        this.#advance(end - at);
        return end;
      }
      case 'data': {
        const end = Math.min(chunk.length, at + this.#remaining);
        this.#sink.data(chunk.subarray(at, end));
        this.#advance(end - at);
        return end;
      }
      case 'skip': {
        const end = Math.min(chunk.length, at + this.#padding);
        this.#offset += end - at;
        this.#padding -= end - at;
        if (this.#padding === 0) this.#state = 'block';
        return end;
      }
    }
  }

  #takeBlock(chunk: Buffer, at: number): number {
    if (this.#blockFill === 0 && chunk.length - at >= BLOCK) {
      this.#offset += BLOCK;
      this.#onBlock(chunk.subarray(at, at + BLOCK));
      return at + BLOCK;
    }
    const end = Math.min(chunk.length, at + BLOCK - this.#blockFill);
    chunk.copy(this.#block, this.#blockFill, at, end);
    this.#blockFill += end - at;
    this.#offset += end - at;
    if (this.#blockFill === BLOCK) {
      this.#blockFill = 0;
      this.#onBlock(this.#block);
    }
    return end;
  }

  #advance(taken: number): void {
    this.#offset += taken;
    this.#remaining -= taken;
    if (this.#remaining > 0) return;
    const wasGathering = this.#state === 'gather';
    this.#state = this.#padding > 0 ? 'skip' : 'block';
    if (wasGathering) this.#onGathered(this.#gathered);
    else this.#sink.end();
  }

  /** Ends the input. @throws `invalid_argument` when it stops inside an entry. */
  close(): void {
    const isRest = this.#blockFill > 0;
    if (this.#state === 'ended') {
      if (isRest && !isZeroBlock(this.#block.fill(0, this.#blockFill))) throw dataAfterEnd();
    } else if (this.#state === 'skip' && !this.#expectsEntry) {
      // Go's rewriting of archives, which the docker CLI uses for `-f -`, ends right behind the last entry's content.
    } else if (this.#state !== 'block' || this.#expectsEntry || isRest) {
      throw invalidTar(`archive is truncated after ${this.#offset} bytes`);
    }
  }

  #gather(sizeBytes: number, then: (data: Buffer) => void): void {
    this.#recordBytes += sizeBytes;
    if (this.#recordBytes > MAX_RECORD_BYTES) {
      throw invalidTar(`extended headers of one entry exceed ${MAX_RECORD_BYTES} bytes`);
    }
    if (sizeBytes === 0) throw invalidTar('extended header is empty');
    this.#expectsEntry = true;
    this.#gathered = Buffer.alloc(sizeBytes);
    this.#gatherFill = 0;
    this.#remaining = sizeBytes;
    this.#padding = paddingOf(sizeBytes);
    this.#onGathered = then;
    this.#state = 'gather';
  }

  #header(block: Buffer): void {
    if (isZeroBlock(block)) {
      if (this.#expectsEntry) throw invalidTar('extended header without an entry');
      this.#zeroBlocks++;
      if (this.#zeroBlocks === 2) this.#finish();
      return;
    }
    if (this.#zeroBlocks > 0) throw dataAfterEnd();
    if (!hasValidChecksum(block))
      throw invalidTar(`header at byte ${this.#offset - BLOCK} has a wrong checksum`);
    const sizeBytes = numberField(block, 124, 12, 'size');
    if (sizeBytes < 0) throw invalidTar('field size is negative');
    const take = this.#records[String.fromCharCode(block[156] ?? 0)];
    if (take === undefined) this.#entry({ block, sizeBytes });
    else this.#gather(sizeBytes, take);
  }

  /** What to do with the data of each kind of extended header. */
  readonly #records: Readonly<Record<string, (data: Buffer) => void>> = {
    x: (data) => this.#takePax(data),
    g: (data) => this.#takeGlobal(data),
    L: (data) => {
      this.#longName = longText(data);
    },
    K: (data) => {
      this.#longLink = longText(data);
    },
  };

  #finish(): void {
    this.#state = 'ended';
    this.#onBlock = (block) => {
      if (!isZeroBlock(block)) throw dataAfterEnd();
    };
  }

  #takePax(data: Buffer): void {
    if (this.#pax !== undefined) throw invalidTar('two extended headers for one entry');
    this.#pax = parsePax(data);
  }

  /** Global records are passed over, as Go's reader does; those that would change what an entry is are refused. */
  #takeGlobal(data: Buffer): void {
    const fields = parsePax(data);
    this.#recordBytes -= data.length;
    this.#expectsEntry = this.#recordBytes > 0;
    const isHarmless =
      fields.path === undefined &&
      fields.linkTarget === undefined &&
      fields.sizeBytes === undefined &&
      fields.sparse.numbers.length === 0 &&
      fields.sparse.realSizeBytes === undefined;
    if (!isHarmless) throw invalidTar('global extended header sets path, link or size');
  }

  #entry(pending: Pending): void {
    const sparse = this.#pax?.sparse;
    if (pending.block[156] === 0x53) this.#oldSparse(pending);
    else if (sparse?.isVersion1) this.#sparseMapInData(pending);
    else if (sparse !== undefined && (sparse.numbers.length > 0 || sparse.realSizeBytes !== undefined)) {
      this.#emit(pending, { numbers: sparse.numbers, realBytes: sparse.realSizeBytes ?? -1 });
    } else this.#emit(pending);
  }

  /** GNU type S: four extents in the header, then blocks of 21 while each says that another follows. */
  #oldSparse(pending: Pending): void {
    const kept = { ...pending, block: Buffer.from(pending.block) };
    const realBytes = numberField(kept.block, 483, 12, 'realsize');
    const numbers: number[] = [];
    const take = (block: Buffer, offset: number, count: number) => {
      for (let index = 0; index < count; index++) {
        const at = offset + index * 24;
        if (block[at + 12] === 0) return;
        numbers.push(numberField(block, at, 12, 'sparse'), numberField(block, at + 12, 12, 'sparse'));
      }
      if (numbers.length / 2 > MAX_EXTENTS)
        throw invalidTar(`sparse map has more than ${MAX_EXTENTS} extents`);
    };
    const finish = () => {
      this.#onBlock = (block) => this.#header(block);
      this.#emit(kept, { numbers, realBytes });
    };
    take(kept.block, 386, 4);
    this.#expectsEntry = true;
    this.#onBlock = (block) => {
      take(block, 0, 21);
      if (block[504] === 0) finish();
    };
    if (kept.block[482] === 0) finish();
  }

  /** PAX sparse 1.0: the data begins with the map, decimal lines padded to whole blocks. */
  #sparseMapInData(pending: Pending): void {
    const kept = { ...pending, block: Buffer.from(pending.block) };
    const realBytes = this.#pax?.sparse.realSizeBytes ?? -1;
    let lineCount = 0;
    let wantedLines = 1;
    const blocks: Buffer[] = [];
    this.#expectsEntry = true;
    this.#onBlock = (block) => {
      blocks.push(Buffer.from(block));
      const mapBytes = blocks.length * BLOCK;
      if (mapBytes > kept.sizeBytes || mapBytes > MAX_EXTENTS * 48)
        throw invalidTar('sparse map is too long');
      lineCount += countLines(block);
      if (lineCount === 0) return;
      if (wantedLines === 1) {
        const first = Buffer.concat(blocks).toString('latin1').split('\n', 1)[0] ?? '';
        const count = decimal(first, 'sparse map');
        if (count > MAX_EXTENTS) throw invalidTar(`sparse map has more than ${MAX_EXTENTS} extents`);
        wantedLines = 1 + 2 * count;
      }
      if (lineCount < wantedLines) return;
      const lines = Buffer.concat(blocks).toString('latin1').split('\n').slice(1, wantedLines);
      this.#onBlock = (next) => this.#header(next);
      this.#emit(kept, { numbers: lines.map((line) => decimal(line, 'sparse map')), realBytes, mapBytes });
    };
  }

  #emit(
    { block, sizeBytes: headerBytes }: Pending,
    map?: { readonly numbers: readonly number[]; readonly realBytes: number; readonly mapBytes?: number },
  ): void {
    const pax = this.#pax;
    const type = typeOf(block, this.#longName ?? pax?.path);
    const archivedBytes = archivedSize(headerBytes, pax?.sizeBytes);
    const storedBytes = type === 'file' ? archivedBytes - (map?.mapBytes ?? 0) : 0;
    if (map !== undefined && (type !== 'file' || map.realBytes < 0 || storedBytes < 0)) {
      throw invalidTar('sparse map of a file without a usable size');
    }
    const header: FoundTarHeader = {
      path: pax?.sparse.name ?? pax?.path ?? this.#longName ?? nameOf(block),
      type,
      linkTarget:
        type === 'symlink' || type === 'hardlink'
          ? (pax?.linkTarget ?? this.#longLink ?? textField(block, 157, 100))
          : '',
      mode: numberField(block, 100, 8, 'mode') & 0o7777,
      uid: pax?.uid ?? idOf(numberField(block, 108, 8, 'uid'), 'uid'),
      gid: pax?.gid ?? idOf(numberField(block, 116, 8, 'gid'), 'gid'),
      sizeBytes: map?.realBytes ?? storedBytes,
      modified: pax?.modified ?? timeOf(block),
      deviceMajor: type === 'char' || type === 'block' ? numberField(block, 329, 8, 'devmajor') : 0,
      deviceMinor: type === 'char' || type === 'block' ? numberField(block, 337, 8, 'devminor') : 0,
      ...(pax?.xattrs === undefined ? {} : { xattrs: pax.xattrs }),
      ...(map === undefined
        ? {}
        : { sparse: extentsOf(map.numbers, { realBytes: map.realBytes, storedBytes }) }),
      dataOffset: this.#offset,
      storedBytes,
    };
    this.#pax = undefined;
    this.#longName = undefined;
    this.#longLink = undefined;
    this.#recordBytes = 0;
    this.#expectsEntry = false;
    this.#begin(header);
  }

  #begin(header: FoundTarHeader): void {
    this.#remaining = header.storedBytes;
    this.#padding = paddingOf(header.storedBytes);
    this.#state = header.storedBytes > 0 ? 'data' : 'block';
    this.#sink.entry(header);
    if (header.storedBytes === 0) this.#sink.end();
  }
}

function typeOf(block: Buffer, longName: string | undefined): TarEntryType {
  const flag = String.fromCharCode(block[156] ?? 0);
  const type = TYPES[flag];
  if (type === undefined || type === 'unusable')
    throw invalidTar(`entry type ${JSON.stringify(flag)} is not known`);
  const isOldDirectory = flag === '\0' && (longName ?? nameOf(block)).endsWith('/');
  return isOldDirectory ? 'directory' : type;
}

/** A PAX size stands in for a field it does not fit in; two different sizes are two readings of one archive. */
function archivedSize(headerBytes: number, paxBytes: number | undefined): number {
  if (paxBytes !== undefined && headerBytes !== 0 && headerBytes !== paxBytes) {
    throw invalidTar(`size ${headerBytes} in the header, ${paxBytes} in the PAX record`);
  }
  return paxBytes ?? headerBytes;
}

function nameOf(block: Buffer): string {
  const name = textField(block, 0, 100);
  const isPosix = block.toString('latin1', 257, 263) === 'ustar\0';
  if (!isPosix) return name;
  const isStar = block.toString('latin1', 508, 512) === 'tar\0';
  const prefix = textField(block, 345, isStar ? 131 : 155);
  return prefix === '' ? name : `${prefix}/${name}`;
}

function timeOf(block: Buffer): TarTime {
  return { seconds: numberField(block, 136, 12, 'mtime'), nanoseconds: 0 };
}

function dataAfterEnd(): Error {
  return invalidTar('data after the end of the archive');
}

function longText(data: Buffer): string {
  const end = data.indexOf(0);
  return decodeName(data, 0, end === -1 ? data.length : end);
}

function countLines(block: Buffer): number {
  let count = 0;
  for (let at = block.indexOf(10); at !== -1; at = block.indexOf(10, at + 1)) count++;
  return count;
}

/** Bytes that fill `sizeBytes` up to whole blocks. */
export function paddingOf(sizeBytes: number): number {
  return (BLOCK - (sizeBytes % BLOCK)) % BLOCK;
}
