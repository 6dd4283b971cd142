/** A stream of byte chunks; every Node `Readable` is one. Consumers must not keep a chunk after asking for the next. */
export type ByteStream = AsyncIterable<Uint8Array>;

/** Compressions a layer may arrive in. */
export type InputCompression = 'none' | 'gzip' | 'zstd' | 'xz' | 'bzip2';
/** Compressions we write. */
export type OutputCompression = 'none' | 'gzip' | 'zstd';
