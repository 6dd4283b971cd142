/** Compressed layers that were made to do harm, in each format, as a file and as a stream. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  createReadStream,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { crc32, gzipSync } from 'node:zlib';
import { codeOf, messageOf } from '#base/errors/index.ts';
import { file, tarOf } from '../../../test/support/layer-tar.ts';
import { createChangesets } from './index.ts';
import type { Changesets, LayerSource } from './types.ts';

const isRoot = process.getuid?.() === 0;
const FORMATS = ['gzip', 'zstd', 'xz', 'bzip2'] as const;
type Format = (typeof FORMATS)[number];
const isThere = (format: Format) => spawnSync(format, ['--version'], { stdio: 'ignore' }).error === undefined;
const skipFor = (format: Format) =>
  !isRoot
    ? 'needs root: layers are unpacked in a chroot'
    : !isThere(format)
      ? `${format} is not installed`
      : false;

let dir: string;
let changesets: Changesets;
let counter = 0;

before(() => {
  dir = mkdtempSync(join(tmpdir(), 'slipway-compression-'));
  changesets = createChangesets();
});
after(async () => {
  await changesets.close();
  rmSync(dir, { recursive: true, force: true });
});

/** Reads a layer over each road it may come by; gives back what the roads say. */
async function unpackByEachRoad(bytes: Buffer, roads = 2): Promise<readonly (string | undefined)[]> {
  const path = join(dir, `${counter++}.layer`);
  writeFileSync(path, bytes);
  const answers: (string | undefined)[] = [];
  for (const source of ([{ path }, { stream: createReadStream(path) }] satisfies LayerSource[]).slice(
    0,
    roads,
  )) {
    const targetDir = join(dir, String(counter++));
    mkdirSync(targetDir);
    try {
      await changesets.unpackLayer({ source, compression: 'auto', targetDir, whiteouts: 'overlay' });
      answers.push(undefined);
      assert.equal(readFileSync(join(targetDir, 'x'), 'utf8').startsWith('hello'), true);
    } catch (error) {
      answers.push(`${codeOf(error)}: ${messageOf(error)}`);
    }
    rmSync(targetDir, { recursive: true });
  }
  return answers;
}

async function refuse(bytes: Buffer, message: RegExp, roads?: number): Promise<void> {
  for (const answer of await unpackByEachRoad(bytes, roads)) assert.match(answer ?? 'it was taken', message);
}

const compress = (format: Format, bytes: Buffer, ...args: readonly string[]): Buffer =>
  execFileSync(format, ['-c', ...args], { input: bytes, maxBuffer: 1 << 30 });

const plain = tarOf(file('x', 'hello'));
const big = tarOf(file('x', `hello${'slipway '.repeat(50_000)}`));
for (const format of FORMATS) {
  describe(`${format} layers`, { skip: skipFor(format) }, () => {
    test('whole ones are read, also in several parts', async () => {
      const parts = [plain.subarray(0, 700), plain.subarray(700)].map((part) => compress(format, part));
      for (const bytes of [compress(format, big), Buffer.concat(parts)])
        assert.deepEqual(await unpackByEachRoad(bytes), [undefined, undefined]);
    });

    test('one that is cut anywhere is refused', async () => {
      const bytes = compress(format, big);
      for (const length of [7, 20, Math.floor(bytes.length / 2), bytes.length - 1])
        await refuse(bytes.subarray(0, length), /^invalid_argument/);
    });

    test('one with other bytes behind it is refused', async () => {
      for (const garbage of ['garbage', 'x', '\x1f\x8b', 'BZ'])
        await refuse(Buffer.concat([compress(format, plain), Buffer.from(garbage)]), /^invalid_argument/);
    });

    test('one whose bytes do not match their checksum is refused', async () => {
      const args = format === 'zstd' ? ['--check'] : [];
      const bytes = compress(format, big, ...args);
      for (const at of [-1, -5, Math.floor(bytes.length / 2)]) {
        const wrong = Buffer.from(bytes);
        const index = at < 0 ? bytes.length + at : at;
        wrong[index] = (wrong[index] ?? 0) ^ 0x10;
        await refuse(wrong, /^invalid_argument/);
      }
    });

    test('a bomb is refused as soon as it has grown too far', async () => {
      // A whole archive, and more than a gibibyte of zeros behind its end: nothing of it reaches a disk.
      const zeros = compress(format, Buffer.alloc(8 * 1024 * 1024), '-9');
      const bytes = Buffer.concat([compress(format, plain), ...Array.from({ length: 140 }, () => zeros)]);
      const started = Date.now();
      await refuse(bytes, /grows more than 1000-fold/, format === 'zstd' ? 2 : 1);
      assert.ok(Date.now() - started < 60_000);
    });
  });
}

test('100,000 empty gzip members are read one after another', { skip: skipFor('gzip') }, async () => {
  const empty = gzipSync(Buffer.alloc(0));
  const members = Buffer.concat(Array.from({ length: 100_000 }, () => empty));
  assert.deepEqual(await unpackByEachRoad(Buffer.concat([members, gzipSync(plain)])), [undefined, undefined]);
});

test('10,000 empty zstd and skippable frames are read one after another', {
  skip: skipFor('zstd'),
}, async () => {
  const empty = compress('zstd', Buffer.alloc(0));
  const skippable = Buffer.from('502a4d1804000000deadbeef', 'hex');
  const frames = Buffer.concat(Array.from({ length: 10_000 }, () => Buffer.concat([empty, skippable])));
  assert.deepEqual(await unpackByEachRoad(Buffer.concat([frames, compress('zstd', plain)])), [
    undefined,
    undefined,
  ]);
});

test('a zstd frame with a window of 2 TiB, or of 256 MiB, is refused', {
  skip: skipFor('zstd'),
}, async () => {
  // Frame header without a content size: the descriptor's upper five bits are the window's exponent above 10.
  const frame = (exponent: number): Buffer =>
    Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, exponent << 3]), Buffer.from('010000', 'hex')]);
  for (const exponent of [31, 18]) await refuse(frame(exponent), /^invalid_argument/);
});

test('an xz stream with a dictionary of 1.5 GiB is refused', { skip: skipFor('xz') }, async () => {
  const bytes = compress('xz', plain);
  // Block header: size, flags, filter 0x21, one byte of properties, then the dictionary's size.
  assert.equal(bytes[14], 0x21);
  bytes[16] = 37;
  const headerBytes = ((bytes[12] ?? 0) + 1) * 4;
  bytes.writeUInt32LE(crc32(bytes.subarray(12, 12 + headerBytes - 4)), 12 + headerBytes - 4);
  const test = spawnSync('xz', ['-dc', '--memlimit-decompress=4GiB'], { input: bytes });
  assert.equal(test.status, 0, 'with enough memory it is a sound stream');
  await refuse(bytes, /^invalid_argument/);
});

test('nothing is left behind by layers that were refused', () => {
  assert.deepEqual(
    readdirSync(dir).filter((name) => !/\.layer$/.test(name)),
    [],
  );
});
