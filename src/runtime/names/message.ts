/**
 * The part of DNS a resolver for containers needs; pure, and safe on any bytes.
 *
 *     header     id:16 · flags:16 (QR Opcode:4 AA TC RD RA Z:3 Rcode:4) · questions, answers, authorities, additionals: 16 each
 *     question   name · type:16 · class:16
 *     record     name · type:16 · class:16 · ttl:32 · length:16 · data
 *     name       (length:8 · label)* · 0          a pointer (11 · offset:14) may end a name in an answer
 *     OPT        name 0 · type 41 · class: the UDP size the client takes · …
 *
 * Spec: RFC 1035 sections 4.1 and 2.3.4, RFC 6891 section 6.1.
 */

/** Query types answered here; anything else is only passed on. */
export const TYPE = { a: 1, ptr: 12, mx: 15, aaaa: 28, opt: 41 } as const;

/** Answer codes. */
export const CODE = {
  ok: 0,
  badFormat: 1,
  serverFailure: 2,
  noSuchName: 3,
  notImplemented: 4,
  refused: 5,
} as const;

const CLASS_INTERNET = 1;
const HEADER_BYTES = 12;
const FLAG = { response: 0x8000, truncated: 0x0200, recursionDesired: 0x0100, recursionAvailable: 0x0080 };
const POINTER_TO_QUESTION = 0xc00c;
const NAME_LIMIT = 255;
const LABEL_LIMIT = 63;
const PLAIN_UDP_BYTES = 512;
/** Larger answers would be sent in fragments, which get lost. */
const UDP_LIMIT_BYTES = 4096;
/** What an answer's receiver may keep it for; Docker's. */
const TTL_SECONDS = 600;

/** A query that can be answered. */
export interface Query {
  readonly id: number;
  /** As it came, without the last dot. */
  readonly name: string;
  readonly type: number;
  readonly isInternet: boolean;
  readonly recursionDesired: boolean;
  /** Bytes of the question section. */
  readonly question: Buffer;
  /** The client speaks EDNS. */
  readonly hasOptions: boolean;
  /** Longest answer the client takes over UDP. */
  readonly udpBytes: number;
}

/** What came instead of a query: `code` is the answer it gets, `undefined` none at all. */
export interface BadQuery {
  readonly id: number;
  readonly code: number | undefined;
}

/** Reads a query. Bytes that are none give a `BadQuery`; nothing is thrown. */
export function parseQuery(packet: Buffer): Query | BadQuery {
  if (packet.length < HEADER_BYTES) return { id: 0, code: undefined };
  const id = packet.readUInt16BE(0);
  const flags = packet.readUInt16BE(2);
  if ((flags & FLAG.response) !== 0) return { id, code: undefined };
  if (((flags >> 11) & 15) !== 0) return { id, code: CODE.notImplemented };
  if (packet.readUInt16BE(4) !== 1 || packet.readUInt16BE(6) !== 0 || packet.readUInt16BE(8) !== 0)
    return { id, code: CODE.badFormat };
  const name = readName(packet, HEADER_BYTES);
  if (name === undefined || name.end + 4 > packet.length) return { id, code: CODE.badFormat };
  const end = name.end + 4;
  const options = readOptions(packet, end);
  return {
    id,
    name: name.text,
    type: packet.readUInt16BE(name.end),
    isInternet: packet.readUInt16BE(name.end + 2) === CLASS_INTERNET,
    recursionDesired: (flags & FLAG.recursionDesired) !== 0,
    question: packet.subarray(HEADER_BYTES, end),
    hasOptions: options !== undefined,
    udpBytes: Math.min(UDP_LIMIT_BYTES, Math.max(PLAIN_UDP_BYTES, options ?? 0)),
  };
}

/** Whether `packet` parsed as a query. */
export function isQuery(parsed: Query | BadQuery): parsed is Query {
  return 'question' in parsed;
}

/** A name of a question, which has no pointers; `undefined` when it is none. */
function readName(
  packet: Buffer,
  start: number,
): { readonly text: string; readonly end: number } | undefined {
  const labels: string[] = [];
  let at = start;
  for (;;) {
    const length = packet[at];
    if (length === undefined || length > LABEL_LIMIT) return undefined;
    at++;
    if (length === 0) break;
    if (at + length > packet.length || at + length - start >= NAME_LIMIT) return undefined;
    // A dot inside a label would make another name of it.
    const label = packet.toString('latin1', at, at + length);
    if (label.includes('.')) return undefined;
    labels.push(label);
    at += length;
  }
  return { text: labels.join('.'), end: at };
}

/** The UDP size of an OPT record that stands first among the additionals. */
function readOptions(packet: Buffer, start: number): number | undefined {
  if (packet.readUInt16BE(10) === 0 || start + 11 > packet.length) return undefined;
  if (packet[start] !== 0 || packet.readUInt16BE(start + 1) !== TYPE.opt) return undefined;
  return packet.readUInt16BE(start + 3);
}

