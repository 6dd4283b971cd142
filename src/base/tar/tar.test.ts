import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  decodeName,
  encodeName,
  encodeTarHeader,
  type FoundTarHeader,
  readTar,
  TAR_END,
  TarDecoder,
  type TarHeaderInput,
  writeTar,
} from './index.ts';

interface Decoded extends FoundTarHeader {
  readonly data: Buffer;
}

/** Decodes with chunks of `step` bytes. */
function decode(archive: Buffer, step = archive.length): Decoded[] {
  const entries: Decoded[] = [];
  let parts: Buffer[] = [];
  let header: FoundTarHeader | undefined;
  const decoder = new TarDecoder({
    entry: (found) => {
      header = found;
      parts = [];
    },
    data: (bytes) => parts.push(Buffer.from(bytes)),
    end: () => header && entries.push({ ...header, data: Buffer.concat(parts) }),
  });
  for (let at = 0; at < archive.length; at += step) decoder.write(archive.subarray(at, at + step));
  decoder.close();
  return entries;
}

function archiveOf(...entries: readonly (Buffer | TarHeaderInput)[]): Buffer {
  const blocks = entries.map((entry) => (Buffer.isBuffer(entry) ? entry : encodeTarHeader(entry)));
  return Buffer.concat([...blocks, TAR_END]);
}

/** A raw header block with its checksum, to write what our encoder would not. */
function rawBlock(fields: Readonly<Record<number, string | Buffer>>): Buffer {
  const block = Buffer.from(encodeTarHeader({ path: 'x', type: 'file', mode: 0o644 }));
  for (const [offset, value] of Object.entries(fields))
    Buffer.from(value as string).copy(block, Number(offset));
  block.fill(0x20, 148, 156);
  block.write(
    `${block
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, '0')}\0 `,
    148,
    'latin1',
  );
  return block;
}

