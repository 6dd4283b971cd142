/** Headers as bytes: ustar where it fits, PAX records for what does not. The same header always gives the same bytes. */
import { BLOCK, invalidTar } from './field.ts';
import { encodeName } from './name.ts';
import { encodePaxRecord } from './pax.ts';
import type { TarEntryType, TarHeader } from './types.ts';

/** The two zero blocks that end an archive. */
export const TAR_END: Buffer = Buffer.alloc(2 * BLOCK);

/** What a header needs to say; the rest has defaults (root, epoch, no device). */
export type TarHeaderInput = Pick<TarHeader, 'path' | 'type' | 'mode'> & Partial<Omit<TarHeader, 'sparse'>>;

const FLAGS: Readonly<Record<TarEntryType, string>> = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  char: '3',
  block: '4',
  directory: '5',
  fifo: '6',
};

const MAX_OCTAL_7 = 0o7777777;
const MAX_OCTAL_11 = 0o77777777777;

/**
 * The header of one entry, with the extended header in front where one is needed. Directory paths get their trailing slash.
 * Time is written to the second unless `options.nanoseconds`: a record for each file would cost 1 KiB a file, and Docker's
 * own writers cut it too.
 */
export function encodeTarHeader(
  header: TarHeaderInput,
  options: { readonly nanoseconds?: boolean } = {},
): Buffer {
  const path = header.type === 'directory' && !header.path.endsWith('/') ? `${header.path}/` : header.path;
  const link = header.linkTarget ?? '';
  const name = encodeName(path);
  const target = encodeName(link);
  if (name.length === 0 || name.includes(0) || target.includes(0)) {
    throw invalidTar(`path ${JSON.stringify(path)} cannot be written`);
  }
  const records: Buffer[] = [];
  const split = splitName(name);
  if (split === undefined) records.push(encodePaxRecord('path', name));
  if (target.length > 100 || !isAscii(target)) records.push(encodePaxRecord('linkpath', target));
  const fields = numberRecords(header, records);
  if (options.nanoseconds && header.modified !== undefined && header.modified.nanoseconds !== 0) {
    records.push(encodePaxRecord('mtime', timeText(header.modified)));
  } else if (fields.modified !== header.modified?.seconds && header.modified !== undefined) {
    records.push(encodePaxRecord('mtime', String(header.modified.seconds)));
  }
  for (const [key, value] of header.xattrs ?? []) records.push(encodePaxRecord(`SCHILY.xattr.${key}`, value));

  const block = Buffer.alloc(BLOCK);
  writeName(block, split ?? { name: cutName(name), prefix: undefined });
  target.copy(block, 157, 0, Math.min(100, target.length));
  writeOctal(block, header.mode & 0o7777, 100, 8);
  writeOctal(block, fields.uid, 108, 8);
  writeOctal(block, fields.gid, 116, 8);
  writeOctal(block, fields.sizeBytes, 124, 12);
  writeOctal(block, fields.modified, 136, 12);
  block.write(FLAGS[header.type], 156, 'latin1');
  if (header.type === 'char' || header.type === 'block') {
    writeDevice(block, header.deviceMajor ?? 0, 329);
    writeDevice(block, header.deviceMinor ?? 0, 337);
  }
  finishBlock(block);
  return records.length === 0 ? block : Buffer.concat([paxBlocks(name, records), block]);
}

/** Numbers as they fit in the header; those that do not get a record and 0. */
function numberRecords(header: TarHeaderInput, records: Buffer[]) {
  const fit = (key: string, value: number, max: number) => {
    if (value <= max) return value;
    records.push(encodePaxRecord(key, String(value)));
    return 0;
  };
  const uid = fit('uid', header.uid ?? 0, MAX_OCTAL_7);
  const gid = fit('gid', header.gid ?? 0, MAX_OCTAL_7);
  const sizeBytes = fit('size', header.type === 'file' ? (header.sizeBytes ?? 0) : 0, MAX_OCTAL_11);
  const seconds = header.modified?.seconds ?? 0;
  const modified = seconds < 0 || seconds > MAX_OCTAL_11 ? 0 : seconds;
  return { uid, gid, sizeBytes, modified };
}

function timeText(time: { readonly seconds: number; readonly nanoseconds: number }): string {
  const isBefore = time.seconds < 0;
  const seconds = isBefore ? -time.seconds - 1 : time.seconds;
  const nanoseconds = isBefore ? 1_000_000_000 - time.nanoseconds : time.nanoseconds;
  const fraction = String(nanoseconds).padStart(9, '0').replace(/0+$/, '');
  return `${isBefore ? '-' : ''}${seconds}.${fraction}`;
}

function isAscii(bytes: Buffer): boolean {
  return bytes.every((byte) => byte < 0x80);
}

/** The name as it fits in `name` and `prefix`, or `undefined` when it needs a record. */
function splitName(
  bytes: Buffer,
): { readonly name: Buffer; readonly prefix: Buffer | undefined } | undefined {
  if (!isAscii(bytes)) return undefined;
  if (bytes.length <= 100) return { name: bytes, prefix: undefined };
  if (bytes.length > 256) return undefined;
  const at = bytes.lastIndexOf(0x2f, Math.min(155, bytes.length - 2));
  if (at <= 0 || bytes.length - at - 1 > 100) return undefined;
  return { name: bytes.subarray(at + 1), prefix: bytes.subarray(0, at) };
}

function cutName(bytes: Buffer): Buffer {
  return Buffer.from(bytes.subarray(0, 100).map((byte) => (byte < 0x80 ? byte : 0x5f)));
}

function writeName(
  block: Buffer,
  split: { readonly name: Buffer; readonly prefix: Buffer | undefined },
): void {
  split.name.copy(block, 0);
  split.prefix?.copy(block, 345);
}

function writeOctal(block: Buffer, value: number, offset: number, length: number): void {
  block.write(value.toString(8).padStart(length - 1, '0'), offset, 'latin1');
}

/** Device numbers past seven octal digits go in base-256: there is no PAX record that every reader knows. */
function writeDevice(block: Buffer, value: number, offset: number): void {
  if (value <= MAX_OCTAL_7) {
    writeOctal(block, value, offset, 8);
    return;
  }
  block[offset] = 0x80;
  block.writeUInt32BE(value, offset + 4);
}

function finishBlock(block: Buffer): void {
  block.write('ustar\0' + '00', 257, 'latin1');
  block.fill(0x20, 148, 156);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
}

function paxBlocks(name: Buffer, records: readonly Buffer[]): Buffer {
  const data = Buffer.concat(records);
  const block = Buffer.alloc(BLOCK);
  const label = Buffer.concat([Buffer.from('PaxHeaders/'), cutName(name)]);
  label.copy(block, 0, 0, Math.min(100, label.length));
  writeOctal(block, 0o644, 100, 8);
  writeOctal(block, 0, 108, 8);
  writeOctal(block, 0, 116, 8);
  writeOctal(block, data.length, 124, 12);
  writeOctal(block, 0, 136, 12);
  block.write('x', 156, 'latin1');
  finishBlock(block);
  return Buffer.concat([block, data, Buffer.alloc((BLOCK - (data.length % BLOCK)) % BLOCK)]);
}
