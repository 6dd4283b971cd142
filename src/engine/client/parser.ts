/**
 * Responses of HTTP/1.1 as an engine sends them: `node:http` costs a short command more time to load than its whole
 * request takes. Bodies: by length, chunked, or to the end of the connection. Spec: RFC 9112.
 */
import { CodedError } from '#base/errors/index.ts';

/** Status line and headers; header names are lower case. */
export interface ResponseHead {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
}

/** How a body ends. */
export type BodyKind =
  | { readonly kind: 'none' | 'chunked' | 'close' }
  | { readonly kind: 'length'; readonly bytes: number };

const HEAD_LIMIT = 256 * 1024;
const BLANK_LINE = Buffer.from('\r\n\r\n');
const CHUNK_LINE_LIMIT = 1024;

/**
 * Looks for a complete head at the beginning of `bytes`.
 * @throws {CodedError} `unavailable` for what is no HTTP.
 */
export function parseHead(
  bytes: Buffer,
): { readonly head: ResponseHead; readonly length: number } | undefined {
  const end = bytes.indexOf(BLANK_LINE);
  if (end < 0) {
    if (bytes.byteLength > HEAD_LIMIT) throw malformed('its head is too large');
    return undefined;
  }
  const [statusLine = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n');
  const match = /^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(statusLine);
  if (match === null) throw malformed(JSON.stringify(statusLine.slice(0, 60)));
  const headers: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (colon > 0) headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  return { head: { status: Number(match[1]), headers }, length: end + BLANK_LINE.byteLength };
}

/** How the body of an answer to `method` ends. */
export function bodyKindOf(method: string, { status, headers }: ResponseHead): BodyKind {
  if (method === 'HEAD' || status === 204 || status === 304 || status < 200) return { kind: 'none' };
  if (/\bchunked\b/i.test(headers['transfer-encoding'] ?? '')) return { kind: 'chunked' };
  const length = headers['content-length'];
  if (length === undefined) return { kind: 'close' };
  if (!/^\d+$/.test(length)) throw malformed(`content-length "${length}"`);
  return { kind: 'length', bytes: Number(length) };
}

/** Takes the chunked coding away, piece by piece. */
export class ChunkedDecoder {
  #held: Buffer = Buffer.alloc(0);
  /** Data bytes left of the chunk, or what comes next. */
  #left = 0;
  #state: 'size' | 'data' | 'after' | 'trailer' | 'done' = 'size';

  get isDone(): boolean {
    return this.#state === 'done';
  }

  /** The data in the next bytes of the connection. @throws {CodedError} `unavailable`. */
  decode(bytes: Buffer): Buffer[] {
    let rest = this.#held.byteLength === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    this.#held = Buffer.alloc(0);
    const data: Buffer[] = [];
    while (rest.byteLength > 0 && this.#state !== 'done') {
      if (this.#state === 'data') {
        const part = rest.subarray(0, this.#left);
        data.push(part);
        this.#left -= part.byteLength;
        rest = rest.subarray(part.byteLength);
        if (this.#left === 0) this.#state = 'after';
        continue;
      }
      const end = rest.indexOf('\r\n');
      if (end < 0) {
        if (rest.byteLength > CHUNK_LINE_LIMIT) throw malformed('a chunk size is too long');
        this.#held = Buffer.from(rest);
        break;
      }
      this.#readLine(rest.toString('latin1', 0, end));
      rest = rest.subarray(end + 2);
    }
    return data;
  }

  #readLine(line: string): void {
    if (this.#state === 'after') {
      this.#state = 'size';
      return;
    }
    if (this.#state === 'trailer') {
      if (line === '') this.#state = 'done';
      return;
    }
    const size = /^[0-9a-fA-F]{1,12}/.exec(line)?.[0];
    if (size === undefined) throw malformed('a chunk has no size');
    this.#left = Number.parseInt(size, 16);
    this.#state = this.#left === 0 ? 'trailer' : 'data';
  }
}

function malformed(detail: string): CodedError {
  return new CodedError('unavailable', `malformed HTTP response from the engine: ${detail}`);
}
