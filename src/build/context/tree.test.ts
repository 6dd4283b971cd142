import assert from 'node:assert/strict';
import { closeSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createChangesets } from '#store/changeset/index.ts';
import type { Changesets } from '#store/changeset/types.ts';
import { file, folder, hardLink, type LayerEntry, link, tarOf } from '../../../test/support/layer-tar.ts';
import { openTree } from './tree.ts';
import type { Tree } from './types.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root: contexts are unpacked in a chroot';

let dir: string;
let changesets: Changesets;
let counter = 0;

before(() => {
  dir = mkdtempSync(join(tmpdir(), 'slipway-tree-'));
  changesets = createChangesets();
});
after(async () => {
  await changesets.close();
  rmSync(dir, { recursive: true, force: true });
});

async function withContext(entries: readonly LayerEntry[], body: (tree: Tree) => void): Promise<void> {
  const root = join(dir, String(counter++));
  const indexPath = `${root}.index`;
  writeFileSync(`${root}.tar`, tarOf(...entries));
  mkdirSync(root);
  await changesets.unpackLayer({
    source: { path: `${root}.tar` },
    compression: 'none',
    targetDir: root,
    whiteouts: 'literal',
    indexPath,
    owner: { uid: 0, gid: 0 },
  });
  const tree = openTree({ kind: 'index', root, indexPath });
  try {
    body(tree);
  } finally {
    tree.close();
  }
}

function read(tree: Tree, path: string): string | undefined {
  if (tree.find(path)?.type !== 'f') return undefined;
  const fd = tree.openFile(path);
  try {
    return readFileSync(fd, 'utf8');
  } finally {
    closeSync(fd);
  }
}

function listAll(tree: Tree, path = ''): string[] {
  return tree.list(path).flatMap((name) => {
    const below = path === '' ? name : `${path}/${name}`;
    return tree.find(below)?.type === 'd' ? [below, ...listAll(tree, below)] : [below];
  });
}

/** Archives whose entries lie behind links: the index has them by the names that they came under. */
const BEHIND_LINKS: readonly (readonly [string, (outside: string) => readonly LayerEntry[]])[] = [
  ['a file through a link', (out) => [link('way', out), file('way/victim', 'inside')]],
  ['a file through two links', (out) => [link('a', 'b'), link('b', out), file('a/victim', 'inside')]],
  [
    'a directory that became a link',
    (out) => [folder('way'), file('way/x'), link('way', out), file('way/victim', 'inside')],
  ],
  [
    'a hard link to a file whose directory became a link',
    (out) => [file('way/victim', 'inside'), hardLink('twin', 'way/victim'), link('way', out)],
  ],
  ['a link where a directory was only implied', (out) => [file('way/victim', 'inside'), link('way', out)]],
];

for (const [name, make] of BEHIND_LINKS)
  test(`a context shows nothing of the host: ${name}`, { skip }, async () => {
    const outside = join(dir, `outside-${counter++}`);
    mkdirSync(outside);
    writeFileSync(join(outside, 'victim'), 'from the host');
    await withContext(make(outside), (tree) => {
      assert.ok(listAll(tree).length > 0);
      for (const path of [...listAll(tree), 'way/victim', 'a/victim', 'b/victim', 'twin']) {
        assert.notEqual(read(tree, path), 'from the host', path);
        if (tree.find(path)?.type !== 'f') continue;
        const linkable = tree.findLinkable(path);
        if (linkable !== undefined) assert.equal(readFileSync(linkable, 'utf8'), 'inside', path);
      }
    });
  });

test('what lies behind a link is found where the link leads inside the context', { skip }, async () => {
  await withContext([folder('real'), link('way', 'real'), file('way/x', 'inside')], (tree) => {
    assert.deepEqual(listAll(tree), ['real', 'real/x', 'way']);
    assert.equal(read(tree, 'real/x'), 'inside');
    assert.equal(tree.find('way')?.linkTarget, 'real');
  });
});

test('a hard link is found however its target is written', { skip }, async () => {
  await withContext([file('a/b', 'same'), hardLink('one', './a//b'), hardLink('two', '/a/./b')], (tree) => {
    for (const path of ['a/b', 'one', 'two']) assert.equal(read(tree, path), 'same', path);
  });
});
