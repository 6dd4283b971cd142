import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { file, folder, hardLink, type LayerEntry, link, tarOf } from '../../../test/support/layer-tar.ts';
import { LayerScan } from './scan.ts';
import { ImageTree } from './tree.ts';

function listOf(...entries: readonly LayerEntry[]): Buffer {
  const lines: string[] = [];
  const scan = new LayerScan((line) => void lines.push(line));
  const tar = tarOf(...entries);
  scan.write(tar, tar.length);
  scan.close();
  return gzipSync(lines.join(''));
}

function treeOf(...layers: readonly (readonly LayerEntry[])[]): ImageTree {
  return new ImageTree(layers.map((entries) => listOf(...entries)));
}

const names = (listing: { readonly entries: readonly { readonly path: string }[] }) =>
  listing.entries.map((entry) => entry.path);

describe('ImageTree.waste', () => {
  test('counts to the byte what later layers delete, replace, write again and empty', () => {
    const tree = treeOf(
      [
        file('lists/a', 'x'.repeat(1000)),
        file('lists/b', 'x'.repeat(24)),
        file('app/model', 'y'.repeat(500)),
        file('app/conf', 'old'),
        file('cache/one', 'z'.repeat(40)),
        file('cache/two', 'z'.repeat(2)),
        file('stays', 'kept'),
      ],
      [file('.wh.lists', ''), file('lists/new', 'n')],
      [
        file('app/model', 'y'.repeat(500), { mode: 0o600 }),
        file('app/conf', 'new!'),
        file('cache/.wh..wh..opq', ''),
        file('lists/new', 'm'),
      ],
    );
    assert.deepEqual(
      tree.waste.layers.map(({ wastedBytes, contentBytes, files, total }) => [
        wastedBytes,
        contentBytes,
        files,
        total,
      ]),
      [
        [1569, 1573, 7, 5],
        [1, 1, 1, 1],
        [0, 505, 3, 0],
      ],
    );
    assert.deepEqual(
      tree.waste.layers[0]?.paths.map(({ path, sizeBytes, files, kind, by }) => [
        path,
        sizeBytes,
        files,
        kind,
        by,
      ]),
      [
        ['lists', 1024, 2, 'deleted', 1],
        ['app/model', 500, 1, 'rewritten', 2],
        ['cache/one', 40, 1, 'deleted', 2],
        ['app/conf', 3, 1, 'replaced', 2],
        ['cache/two', 2, 1, 'deleted', 2],
      ],
    );
    assert.deepEqual([tree.waste.wastedBytes, tree.waste.contentBytes], [1570, 2079]);
    assert.deepEqual(names(tree.list(null, 'lists')), ['lists/new']);
  });

  test('counts what lies below a folder that becomes a file, and nothing for folders that stay', () => {
    const tree = treeOf(
      [folder('a'), file('a/b/c', '12345'), folder('keep'), file('keep/x', '1')],
      [file('a', 'now a file'), folder('keep', { mode: 0o700 })],
    );
    assert.deepEqual(
      tree.waste.layers[0]?.paths.map(({ path, sizeBytes, kind }) => [path, sizeBytes, kind]),
      [['a', 5, 'replaced']],
    );
    assert.equal(tree.list(null, '').entries[0]?.mode, 0o700, 'the folder has the mode of the later layer');
    assert.deepEqual(names(tree.list(null, 'keep')), ['keep/x'], 'and what was in it');
  });
});

describe('ImageTree.list', () => {
  test('shows folders first with the size of what is in them, and the layer each entry is from', () => {
    const tree = treeOf(
      [file('b', '123'), file('dir/x', '4567')],
      [file('dir/sub/y', '89', { uid: 5, gid: 6 })],
    );
    assert.deepEqual(
      tree
        .list(null, '/')
        .entries.map(({ path, type, sizeBytes, layer, children }) => [
          path,
          type,
          sizeBytes,
          layer,
          children,
        ]),
      [
        ['dir', 'd', 6, 0, 2],
        ['b', 'f', 3, 0, 0],
      ],
    );
    assert.deepEqual(
      tree.list(null, 'dir').entries.map(({ path, uid, gid, layer }) => [path, uid, gid, layer]),
      [
        ['dir/sub', 0, 0, 1],
        ['dir/x', 0, 0, 0],
      ],
    );
    assert.throws(() => tree.list(null, 'nosuch'), /no folder \/nosuch/);
    assert.throws(() => tree.list(7, ''), /no layer 7/);
  });

  test('shows one layer by itself, with marks where it deletes and empties', () => {
    const tree = treeOf(
      [file('etc/a', '1'), file('etc/b', '2')],
      [
        file('etc/.wh.a', ''),
        file('opt/.wh..wh..opq', ''),
        file('opt/new', '3'),
        file('gone/.wh..wh..opq', ''),
      ],
    );
    const kinds = (path: string) => tree.list(1, path).entries.map(({ path: at, type }) => `${at} ${type}`);
    assert.deepEqual(kinds(''), ['etc d', 'gone o', 'opt o']);
    assert.deepEqual(kinds('etc'), ['etc/a w']);
    assert.deepEqual(kinds('opt'), ['opt/new f']);
    assert.deepEqual(names(tree.list(null, 'etc')), ['etc/b']);
    assert.deepEqual(names(tree.list(0, 'etc')), ['etc/a', 'etc/b']);
  });

  test('a path that goes through a link of a lower layer replaces the link, as on a disk', () => {
    const tree = treeOf([folder('usr/lib'), link('lib', 'usr/lib')], [file('lib/x', '1')]);
    assert.deepEqual(names(tree.list(null, 'lib')), ['lib/x']);
  });
});

describe('ImageTree.find', () => {
  test('finds parts of paths in whichever case', () => {
    const tree = treeOf([file('usr/share/doc/README', '1'), file('usr/bin/read', '2'), file('x', '3')]);
    const found = tree.find(null, 'READ');
    assert.deepEqual([names(found), found.total], [['usr/bin/read', 'usr/share/doc/README'], 2]);
    assert.equal(tree.find(null, 'nothing').total, 0);
  });
});

describe('ImageTree.locate', () => {
  test('follows links inside the image, and hard links to the layer they name', () => {
    const tree = treeOf(
      [
        file('usr/bin/python3.11', 'elf'),
        link('usr/bin/python3', 'python3.11'),
        link('bin', '/usr/bin'),
        link('up', '../../../usr/bin/python3'),
        hardLink('usr/bin/python', './usr/bin/python3.11'),
      ],
      [link('opt/py', '../bin/python3')],
    );
    for (const path of ['usr/bin/python3', 'bin/python3', 'opt/py', 'up', 'bin/python3.11'])
      assert.equal(tree.locate(null, path).path, 'usr/bin/python3.11', path);
    const same = tree.locate(null, 'usr/bin/python3.11');
    assert.deepEqual({ ...tree.locate(null, 'bin/python'), path: same.path }, same);
  });

  test('refuses folders, devices, circles and what is not there', () => {
    const tree = treeOf([
      folder('d'),
      link('a', 'b'),
      link('b', 'a'),
      { path: 'p', type: 'fifo', mode: 0o644 },
    ]);
    assert.throws(() => tree.locate(null, 'd'), /\/d is no file with content/);
    assert.throws(() => tree.locate(null, 'p'), /\/p is no file with content/);
    assert.throws(() => tree.locate(null, 'a'), /circles/);
    assert.throws(() => tree.locate(null, 'd/../nosuch'), /there is no/);
  });
});