/** An answer's content: addresses, or the name of a PTR record; empty: the name exists and has nothing of the type. */
export type AnswerData =
  | { readonly type: typeof TYPE.a; readonly addresses: readonly string[] }
  | { readonly type: typeof TYPE.ptr; readonly name: string }
  | undefined;

/** Encodes an answer of our own. Over UDP it is cut to what the client takes, and says so. */
export function encodeAnswer(query: Query, data: AnswerData, options: { readonly overTcp: boolean }): Buffer {
  const options_ = query.hasOptions ? optionsRecord() : Buffer.alloc(0);
  const limit = options.overTcp ? 65_535 : query.udpBytes;
  const records = recordsOf(data);
  let room = limit - HEADER_BYTES - query.question.length - options_.length;
  const fitting = records.filter((record) => {
    room -= record.length;
    return room >= 0;
  });
  const truncated = fitting.length < records.length ? FLAG.truncated : 0;
  const head = header(query, CODE.ok | truncated, fitting.length);
  return Buffer.concat([head, query.question, ...fitting, options_]);
}

/** An answer that is only a code. */
export function encodeFailure(query: Query | BadQuery, code: number): Buffer {
  if (isQuery(query)) {
    const options = query.hasOptions ? optionsRecord() : Buffer.alloc(0);
    return Buffer.concat([header(query, code, 0), query.question, options]);
  }
  const head = Buffer.alloc(HEADER_BYTES);
  head.writeUInt16BE(query.id, 0);
  head.writeUInt16BE(FLAG.response | FLAG.recursionAvailable | code, 2);
  return head;
}

/**
 * Whether `packet` is an answer to `query` sent with `id`: same id, same question in any letter case. Whoever does not
 * know the query cannot make one up.
 */
export function isAnswerTo(packet: Buffer, query: Query, id: number): boolean {
  if (packet.length < HEADER_BYTES + query.question.length) return false;
  if (packet.readUInt16BE(0) !== id || (packet.readUInt16BE(2) & FLAG.response) === 0) return false;
  if (packet.readUInt16BE(4) !== 1) return false;
  const echoed = packet.subarray(HEADER_BYTES, HEADER_BYTES + query.question.length);
  return echoed.toString('latin1').toLowerCase() === query.question.toString('latin1').toLowerCase();
}

/** The code of an answer. */
export function codeOfAnswer(packet: Buffer): number {
  return packet.readUInt16BE(2) & 15;
}

/** `packet` with another id. */
export function withId(packet: Buffer, id: number): Buffer {
  const copy = Buffer.from(packet);
  copy.writeUInt16BE(id, 0);
  return copy;
}

/** The address a reverse name asks for: `4.3.2.1.in-addr.arpa` is `1.2.3.4`. */
export function addressOfReverse(name: string): string | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.in-addr\.arpa$/i.exec(name);
  return match === null ? undefined : [match[4], match[3], match[2], match[1]].join('.');
}

function header(query: Query, bits: number, answers: number): Buffer {
  const head = Buffer.alloc(HEADER_BYTES);
  const desired = query.recursionDesired ? FLAG.recursionDesired : 0;
  head.writeUInt16BE(query.id, 0);
  head.writeUInt16BE(FLAG.response | desired | FLAG.recursionAvailable | bits, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(answers, 6);
  head.writeUInt16BE(query.hasOptions ? 1 : 0, 10);
  return head;
}

function recordsOf(data: AnswerData): readonly Buffer[] {
  if (data === undefined) return [];
  if (data.type === TYPE.ptr) return [record(TYPE.ptr, encodeName(data.name))];
  return data.addresses.map((address) => record(TYPE.a, Buffer.from(address.split('.').map(Number))));
}

function record(type: number, data: Buffer): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt16BE(POINTER_TO_QUESTION, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt16BE(CLASS_INTERNET, 4);
  head.writeUInt32BE(TTL_SECONDS, 6);
  head.writeUInt16BE(data.length, 10);
  return Buffer.concat([head, data]);
}

/** A name on the wire; labels that are too long are cut, and those that do not fit left out. */
function encodeName(name: string): Buffer {
  const parts: Buffer[] = [];
  let size = 1;
  for (const label of name.split('.')) {
    const bytes = Buffer.from(label, 'latin1').subarray(0, LABEL_LIMIT);
    if (bytes.length === 0 || size + bytes.length + 1 > NAME_LIMIT) continue;
    size += bytes.length + 1;
    parts.push(Buffer.from([bytes.length]), bytes);
  }
  return Buffer.concat([...parts, Buffer.from([0])]);
}

function optionsRecord(): Buffer {
  const record_ = Buffer.alloc(11);
  record_.writeUInt16BE(TYPE.opt, 1);
  record_.writeUInt16BE(UDP_LIMIT_BYTES, 3);
  return record_;
}
