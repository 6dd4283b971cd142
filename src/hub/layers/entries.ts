/**
 * The list of files of one layer, kept gzipped beside the layer: one JSON array a line, in tar order,
 *
 *     [path, type, sizeBytes, mode, offset, uid, gid, modifiedSeconds, crc, link?]
 *
 * `path` has neither a leading nor a trailing slash; `''` is the root. `offset` is where the entry's data begins in the
 * uncompressed tar, -1 where it does not lie there in one piece. `crc` is the CRC-32 of a file's stored bytes.
 */
import { gunzipSync } from 'node:zlib';
import { CodedError } from '#base/errors/index.ts';

/** Kinds of entries, as in a layer index: w removes a path of lower layers, o empties a folder of lower layers. */
export type EntryType = 'f' | 'd' | 'l' | 'h' | 'c' | 'b' | 'p' | 'w' | 'o';

/** One entry of a layer. */
export interface LayerEntry {
  readonly path: string;
  readonly type: EntryType;
  readonly sizeBytes: number;
  readonly mode: number;
  readonly offset: number;
  readonly uid: number;
  readonly gid: number;
  readonly modifiedSeconds: number;
  readonly crc: number;
  readonly link: string;
}

/** Most entries one list has; a layer with more is not listed. */
export const ENTRY_LIMIT = 500_000;
/** Most bytes of one list before it is compressed. */
export const LIST_LIMIT_BYTES = 128 * 1024 * 1024;

type Line = [string, EntryType, number, number, number, number, number, number, number, string?];

/** One line of a list, with its line feed. */
export function encodeEntry(entry: LayerEntry): string {
  const { path, type, sizeBytes, mode, offset, uid, gid, modifiedSeconds, crc, link } = entry;
  const line: Line = [path, type, sizeBytes, mode, offset, uid, gid, modifiedSeconds, crc];
  if (link !== '') line.push(link);
  return `${JSON.stringify(line)}\n`;
}

/** Reads a gzipped list of ours. @throws {CodedError} `data_loss`. */
export function* decodeEntries(list: Uint8Array): Generator<LayerEntry> {
  const bytes = unpack(list);
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(10, start);
    if (end < 0) throw new CodedError('data_loss', 'a list of files ends within a line');
    const line = JSON.parse(bytes.toString('utf8', start, end)) as Line;
    const [path, type, sizeBytes, mode, offset, uid, gid, modifiedSeconds, crc, link = ''] = line;
    yield { path, type, sizeBytes, mode, offset, uid, gid, modifiedSeconds, crc, link };
    start = end + 1;
  }
}

function unpack(list: Uint8Array): Buffer {
  if (list.byteLength === 0) return Buffer.alloc(0);
  try {
    return gunzipSync(list, { maxOutputLength: LIST_LIMIT_BYTES });
  } catch (error) {
    throw new CodedError('data_loss', 'a list of files cannot be read', { cause: error });
  }
}