function record(type: string, data: string | Buffer): Buffer {
  const bytes = Buffer.from(data as string);
  const head = rawBlock({ 156: type, 124: `${bytes.length.toString(8).padStart(11, '0')}\0` });
  return Buffer.concat([head, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
}

function pax(key: string, value: string): string {
  const body = ` ${key}=${value}\n`;
  let length = body.length + 1;
  while (String(length).length + body.length !== length) length = String(length).length + body.length;
  return `${length}${body}`;
}

const plain = { path: 'a', type: 'file', mode: 0o644 } as const;

describe('base/tar', () => {
  let dir = '';
  before(() => {
    dir = fs.mkdtempSync(join(os.tmpdir(), 'tar-'));
  });
  after(() => fs.rmSync(dir, { recursive: true, force: true }));

  const headers: readonly TarHeaderInput[] = [
    { ...plain, modified: { seconds: 1_700_000_000, nanoseconds: 0 }, uid: 1000, gid: 4_294_967_294 },
    { ...plain, path: `${'d'.repeat(90)}/${'n'.repeat(99)}`, mode: 0o4755 },
    { ...plain, path: `${'long/'.repeat(200)}ü` },
    { ...plain, path: 'latin-\udcff\udce9' },
    { ...plain, path: 'dir', type: 'directory', mode: 0o1777, modified: { seconds: -7, nanoseconds: 0 } },
    { path: 'l', type: 'symlink', mode: 0o777, linkTarget: '../'.repeat(60) },
    { path: 'h', type: 'hardlink', mode: 0o644, linkTarget: 'latin-\udcff' },
    { path: 'c', type: 'char', mode: 0o600, deviceMajor: 5, deviceMinor: 3_000_000 },
    { path: 'x', type: 'fifo', mode: 0o600, xattrs: new Map([['user.bin', Buffer.from([0, 10, 61, 255])]]) },
  ];

  it('reads back every header it writes, in chunks of any size', () => {
    const archive = archiveOf(...headers);
    for (const step of [archive.length, 1, 511, 700]) {
      const entries = decode(archive, step);
      assert.equal(entries.length, headers.length);
      for (const [index, header] of headers.entries()) {
        const { path, type } = header;
        const expected = { ...header, path: type === 'directory' ? `${path}/` : path };
        for (const [key, value] of Object.entries(expected)) {
          assert.deepEqual(entries[index]?.[key as keyof Decoded], value, `${path} ${key}`);
        }
      }
    }
  });

  it('is read by GNU tar as it was meant', () => {
    const file = join(dir, 'ours.tar');
    fs.writeFileSync(file, archiveOf(...headers));
    const listed = execFileSync('tar', ['--numeric-owner', '-tvf', file], { encoding: 'latin1' }).split('\n');
    assert.equal(listed.length, headers.length + 1);
    assert.match(listed[0] ?? '', /^-rw-r--r-- 1000\/4294967294 +0 2023-11-14/);
    assert.match(listed[1] ?? '', /^-rwsr-xr-x .* d{90}\/n{99}$/);
  });

  for (const format of ['v7', 'oldgnu', 'gnu', 'ustar', 'pax']) {
    it(`reads what GNU tar writes as ${format}`, () => {
      const tree = join(dir, format);
      fs.mkdirSync(join(tree, 'sub'), { recursive: true });
      fs.writeFileSync(join(tree, 'sub', 'file'), 'hello');
      fs.symlinkSync('file', join(tree, 'sub', 'link'));
      fs.linkSync(join(tree, 'sub', 'file'), join(tree, 'sub', 'twin'));
      const archive = execFileSync('tar', [`--format=${format}`, '--sort=name', '-C', tree, '-c', 'sub']);
      const entries = decode(archive);
      assert.deepEqual(
        entries.map(({ path, type, linkTarget }) => [path, type, linkTarget]),
        [
          ['sub/', 'directory', ''],
          ['sub/file', 'file', ''],
          ['sub/link', 'symlink', 'file'],
          ['sub/twin', 'hardlink', 'sub/file'],
        ],
      );
      assert.equal(entries[1]?.data.toString(), 'hello');
    });
  }

  for (const version of ['gnu', '0.0', '0.1', '1.0']) {
    it(`reads a sparse file of dialect ${version}`, () => {
      const name = `sparse-${version}`;
      const fd = fs.openSync(join(dir, name), 'w');
      for (let index = 0; index < 40; index++) fs.writeSync(fd, `extent ${index}`, index * 1_000_000);
      fs.ftruncateSync(fd, 50_000_000);
      fs.closeSync(fd);
      const dialect = version === 'gnu' ? ['--format=gnu'] : ['--format=pax', `--sparse-version=${version}`];
      const archive = execFileSync('tar', [...dialect, '-S', '-C', dir, '-c', name], { maxBuffer: 1 << 26 });
      for (const step of [archive.length, 100]) {
        const [entry] = decode(archive, step);
        assert.equal(entry?.path, name);
        assert.equal(entry.sizeBytes, 50_000_000);
        const whole = Buffer.alloc(entry.sizeBytes);
        let at = 0;
        for (const { offset, sizeBytes } of entry.sparse ?? []) {
          entry.data.copy(whole, offset, at, at + sizeBytes);
          at += sizeBytes;
        }
        assert.ok(whole.equals(fs.readFileSync(join(dir, name))));
      }
    });
  }

  it('reads times below a second and before the epoch from PAX records', () => {
    const at = (text: string) => decode(archiveOf(record('x', pax('mtime', text)), plain))[0]?.modified;
    assert.deepEqual(at('12.5'), { seconds: 12, nanoseconds: 500_000_000 });
    assert.deepEqual(at('-1.25'), { seconds: -2, nanoseconds: 750_000_000 });
    assert.deepEqual(at('1.1234567899'), { seconds: 1, nanoseconds: 123_456_789 });
    const written = encodeTarHeader(
      { ...plain, modified: { seconds: -2, nanoseconds: 750_000_000 } },
      { nanoseconds: true },
    );
    assert.deepEqual(decode(Buffer.concat([written, TAR_END]))[0]?.modified, {
      seconds: -2,
      nanoseconds: 750_000_000,
    });
  });

  it('reads base-256 numbers and refuses those that JavaScript cannot count', () => {
    const number = Buffer.alloc(12);
    number[0] = 0x80;
    number.writeBigUInt64BE(9_000_000_000n, 4);
    assert.throws(() => decode(archiveOf(rawBlock({ 124: number }))), /truncated/);
    const time = Buffer.alloc(12, 0xff);
    assert.equal(decode(archiveOf(rawBlock({ 136: time })))[0]?.modified.seconds, -1);
    number.fill(0xff, 1);
    number[0] = 0xbf;
    assert.throws(() => decode(archiveOf(rawBlock({ 124: number }))), /size is out of range/);
  });

  const refused: readonly [string, () => Buffer, RegExp][] = [
    [
      'a wrong checksum',
      () => archiveOf(Buffer.from(encodeTarHeader(plain)).fill('z', 0, 1)),
      /wrong checksum/,
    ],
    ['an unknown type', () => archiveOf(rawBlock({ 156: 'V' })), /entry type "V"/],
    ['a size that is no number', () => archiveOf(rawBlock({ 124: '9999999999z' })), /size is not a number/],
    ['a negative size', () => archiveOf(rawBlock({ 124: Buffer.alloc(12, 0xff) })), /size is negative/],
    [
      'a uid of 2^32-1',
      () => archiveOf(record('x', pax('uid', '4294967295')), plain),
      /uid 4294967295 is out of range/,
    ],
    ['a uid of 2^40', () => archiveOf(record('x', pax('uid', '1099511627776')), plain), /out of range/],
    ['a negative PAX gid', () => archiveOf(record('x', pax('gid', '-1')), plain), /gid "-1"/],
    [
      'PAX records over 1 MiB',
      () => archiveOf(record('x', pax('comment', 'x'.repeat(2 << 20))), plain),
      /exceed 1048576/,
    ],
    [
      'a long name over 1 MiB',
      () => archiveOf(record('L', 'x'.repeat((1 << 20) + 1)), plain),
      /exceed 1048576/,
    ],
    [
      'records that are too long together',
      () => archiveOf(record('L', 'x'.repeat(600_000)), record('K', 'x'.repeat(600_000)), plain),
      /exceed 1048576/,
    ],
    ['a PAX record of a wrong length', () => archiveOf(record('x', '99 path=a\n'), plain), /malformed PAX/],
    ['a PAX record without end', () => archiveOf(record('x', '10 path=abc'), plain), /malformed PAX/],
    ['a NUL in a PAX path', () => archiveOf(record('x', pax('path', 'a\0b')), plain), /NUL/],
    [
      'two PAX headers',
      () => archiveOf(record('x', pax('path', 'a')), record('x', pax('path', 'b')), plain),
      /two extended/,
    ],
    [
      "a size in a PAX record that is not the header's",
      () => archiveOf(record('x', pax('size', '512')), { ...plain, sizeBytes: 1024 }, Buffer.alloc(1024)),
      /size 1024 in the header, 512/,
    ],
    ['a global path', () => archiveOf(record('g', pax('path', 'a')), plain), /global/],
    ['records without an entry', () => archiveOf(record('x', pax('path', 'a'))), /without an entry/],
    [
      'a sparse map over 64 Ki extents',
      () =>
        archiveOf(
          record(
            'x',
            pax('GNU.sparse.size', '9000000') +
              pax('GNU.sparse.map', Array.from({ length: 65_537 }, (_, i) => `${i},0`).join(',')),
          ),
          plain,
        ),
      /more than 65536 extents/,
    ],
    [
      'a sparse map that overlaps',
      () =>
        archiveOf(
          record('x', pax('GNU.sparse.size', '100') + pax('GNU.sparse.map', '0,10,5,10')),
          { ...plain, sizeBytes: 20 },
          Buffer.alloc(512),
        ),
      /out of order/,
    ],
    [
      'a sparse map that disagrees with the data',
      () =>
        archiveOf(
          record('x', pax('GNU.sparse.size', '100') + pax('GNU.sparse.map', '0,10')),
          { ...plain, sizeBytes: 20 },
          Buffer.alloc(512),
        ),
      /does not match/,
    ],
    ['data after the end', () => Buffer.concat([archiveOf(plain), encodeTarHeader(plain)]), /after the end/],
    [
      'data after one zero block',
      () => Buffer.concat([Buffer.alloc(512), archiveOf(plain)]),
      /after the end/,
    ],
    ['a file cut short', () => encodeTarHeader({ ...plain, sizeBytes: 5 }), /truncated/],
    ['a header cut short', () => encodeTarHeader(plain).subarray(0, 300), /truncated/],
  ];
  for (const [what, make, message] of refused) {
    it(`refuses ${what}`, () => {
      assert.throws(() => decode(make()), { code: 'invalid_argument', message });
    });
  }

  it('accepts a missing end, global comments, and zeros after the end', () => {
    assert.equal(decode(encodeTarHeader(plain)).length, 1);
    const unpadded = Buffer.concat([encodeTarHeader({ ...plain, sizeBytes: 5 }), Buffer.from('hello')]);
    assert.equal(decode(unpadded).length, 1, 'the padding of the last entry is not content');
    assert.equal(decode(archiveOf(record('g', pax('comment', 'commit')), plain)).length, 1);
    assert.equal(decode(Buffer.concat([archiveOf(plain), Buffer.alloc(10_240 - 100)])).length, 1);
    assert.equal(decode(Buffer.alloc(0)).length, 0);
  });

  it('streams entries both ways and skips what is not read', async () => {
    const written = writeTar([
      { header: { ...plain, path: 'skipped' }, body: Buffer.alloc(5000, 1) },
      { header: { ...plain, path: 'read' }, body: Buffer.from('body') },
    ]);
    const seen: string[] = [];
    for await (const entry of readTar(written)) {
      if (entry.path === 'skipped') continue;
      const parts = await Array.fromAsync(entry.body);
      seen.push(`${entry.path}: ${Buffer.concat(parts)}`);
    }
    assert.deepEqual(seen, ['read: body']);
    const short = writeTar([
      {
        header: { ...plain, sizeBytes: 9 },
        body: (async function* () {
          yield Buffer.from('1');
        })(),
      },
    ]);
    await assert.rejects(Array.fromAsync(short), /its header says 9/);
  });

  it('keeps names that are not UTF-8 byte for byte', () => {
    for (const hex of ['ff', '61c328', 'e282ac', 'e282', 'f09f9880', 'eda080', 'c0af', 'efbbbf61']) {
      const bytes = Buffer.from(hex, 'hex');
      assert.equal(encodeName(decodeName(bytes)).toString('hex'), hex);
      assert.equal(JSON.parse(JSON.stringify(decodeName(bytes))), decodeName(bytes));
    }
  });
});
