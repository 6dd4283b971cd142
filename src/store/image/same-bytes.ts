import type { ByteStream } from '#base/bytes/types.ts';

/** Whether two streams hold the same bytes. Reads no further than the first difference, and ends both streams. */
export async function sameBytes(left: ByteStream, right: ByteStream): Promise<boolean> {
  const other = right[Symbol.asyncIterator]();
  let rest: Uint8Array = new Uint8Array(0);
  try {
    for await (const chunk of left) {
      for (let at = 0; at < chunk.byteLength; ) {
        while (rest.byteLength === 0) {
          const next = await other.next();
          if (next.done) return false;
          rest = next.value;
        }
        const count = Math.min(rest.byteLength, chunk.byteLength - at);
        if (Buffer.compare(chunk.subarray(at, at + count), rest.subarray(0, count)) !== 0) return false;
        rest = rest.subarray(count);
        at += count;
      }
    }
    while (rest.byteLength === 0) {
      const next = await other.next();
      if (next.done) return true;
      rest = next.value;
    }
    return false;
  } finally {
    await other.return?.();
  }
}
