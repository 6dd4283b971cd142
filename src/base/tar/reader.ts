import type { ByteStream } from '#base/bytes/types.ts';
import { TarDecoder } from './decoder.ts';
import type { FoundTarHeader } from './types.ts';

/** One entry of `readTar`. */
export interface TarEntry extends FoundTarHeader {
  /** The stored bytes; what is not read before the next entry is asked for is skipped. */
  readonly body: ByteStream;
}

type Found =
  | { readonly kind: 'entry'; readonly header: FoundTarHeader }
  | { readonly kind: 'data'; readonly bytes: Buffer }
  | { readonly kind: 'end' };

/**
 * Reads an archive entry by entry, in constant memory. Ending the loop early ends the source.
 * @throws {CodedError} `invalid_argument` for a malformed or truncated archive.
 */
export async function* readTar(source: ByteStream): AsyncGenerator<TarEntry, void, undefined> {
  const found: Found[] = [];
  const decoder = new TarDecoder({
    entry: (header) => found.push({ kind: 'entry', header }),
    data: (bytes) => found.push({ kind: 'data', bytes }),
    end: () => found.push({ kind: 'end' }),
  });
  const chunks = source[Symbol.asyncIterator]();
  let at = 0;
  const next = async (): Promise<Found | undefined> => {
    while (at >= found.length) {
      found.length = 0;
      at = 0;
      const chunk = await chunks.next();
      if (chunk.done) {
        decoder.close();
        return undefined;
      }
      decoder.write(asBuffer(chunk.value));
    }
    return found[at++];
  };
  try {
    for (;;) {
      const item = await next();
      if (item === undefined) return;
      if (item.kind !== 'entry') continue;
      yield { ...item.header, body: bodyOf(next) };
    }
  } finally {
    await chunks.return?.();
  }
}

async function* bodyOf(next: () => Promise<Found | undefined>): AsyncGenerator<Uint8Array, void, undefined> {
  for (;;) {
    const item = await next();
    if (item === undefined || item.kind === 'end') return;
    if (item.kind === 'data') yield item.bytes;
  }
}

function asBuffer(chunk: Uint8Array): Buffer {
  return Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
}
