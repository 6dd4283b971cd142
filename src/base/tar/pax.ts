/** PAX records: `<length> <key>=<value>\n`, the length counting itself. */
import { invalidTar } from './field.ts';
import { decodeName } from './name.ts';
import type { SparseExtent, TarTime } from './types.ts';

/** Bytes of extended headers that one file may have, all together. */
export const MAX_RECORD_BYTES = 1024 * 1024;
/** Stretches that one sparse file may have. */
export const MAX_EXTENTS = 64 * 1024;
/** The highest user or group id; 2^32-1 means "leave as it is" to the kernel. */
export const MAX_ID = 2 ** 32 - 2;

/** What PAX records say about the next entry; absent means: see the header. */
export interface PaxFields {
  path?: string;
  linkTarget?: string;
  sizeBytes?: number;
  uid?: number;
  gid?: number;
  modified?: TarTime;
  xattrs?: Map<string, Uint8Array>;
  sparse: PaxSparse;
}

/** GNU sparse records of dialects 0.0 (`offset`, `numbytes`), 0.1 (`map`) and 1.0 (map in the data). */
export interface PaxSparse {
  isVersion1: boolean;
  realSizeBytes?: number;
  name?: string;
  numbers: number[];
}

const XATTR_PREFIX = 'SCHILY.xattr.';

/** Reads the records of one extended header. */
export function parsePax(data: Buffer): PaxFields {
  const fields: PaxFields = { sparse: { isVersion1: false, numbers: [] } };
  for (let at = 0; at < data.length; ) {
    const space = data.indexOf(0x20, at);
    const length = space > at && space - at <= 7 ? decimal(data.toString('latin1', at, space), 'length') : 0;
    const end = at + length;
    if (length < 5 || end > data.length || data[end - 1] !== 0x0a) throw invalidTar('malformed PAX record');
    const equals = data.indexOf(0x3d, space + 1);
    if (equals === -1 || equals >= end) throw invalidTar('malformed PAX record');
    const key = decodeName(data, space + 1, equals);
    if (key === '' || key.includes('\0')) throw invalidTar('malformed PAX record');
    applyRecord(fields, key, data.subarray(equals + 1, end - 1));
    at = end;
  }
  return fields;
}

function applyRecord(fields: PaxFields, key: string, value: Buffer): void {
  if (key.startsWith(XATTR_PREFIX)) {
    fields.xattrs ??= new Map();
    fields.xattrs.set(key.slice(XATTR_PREFIX.length), Buffer.from(value));
    return;
  }
  const set = RECORDS[key];
  if (set === undefined || (value.length === 0 && !key.startsWith('GNU.'))) return;
  set(fields, value);
}

const RECORDS: Readonly<Record<string, (fields: PaxFields, value: Buffer) => void>> = {
  __proto__: null as never,
  path: (fields, value) => {
    fields.path = paxText(value, 'path');
  },
  linkpath: (fields, value) => {
    fields.linkTarget = paxText(value, 'linkpath');
  },
  size: (fields, value) => {
    fields.sizeBytes = decimal(value.toString('latin1'), 'size');
  },
  uid: (fields, value) => {
    fields.uid = idOf(decimal(value.toString('latin1'), 'uid'), 'uid');
  },
  gid: (fields, value) => {
    fields.gid = idOf(decimal(value.toString('latin1'), 'gid'), 'gid');
  },
  mtime: (fields, value) => {
    fields.modified = parseTime(value.toString('latin1'));
  },
  'GNU.sparse.major': ({ sparse }, value) => {
    const major = decimal(value.toString('latin1'), 'GNU.sparse.major');
    if (major > 1) throw invalidTar(`sparse format ${major} is not known`);
    sparse.isVersion1 = major === 1;
  },
  'GNU.sparse.name': ({ sparse }, value) => {
    sparse.name = paxText(value, 'GNU.sparse.name');
  },
  'GNU.sparse.realsize': setRealSize,
  'GNU.sparse.size': setRealSize,
  'GNU.sparse.offset': pushSparse,
  'GNU.sparse.numbytes': pushSparse,
  'GNU.sparse.map': ({ sparse }, value) => {
    const parts = value.toString('latin1').split(',', MAX_EXTENTS * 2 + 1);
    sparse.numbers = parts.map((part) => decimal(part, 'GNU.sparse.map'));
  },
};

function setRealSize({ sparse }: PaxFields, value: Buffer): void {
  sparse.realSizeBytes = decimal(value.toString('latin1'), 'GNU.sparse.size');
}

function pushSparse({ sparse }: PaxFields, value: Buffer): void {
  sparse.numbers.push(decimal(value.toString('latin1'), 'GNU.sparse'));
}

function paxText(value: Buffer, key: string): string {
  if (value.includes(0)) throw invalidTar(`PAX record ${key} holds a NUL byte`);
  return decodeName(value);
}

/** A whole number of digits only, no larger than JavaScript counts exactly. */
export function decimal(text: string, name: string): number {
  const value = /^[0-9]{1,20}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw invalidTar(`${name} "${text.slice(0, 32)}" is not a usable number`);
  return value;
}

/** A user or group id, refused outside 0..2^32-2: elsewhere it would wrap to another user. */
export function idOf(value: number, name: string): number {
  if (value < 0 || value > MAX_ID) throw invalidTar(`${name} ${value} is out of range`);
  return value;
}

function parseTime(text: string): TarTime {
  const match = /^(-?)([0-9]{1,16})(?:\.([0-9]*))?$/.exec(text);
  if (match === null) throw invalidTar(`mtime "${text.slice(0, 32)}" is not a time`);
  const whole = Number(match[2]);
  const nanoseconds = Number((match[3] ?? '').slice(0, 9).padEnd(9, '0'));
  if (match[1] === '') return { seconds: whole, nanoseconds };
  return nanoseconds === 0
    ? { seconds: -whole, nanoseconds: 0 }
    : { seconds: -whole - 1, nanoseconds: 1_000_000_000 - nanoseconds };
}

/** Pairs of offset and length as extents: ascending, apart, inside the file, and as long together as what is stored. */
export function extentsOf(
  numbers: readonly number[],
  sizes: { readonly realBytes: number; readonly storedBytes: number },
): SparseExtent[] {
  if (numbers.length / 2 > MAX_EXTENTS) throw invalidTar(`sparse map has more than ${MAX_EXTENTS} extents`);
  if (numbers.length % 2 !== 0) throw invalidTar('sparse map is cut short');
  const extents: SparseExtent[] = [];
  let [end, stored] = [0, 0];
  for (let at = 0; at < numbers.length; at += 2) {
    const [offset = 0, sizeBytes = 0] = [numbers[at], numbers[at + 1]];
    if (offset < end || offset + sizeBytes > sizes.realBytes) throw invalidTar('sparse map is out of order');
    end = offset + sizeBytes;
    stored += sizeBytes;
    if (sizeBytes > 0) extents.push({ offset, sizeBytes });
  }
  if (stored !== sizes.storedBytes) throw invalidTar('sparse map does not match the stored size');
  return extents;
}

/** Writes one record; the length counts its own digits. */
export function encodePaxRecord(key: string, value: string | Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value as string), Buffer.from('\n')]);
  let length = body.length + 1;
  while (String(length).length + body.length !== length) length = String(length).length + body.length;
  return Buffer.concat([Buffer.from(String(length)), body]);
}
