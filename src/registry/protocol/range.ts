import { CodedError } from '#base/errors/index.ts';

/** Half-open: `end` is the first byte that is not in it. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/**
 * Reads the `Content-Range` of a chunked upload, such as `0-1023`. The wire form is inclusive and has no unit; the
 * result is half-open, so `end` is the next offset the server will accept.
 *
 * Spec: distribution-spec v1.1, "Pushing a blob in chunks" (end-5).
 * @throws {CodedError} `invalid_argument` about a `range`: malformed, reversed, or unsafe as a number.
 */
export function parseChunkRange(header: string): ByteRange {
  const match = /^([0-9]{1,16})-([0-9]{1,16})$/.exec(header);
  const start = Number(match?.[1]);
  const end = Number(match?.[2]) + 1;
  if (match === null || start >= end || !Number.isSafeInteger(end)) {
    throw new CodedError('invalid_argument', `cannot parse Content-Range "${header.slice(0, 80)}"`, {
      subject: { kind: 'range', name: header.slice(0, 80) },
    });
  }
  return { start, end };
}

/**
 * Reads a `Range` request header against a body of `sizeBytes`. `undefined` means: send the whole body (no header,
 * another unit, several ranges, or malformed text, which RFC 9110 tells us to ignore).
 * @throws {CodedError} `invalid_argument` about a `range` that cannot be satisfied.
 */
export function parseByteRange(header: string | undefined, sizeBytes: number): ByteRange | undefined {
  if (header === undefined) return undefined;
  const match = /^bytes=([0-9]{0,16})-([0-9]{0,16})$/.exec(header.trim());
  if (match === null) return undefined;
  const [, first = '', last = ''] = match;
  if (first === '' && last === '') return undefined;
  if (first === '') {
    const length = Math.min(Number(last), sizeBytes);
    if (length === 0) throw unsatisfiable(header);
    return { start: sizeBytes - length, end: sizeBytes };
  }
  const start = Number(first);
  const end = last === '' ? sizeBytes : Math.min(Number(last) + 1, sizeBytes);
  if (start >= sizeBytes || end <= start) throw unsatisfiable(header);
  return { start, end };
}

/** `Range` of an upload's answer: inclusive, without unit; an empty upload is `0-0`, as Docker's registry says it. */
export function encodeUploadRange(offset: number): string {
  return `0-${Math.max(offset - 1, 0)}`;
}

function unsatisfiable(header: string): CodedError {
  return new CodedError('invalid_argument', `range "${header.slice(0, 80)}" cannot be satisfied`, {
    subject: { kind: 'range', name: header.slice(0, 80) },
  });
}
