/** What whiteouts in place and sparse files have to get right at their edges. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs, { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { file, folder, type LayerEntry, link, tarOf } from '../../../test/support/layer-tar.ts';
import { createChangesets } from './index.ts';
import type { Changesets } from './types.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root: it changes owners';

let dir: string;
let changesets: Changesets;
let counter = 0;

before(() => {
  dir = mkdtempSync(join(tmpdir(), 'slipway-edges-'));
  changesets = createChangesets();
});
after(async () => {
  await changesets.close();
  rmSync(dir, { recursive: true, force: true });
});

function freshDir(): string {
  const path = join(dir, String(counter++));
  mkdirSync(path);
  return path;
}

const opaque = (path: string): LayerEntry => file(`${path}/.wh..wh..opq`, '');
const gone = (path: string): LayerEntry => file(path.replace(/([^/]+)$/, '.wh.$1'), '');

/** Layers of one image from the bottom, and every path that is there in the end. */
const CASES: readonly (readonly [string, readonly LayerEntry[], readonly LayerEntry[], readonly string[]])[] =
  [
    [
      'an opaque mark after a directory of its own hides what that directory had',
      [folder('var'), folder('var/a'), file('var/a/old'), file('var/old')],
      [folder('var'), folder('var/a'), file('var/a/new'), opaque('var')],
      ['var', 'var/a', 'var/a/new'],
    ],
    [
      'an opaque mark after a directory that is only implied keeps what it brings',
      [folder('var'), file('var/a/old'), file('var/old')],
      [file('var/a/new'), opaque('var')],
      ['var', 'var/a', 'var/a/new'],
    ],
    [
      'an opaque mark before what it brings',
      [folder('var'), file('var/a/old')],
      [opaque('var'), file('var/a/new')],
      ['var', 'var/a', 'var/a/new'],
    ],
    [
      'a whiteout after what its directory brings, only implied',
      [file('x/old'), file('x/deep/old')],
      [file('x/deep/new'), gone('x')],
      ['x', 'x/deep', 'x/deep/new'],
    ],
    [
      'a whiteout after an entry of its directory',
      [file('x/old'), file('x/deep/old')],
      [folder('x'), file('x/new'), gone('x')],
      ['x', 'x/new'],
    ],
    ['a whiteout of a file that the layer brings again', [file('x')], [file('x', 'new'), gone('x')], ['x']],
    [
      'an opaque mark at the root',
      [file('a'), file('d/b')],
      [file('d/c'), file('.wh..wh..opq', '')],
      ['d', 'd/c'],
    ],
    ['an opaque mark where nothing was', [file('a')], [opaque('new')], ['a', 'new']],
    [
      'a whiteout of a link removes the link alone',
      [file('real/x'), link('way', 'real')],
      [gone('way')],
      ['real', 'real/x'],
    ],
    [
      'an opaque mark at a link puts a directory there',
      [file('real/x'), link('way', 'real')],
      [opaque('way'), file('way/new')],
      ['real', 'real/x', 'way', 'way/new'],
    ],
    [
      'names that are no UTF-8 are removed too',
      [file('d/a\udcff')],
      [opaque('d'), file('d/new')],
      ['d', 'd/new'],
    ],
  ];

describe('whiteouts in place', { skip }, () => {
  for (const [name, lower, upper, wanted] of CASES)
    test(name, async () => {
      const target = freshDir();
      for (const entries of [lower, upper]) {
        const path = join(dir, `${counter++}.tar`);
        writeFileSync(path, tarOf(...entries));
        await changesets.unpackLayer({
          source: { path },
          compression: 'none',
          targetDir: target,
          whiteouts: 'apply',
        });
      }
      const found = execFileSync('find', [target, '-mindepth', '1', '-printf', '%P\\n']).toString();
      assert.deepEqual(found.trim().split('\n').sort(), wanted);
    });
});

for (const format of ['gnu', 'posix'] as const)
  test(`the index knows the content of a sparse file, holes and all (${format})`, { skip }, async () => {
    const tree = freshDir();
    const fd = fs.openSync(join(tree, 'holes'), 'w');
    for (const at of [0, 1_000_000, 1_500_000, 5_000_000])
      fs.writeSync(fd, Buffer.alloc(70_000, at % 251), 0, 70_000, at);
    fs.ftruncateSync(fd, 6_000_000);
    fs.closeSync(fd);
    fs.truncateSync(join(tree, 'holes'), 6_000_001);
    const empty = fs.openSync(join(tree, 'nothing'), 'w');
    fs.ftruncateSync(empty, 3_000_000);
    fs.closeSync(empty);
    const path = join(dir, `sparse-${format}.tar`);
    execFileSync('tar', ['-S', `--format=${format}`, '-C', tree, '-cf', path, 'holes', 'nothing']);
    assert.ok(fs.statSync(path).size < 1_000_000);
    const indexPath = join(dir, `sparse-${format}.index`);
    const target = freshDir();
    await changesets.unpackLayer({
      source: { path },
      compression: 'none',
      targetDir: target,
      whiteouts: 'overlay',
      indexPath,
    });
    const lines = readFileSync(indexPath, 'utf8').trim().split('\n');
    for (const line of lines) {
      const [name, , sizeBytes, , , digest] = JSON.parse(line) as [
        string,
        string,
        number,
        string,
        number,
        string,
      ];
      const content = readFileSync(join(tree, name));
      assert.deepEqual(readFileSync(join(target, name)), content);
      assert.equal(sizeBytes, content.length);
      assert.equal(digest, `sha256:${createHash('sha256').update(content).digest('hex')}`);
    }
    assert.equal(lines.length, 2);
  });
