import type { ByteStream } from '#base/bytes/types.ts';
import { paddingOf } from './decoder.ts';
import { encodeTarHeader, TAR_END, type TarHeaderInput } from './encoder.ts';
import { invalidTar } from './field.ts';

/** An entry to write: a header, and for a file its bytes, exactly `sizeBytes` of them. */
export interface TarInput {
  readonly header: TarHeaderInput;
  readonly body?: Uint8Array | ByteStream;
}

/**
 * Writes an archive as a stream. A body of `Uint8Array` sets the size by itself.
 * @throws {CodedError} `invalid_argument` when a body is longer or shorter than its header says.
 */
export async function* writeTar(
  entries: Iterable<TarInput> | AsyncIterable<TarInput>,
): AsyncGenerator<Buffer, void, undefined> {
  for await (const { header, body } of entries) {
    const sizeBytes = body instanceof Uint8Array ? body.length : (header.sizeBytes ?? 0);
    yield encodeTarHeader({ ...header, sizeBytes });
    if (body !== undefined) yield* bodyBytes(header.path, body, sizeBytes);
  }
  yield TAR_END;
}

async function* bodyBytes(
  path: string,
  body: Uint8Array | ByteStream,
  sizeBytes: number,
): AsyncGenerator<Buffer> {
  let written = 0;
  for await (const chunk of body instanceof Uint8Array ? [body] : body) {
    written += chunk.length;
    if (written > sizeBytes) break;
    yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
  }
  if (written !== sizeBytes)
    throw invalidTar(`"${path}" has ${written} bytes or more, its header says ${sizeBytes}`);
  const padding = paddingOf(sizeBytes);
  if (padding > 0) yield Buffer.alloc(padding);
}
