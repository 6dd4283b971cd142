import { readSync } from 'node:fs';
import { gunzipSync, constants as zlib, zstdDecompressSync } from 'node:zlib';

const HEAD_BYTES = 64 * 1024;
const MAGIC: readonly (readonly [string, readonly number[]])[] = [
  ['gzip', [0x1f, 0x8b, 0x08]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
];

/** What ADD should do with a file: unpack it, keep it, or find out while unpacking (the format has no cheap look inside). */
export type ArchiveGuess = 'archive' | 'file' | 'maybe';

/**
 * Looks at the beginning of an open file as Docker's ADD does: a tar, plain or compressed, counts as an archive when its first
 * header is whole. The file stays open.
 */
export function guessArchive(fd: number): ArchiveGuess {
  const head = Buffer.alloc(HEAD_BYTES);
  const count = readSync(fd, head, 0, HEAD_BYTES, 0);
  const bytes = head.subarray(0, count);
  const format = MAGIC.find(([, magic]) => magic.every((byte, i) => bytes[i] === byte))?.[0];
  if (format === undefined) return isTarHeader(bytes) ? 'archive' : 'file';
  if (format === 'bzip2' || format === 'xz') return 'maybe';
  try {
    const plain =
      format === 'gzip'
        ? gunzipSync(bytes, { finishFlush: zlib.Z_SYNC_FLUSH })
        : zstdDecompressSync(bytes, { finishFlush: zlib.ZSTD_e_flush });
    return isTarHeader(plain) ? 'archive' : 'file';
  } catch {
    return 'file';
  }
}

/** Whether a block is a tar header: its checksum holds. */
export function isTarHeader(block: Uint8Array): boolean {
  if (block.length < 512) return false;
  const stored = Number.parseInt(
    Buffer.from(block.subarray(148, 156)).toString('latin1').replace(/\0.*$/, '').trim(),
    8,
  );
  if (!Number.isFinite(stored)) return false;
  let sum = 0;
  for (let i = 0; i < 512; i++) sum += i >= 148 && i < 156 ? 32 : (block[i] as number);
  return sum === stored && sum !== 256;
}
