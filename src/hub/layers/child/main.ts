/**
 * The program that reads one layer, as a process of its own: what it reads was pushed by anybody. It may read its own code
 * and nothing else; the layer comes from standard input, compressed as it was pushed.
 *
 *     {"kind":"list"}                          standard output: the gzipped list of its files
 *     {"kind":"excerpt","offset","sizeBytes"}  standard output: that stretch of the uncompressed tar
 *
 * The last line of standard error is `ChildEnd`.
 */
import { once } from 'node:events';
import { writeSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { decompress } from '#base/bytes/index.ts';
import { CodedError, codeOf, messageOf } from '#base/errors/index.ts';
import { LayerScan, type ScanFacts } from '../scan.ts';
import type { ChildEnd, ChildRequest } from './protocol.ts';

const BATCH_CHARACTERS = 1024 * 1024;
const NOTHING: ScanFacts = { entries: 0, contentBytes: 0, tarBytes: 0 };

let readBytes = 0;

async function* input(): AsyncGenerator<Uint8Array> {
  for await (const chunk of process.stdin) {
    readBytes += (chunk as Buffer).length;
    yield chunk as Buffer;
  }
}

async function send(bytes: Uint8Array): Promise<void> {
  if (!process.stdout.write(bytes)) await once(process.stdout, 'drain');
}

async function list(): Promise<ScanFacts> {
  let lines: string[] = [];
  let characters = 0;
  const scan = new LayerScan((line) => {
    lines.push(line);
    characters += line.length;
  });
  const flush = async (): Promise<void> => {
    // Members of gzip may follow one another.
    if (lines.length > 0) await send(gzipSync(lines.join(''), { level: 4 }));
    lines = [];
    characters = 0;
  };
  for await (const chunk of decompress(input(), 'auto', { isAlone: true })) {
    scan.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength), readBytes);
    if (characters > BATCH_CHARACTERS) await flush();
  }
  const facts = scan.close();
  await flush();
  return facts;
}

async function excerpt(offset: number, sizeBytes: number): Promise<ScanFacts> {
  const end = offset + sizeBytes;
  let at = 0;
  for await (const chunk of decompress(input(), 'auto', { isAlone: true })) {
    const from = Math.max(offset - at, 0);
    const to = Math.min(end - at, chunk.length);
    if (from < to) await send(chunk.subarray(from, to));
    at += chunk.length;
    if (at >= end) return NOTHING;
  }
  throw new CodedError('data_loss', `the layer ends after ${at} bytes`);
}

async function run(request: ChildRequest): Promise<ChildEnd> {
  try {
    const facts = await (request.kind === 'list' ? list() : excerpt(request.offset, request.sizeBytes));
    return { facts };
  } catch (error) {
    return { code: codeOf(error), message: messageOf(error) };
  }
}

const end = await run(JSON.parse(process.argv[2] ?? '{}') as ChildRequest);
process.stdout.end(() => {
  writeSync(2, `${JSON.stringify(end)}\n`);
  process.exit(0);
});
