/**
 * Fields of a 512-byte header block.
 *
 *     0 name 100 · 100 mode 8 · 108 uid 8 · 116 gid 8 · 124 size 12 · 136 mtime 12 · 148 checksum 8 · 156 type 1
 *     157 linkname 100 · 257 magic 6 · 263 version 2 · 265 uname 32 · 297 gname 32 · 329 devmajor 8 · 337 devminor 8
 *     345 prefix 155 (POSIX) or, GNU: 386 sparse 4 × 24 · 482 isextended 1 · 483 realsize 12
 *
 * Numbers are octal text, or base-256 when the first byte has its top bit set.
 */
import { CodedError } from '#base/errors/index.ts';
import { decodeName } from './name.ts';

/** Size of a block. */
export const BLOCK = 512;

/** The error of everything that is wrong with an archive. */
export function invalidTar(state: string): CodedError {
  return new CodedError('invalid_argument', `invalid tar: ${state}`);
}

/** Text up to the first NUL. */
export function textField(block: Buffer, offset: number, length: number): string {
  let end = offset;
  const limit = offset + length;
  while (end < limit && block[end] !== 0) end++;
  return decodeName(block, offset, end);
}

/** An integer; negative only in base-256. */
export function numberField(block: Buffer, offset: number, length: number, name: string): number {
  const first = block[offset] ?? 0;
  return first & 0x80 ? base256(block, offset, length, name) : octal(block, offset, length, name);
}

function octal(block: Buffer, offset: number, length: number, name: string): number {
  let at = offset;
  const limit = offset + length;
  while (at < limit && (block[at] === 0x20 || block[at] === 0)) at++;
  let value = 0;
  for (; at < limit; at++) {
    const byte = block[at] ?? 0;
    if (byte === 0 || byte === 0x20) break;
    if (byte < 0x30 || byte > 0x37) throw invalidTar(`field ${name} is not a number`);
    value = value * 8 + (byte - 0x30);
  }
  return value;
}

function base256(block: Buffer, offset: number, length: number, name: string): number {
  const first = block[offset] ?? 0;
  const isNegative = (first & 0x40) !== 0;
  let value = BigInt(isNegative ? first | ~0xff : first & 0x7f);
  for (let at = offset + 1; at < offset + length; at++) value = (value << 8n) | BigInt(block[at] ?? 0);
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw invalidTar(`field ${name} is out of range`);
  return number;
}

/** Whether the header's checksum is right; old writers summed signed bytes, both are accepted. */
export function hasValidChecksum(block: Buffer): boolean {
  let unsigned = 256; // the checksum field itself counts as eight spaces
  let signed = 256;
  for (let at = 0; at < BLOCK; at++) {
    if (at === 148) at = 156;
    const byte = block[at] ?? 0;
    unsigned += byte;
    signed += byte < 128 ? byte : byte - 256;
  }
  const stored = octal(block, 148, 8, 'checksum');
  return stored === unsigned || stored === signed;
}

/** Whether the 512 bytes are all zero. */
export function isZeroBlock(block: Buffer): boolean {
  return block.equals(ZEROS);
}

const ZEROS = Buffer.alloc(BLOCK);
