/** The tar format: a push decoder, a header encoder, and streams over both. Never touches a disk. */
export { paddingOf, TarDecoder, type TarSink } from './decoder.ts';
export { encodeTarHeader, TAR_END, type TarHeaderInput } from './encoder.ts';
export { decodeName, encodeName, systemPath } from './name.ts';
export { readTar, type TarEntry } from './reader.ts';
export type { FoundTarHeader, SparseExtent, TarEntryType, TarHeader, TarTime } from './types.ts';
export { type TarInput, writeTar } from './writer.ts';
