import type { ByteStream } from '#base/bytes/types.ts';
import { CodedError } from '#base/errors/index.ts';

/**
 * Reads a whole body into memory.
 * @throws {CodedError} `resource_exhausted` (subject `request body`) as soon as it is longer than `limitBytes`.
 */
export async function readBody(stream: ByteStream, limitBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream) {
    length += chunk.byteLength;
    if (length > limitBytes) {
      throw new CodedError('resource_exhausted', `request body is larger than ${limitBytes} bytes`, {
        subject: { kind: 'request body', name: String(limitBytes) },
      });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}

/**
 * Parses JSON from outside. Keys named `__proto__` are dropped everywhere, so that copying the value later cannot
 * change a prototype. Throws `SyntaxError` as `JSON.parse` does, `TypeError` for bytes that are no UTF-8.
 */
export function parseJsonBody(bytes: Uint8Array): unknown {
  const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  const value: unknown = JSON.parse(text);
  // The reviver costs; only a text that can contain the key (plain or escaped) pays it.
  if (!text.includes('__proto__') && !text.includes('\\u')) return value;
  return JSON.parse(text, (key, entry: unknown) => (key === '__proto__' ? undefined : entry));
}
