/** Streams of bytes: limit, count, hash while reading, compressions. */
export {
  checkGrowth,
  compress,
  decompress,
  detectCompression,
  invalidCompression,
  MAGIC_BYTES,
} from './compression.ts';
export { type Command, compressCommand, decompressCommand, findProgram } from './program.ts';
export { collectBytes, countBytes, type HashedStream, hashBytes, limitBytes, peekBytes } from './stream.ts';
export type { ByteStream, InputCompression, OutputCompression } from './types.ts';
