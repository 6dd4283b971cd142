/**
 * Names as text without loss. Bytes that are not valid UTF-8 become U+DC80..U+DCFF, one for each byte; those cannot come
 * out of valid UTF-8, so the way back is exact. JSON keeps them as escapes.
 */

const NOT_ASCII = /[\x80-\xff]/;
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Bytes as text; the inverse of `encodeName`. */
export function decodeName(bytes: Buffer, start = 0, end = bytes.length): string {
  const latin = bytes.toString('latin1', start, end);
  if (!NOT_ASCII.test(latin)) return latin;
  const part = bytes.subarray(start, end);
  try {
    return strict.decode(part);
  } catch {
    return escapeBytes(part);
  }
}

function escapeBytes(bytes: Buffer): string {
  let text = '';
  for (let at = 0; at < bytes.length; ) {
    const length = sequenceLength(bytes, at);
    text +=
      length === 0 ? String.fromCharCode(0xdc00 + (bytes[at] ?? 0)) : bytes.toString('utf8', at, at + length);
    at += Math.max(1, length);
  }
  return text;
}

/** Length of the valid UTF-8 sequence at `at`, or 0. */
function sequenceLength(bytes: Buffer, at: number): number {
  const first = bytes[at] ?? 0;
  const length = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 0;
  if (length === 0 || at + length > bytes.length) return 0;
  try {
    strict.decode(bytes.subarray(at, at + length));
    return length;
  } catch {
    return 0;
  }
}

/** Text as the bytes it was made from; throws nothing: a lone surrogate that stands for no byte becomes U+FFFD. */
export function encodeName(text: string): Buffer {
  if (text.isWellFormed()) return Buffer.from(text, 'utf8');
  const parts: Buffer[] = [];
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    parts.push(
      code >= 0xdc80 && code <= 0xdcff ? Buffer.from([code - 0xdc00]) : Buffer.from(character, 'utf8'),
    );
  }
  return Buffer.concat(parts);
}

/** The name as a system call takes it: text as it is, bytes where text cannot say it. */
export function systemPath(text: string): string | Buffer {
  return text.isWellFormed() ? text : encodeName(text);
}
