import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { file, folder, hardLink, link, tarOf } from '../../../test/support/layer-tar.ts';
import { decodeEntries } from './entries.ts';
import { LayerScan, type ScanFacts } from './scan.ts';

function scan(
  tar: Buffer,
  readBytes = tar.length,
): { readonly lines: readonly string[]; readonly facts: ScanFacts } {
  const lines: string[] = [];
  const scanner = new LayerScan((line) => void lines.push(line));
  scanner.write(tar, readBytes);
  return { lines, facts: scanner.close() };
}

describe('LayerScan', () => {
  test('lists entries with owner, mode, place and whiteouts, and decodeEntries reads the list back', () => {
    const tar = tarOf(
      folder('./etc'),
      file('./etc/passwd', 'root', { mode: 0o644, uid: 1, gid: 2, modified: { seconds: 7, nanoseconds: 0 } }),
      file('etc/.wh.shadow', ''),
      file('var/.wh..wh..opq', ''),
      file('.wh..wh.plnk/x', ''),
      link('bin/sh', 'busybox'),
      hardLink('bin/ash', 'etc/passwd'),
    );
    const { lines, facts } = scan(tar);
    const entries = [...decodeEntries(gzipSync(lines.join('')))];
    assert.deepEqual(
      entries.map(({ path, type }) => `${path} ${type}`),
      ['etc d', 'etc/passwd f', 'etc/shadow w', 'var o', 'bin/sh l', 'bin/ash h'],
    );
    const passwd = entries[1];
    assert.deepEqual(
      [passwd?.mode, passwd?.uid, passwd?.gid, passwd?.modifiedSeconds, passwd?.sizeBytes],
      [0o644, 1, 2, 7, 4],
    );
    const at = passwd?.offset ?? 0;
    assert.equal(tar.toString('utf8', at, at + 4), 'root', 'the offset is where the content is');
    assert.equal(entries[5]?.link, 'etc/passwd');
    assert.deepEqual([facts.entries, facts.contentBytes], [6, 4]);
  });

  test('refuses what could not be unpacked either', () => {
    const hostile: readonly (readonly [Buffer, RegExp])[] = [
      [tarOf(file('../etc/passwd')), /climbs with "\.\."/],
      [tarOf(file('a/.wh./b')), /whiteout/],
      [tarOf(file(`${'d/'.repeat(2100)}x`)), /longer than 4096/],
      [tarOf(file('a', 'x'.repeat(600))).subarray(0, 700), /truncated/],
      [Buffer.alloc(2048, 'not a tar '), /checksum/],
    ];
    for (const [tar, message] of hostile) assert.throws(() => scan(tar), message);
  });

  test('refuses a layer that grows without measure', () => {
    const scanner = new LayerScan(() => {});
    const head = tarOf(file('zeros', '', {})).subarray(0, 512);
    const chunk = Buffer.alloc(64 * 1024 * 1024);
    // A header that announces 2 GiB, and zeros: four megabytes of gzip at most.
    head.write('20000000000\0', 124, 'latin1');
    head.write('        ', 148, 'latin1');
    const sum = head.reduce((total, byte) => total + byte, 0);
    head.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    scanner.write(head, 1000);
    assert.throws(() => {
      for (let at = 0; at < 24; at++) scanner.write(chunk, 100_000);
    }, /more than 1000 times its size/);
  });
});
