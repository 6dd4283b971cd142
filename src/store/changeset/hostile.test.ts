/** Layers and archives that were made to do harm: each is refused, or does what it does inside its target only. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs, { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { codeOf, messageOf } from '#base/errors/index.ts';
import { findXattr, listXattrs, setXattr } from '#base/posix/index.ts';
import {
  hardLink,
  type LayerEntry,
  link,
  file as plainFile,
  folder as plainFolder,
  tarOf,
} from '../../../test/support/layer-tar.ts';
import { createChangesets } from './index.ts';
import type { Changesets, UnpackOptions } from './types.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root: it makes device nodes and changes owners';
const MODES = ['overlay', 'apply', 'literal'] as const;

let dir: string;
let changesets: Changesets;
let counter = 0;

before(() => {
  dir = mkdtempSync(join(tmpdir(), 'slipway-hostile-'));
  changesets = createChangesets();
});
after(async () => {
  await changesets.close();
  rmSync(dir, { recursive: true, force: true });
});

type Entry = LayerEntry;
const file = (path: string, body = 'dead', more: Partial<Entry> = {}): Entry => plainFile(path, body, more);
const folder = (path: string, more: Partial<Entry> = {}): Entry =>
  plainFolder(path, { mode: 0o777, uid: 1234, gid: 1234, ...more });

/** A target with a victim beside it: `../outside` from the target's root. */
interface Scene {
  readonly root: string;
  readonly target: string;
  readonly outside: string;
}

function makeScene(): Scene {
  const root = join(dir, String(counter++));
  const [target, outside] = [join(root, 'target'), join(root, 'outside')];
  mkdirSync(target, { recursive: true });
  mkdirSync(join(outside, 'd'), { recursive: true });
  for (const path of ['victim', 'd/victim']) writeFileSync(join(outside, path), 'alive', { mode: 0o600 });
  for (const path of ['victim', 'd/victim', 'd', ''])
    fs.utimesSync(join(outside, path), 1_600_000_000, 1_600_000_000);
  return { root, target, outside };
}

/** Everything about the outside that a layer could have changed. */
function portrait({ root }: Scene): string {
  const format = '%P|%y|%m|%U|%G|%s|%T@|%n|%l\\n';
  const listing = execFileSync('find', [root, '-path', `${root}/target`, '-prune', '-o', '-printf', format]);
  const lines = listing
    .toString()
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('|') && !line.startsWith('layer.tar'));
  return lines
    .sort()
    .map((line) => {
      const path = join(root, line.split('|', 1)[0] ?? '');
      const content = fs.statSync(path).isFile() ? fs.readFileSync(path, 'utf8') : '';
      return `${line} ${content} ${listXattrs(path).join()}`;
    })
    .join('\n');
}

async function unpack(scene: Scene, tar: Buffer, options: Partial<UnpackOptions> = {}): Promise<void> {
  const path = join(scene.root, 'layer.tar');
  writeFileSync(path, tar);
  await changesets.unpackLayer({
    source: { path },
    compression: 'auto',
    whiteouts: 'overlay',
    targetDir: scene.target,
    ...options,
  });
}

const xattrs = new Map([['user.note', Buffer.from('dead')]]);
const chain = Array.from({ length: 45 }, (_, i) => link(`l${i}`, i === 0 ? '../outside' : `l${i - 1}`));

/** Kinds of entries that want to reach `outside`; `out` is one way there. */
const ATTACKS: readonly (readonly [string, (out: string) => readonly Entry[]])[] = [
  ['a file through a link', (out) => [link('way', out), file('way/victim')]],
  ['a file through a link to a file', (out) => [link('way', `${out}/victim`), file('way')]],
  ['a directory over a link', (out) => [link('way', out), folder('way')]],
  ['a directory below a link', (out) => [link('way', out), folder('way/d')]],
  ['a hard link to what a link leads to', (out) => [link('way', out), hardLink('x', 'way/victim')]],
  [
    'a hard link to a link, and bytes into it',
    (out) => [link('s', `${out}/victim`), hardLink('h', 's'), file('h')],
  ],
  ['a hard link that climbs', (out) => [hardLink('x', `${out}/victim`.replace(/^\//, ''))]],
  [
    'attributes through a link',
    (out) => [link('s', `${out}/victim`, { xattrs, uid: 1234 }), file('s', '', { xattrs })],
  ],
  ['a directory that becomes a link', (out) => [folder('w'), file('w/a'), link('w', out), file('w/victim')]],
  [
    'a link below a directory that becomes one',
    (out) => [folder('w'), link('w/x', out), link('w', 'w/x'), file('w/victim')],
  ],
  ['a twin in other letters', (out) => [link('Way', out), folder('way'), file('Way/victim')]],
  [
    'a twin in other code points',
    (out) => [link('w\u00e9', out), folder('we\u0301'), file('w\u00e9/victim')],
  ],
  ['a twin with a backslash', (out) => [link('w\\d', out), folder('w'), file('w\\d/victim')]],
  [
    'a twin with a slash at its end',
    (out) => [link('way', out), { ...link('way/', out) }, file('way/victim')],
  ],
  [
    'a device through a link',
    (out) => [
      link('way', out),
      { path: 'way/victim', type: 'char', mode: 0o666, deviceMajor: 1, deviceMinor: 5 },
    ],
  ],
  ['a fifo through a link', (out) => [link('way', out), { path: 'way/victim', type: 'fifo', mode: 0o666 }]],
  ['a link through a link', (out) => [link('way', out), link('way/victim', '/etc/shadow')]],
  ['a whiteout through a link', (out) => [link('way', out), file('way/.wh.victim', '')]],
  ['an opaque mark through a link', (out) => [link('way', out), file('way/.wh..wh..opq', '')]],
  ['a whiteout that climbs', (out) => [file(`${out}/.wh.victim`, '')]],
  ['a chain of links', () => [...chain, file('l44/victim')]],
  ['a circle of links', () => [link('a', 'b'), link('b', 'a'), file('a/victim')]],
  ['a link to itself', () => [link('a', 'a'), file('a/victim')]],
  ['a link to /proc of the helper', () => [link('p', '/proc/self/root'), file('p/victim')]],
  ['a link to a descriptor', () => [link('p', '/proc/self/fd/3'), file('p/../../victim')]],
  ['a name that climbs', (out) => [file(`${out}/victim`)]],
  ['a name that goes down and up', (out) => [folder('a'), file(`a/../${out}/victim`)]],
];

describe('what wants to leave its target', { skip }, () => {
  for (const [name, make] of ATTACKS)
    test(`${name} changes nothing outside`, async () => {
      for (const whiteouts of MODES)
        for (const way of ['relative', 'absolute', 'already there'] as const) {
          const scene = makeScene();
          const before = portrait(scene);
          const out = way === 'absolute' ? scene.outside : '../outside';
          // The link of an earlier layer or of the container itself, not of this archive.
          if (way === 'already there') fs.symlinkSync(scene.outside, join(scene.target, 'way'));
          try {
            await unpack(scene, tarOf(...make(out)), { whiteouts });
          } catch (error) {
            assert.equal(codeOf(error), 'invalid_argument', `${whiteouts}, ${way}: ${messageOf(error)}`);
          }
          assert.equal(portrait(scene), before, `${whiteouts}, ${way}`);
        }
    });

  test('links of a lower layer lead nowhere outside either', async () => {
    for (const out of ['../outside', undefined]) {
      const scene = makeScene();
      const before = portrait(scene);
      const lower = join(dir, `lower-${counter++}`);
      mkdirSync(lower);
      fs.symlinkSync(out ?? scene.outside, join(lower, 'way'));
      const hostile = [
        file('way/victim'),
        file('way/d/victim'),
        folder('way/d'),
        file('way/d/.wh.victim', ''),
      ];
      for (const entry of hostile)
        await unpack(scene, tarOf(entry), { lowerDirs: [lower] }).catch((error: unknown) =>
          assert.equal(codeOf(error), 'invalid_argument', messageOf(error)),
        );
      assert.equal(portrait(scene), before);
    }
  });

  test('below a directory of the target, links lead to the target and no further', async () => {
    const scene = makeScene();
    const before = portrait(scene);
    mkdirSync(join(scene.target, 'in'));
    fs.symlinkSync('/', join(scene.target, 'in/root'));
    fs.symlinkSync('../../outside', join(scene.target, 'in/out'));
    const options = { whiteouts: 'literal', under: 'in' } as const;
    await unpack(scene, tarOf(file('root/planted'), file('out/victim')), options);
    assert.equal(fs.readFileSync(join(scene.target, 'planted'), 'utf8'), 'dead');
    assert.equal(portrait(scene), before);
    await assert.rejects(unpack(scene, tarOf(file('../victim')), options), { code: 'invalid_argument' });
  });
});

const long = 'x'.repeat(256);
const REFUSED: readonly (readonly [string, readonly Entry[]])[] = [
  ['an absolute name that climbs', [file('/../victim')]],
  ['a name of dots only', [file('..')]],
  ['a part of more than 255 bytes', [file(`${long}/x`)]],
  ['a path of more than 4096 bytes', [file(Array.from({ length: 60 }, () => 'y'.repeat(100)).join('/'))]],
  ['a link to nothing', [link('x', '')]],
  ['a link of more than 4096 bytes', [link('x', 'z'.repeat(5000))]],
  ['a hard link to itself', [hardLink('x', 'x')]],
  ['a hard link to the root', [hardLink('x', '/')]],
  ['a hard link to a file that comes later', [hardLink('x', 'y'), file('y')]],
  ['a file in place of the root', [file('.')]],
  ['a whiteout of the directory itself', [file('a/.wh..', '')]],
  ['a whiteout of the directory above', [file('a/.wh...', '')]],
  ['a whiteout without a name', [file('a/.wh.', '')]],
  ['the same link twice', [link('x', 'a'), link('x', 'b')]],
  ['a name twice, once with dots', [file('x'), file('./x')]],
  ['a name twice, once absolute', [file('x'), file('/x')]],
  ['a name twice, once with two slashes', [file('a/x'), file('a//x')]],
  ['user 2^32-1', [file('x', '', { uid: 2 ** 32 - 1 })]],
  ['group 2^32', [file('x', '', { gid: 2 ** 32 })]],
  ['user 2^40', [file('x', '', { uid: 2 ** 40 })]],
  [
    'a capability that is none',
    [file('x', '', { xattrs: new Map([['security.capability', Buffer.from('x')]]) })],
  ],
];

for (const [name, entries] of REFUSED)
  test(`${name} is refused as the archive's fault`, { skip }, async () => {
    const scene = makeScene();
    await assert.rejects(unpack(scene, tarOf(...entries)), (error) => {
      assert.equal(codeOf(error), 'invalid_argument', messageOf(error));
      return true;
    });
  });

test('attributes of the kernel, of overlay and of the machine are not taken', { skip }, async () => {
  const scene = makeScene();
  const names = [
    'trusted.overlay.opaque',
    'trusted.overlay.redirect',
    'trusted.overlay.metacopy',
    'trusted.overlay.origin',
    'trusted.anything',
    'user.overlay.opaque',
    'user.overlay.redirect',
    'security.selinux',
    'security.ima',
    'system.posix_acl_access',
    'system.posix_acl_default',
  ];
  const all = new Map([...names, 'user.kept'].map((name) => [name, Buffer.from('y')]));
  for (const whiteouts of MODES) {
    const target = join(scene.target, whiteouts);
    mkdirSync(target);
    await unpack(scene, tarOf(file('f', '', { xattrs: all }), folder('d', { xattrs: all })), {
      targetDir: target,
      whiteouts,
    });
    assert.deepEqual(listXattrs(join(target, 'f')), ['user.kept']);
    assert.deepEqual(listXattrs(join(target, 'd')), ['user.kept']);
  }
});

test('devices and fifos are made as they are described, and nothing is read from them', {
  skip,
}, async () => {
  const scene = makeScene();
  await unpack(
    scene,
    tarOf(
      { path: 'zero', type: 'char', mode: 0o666, deviceMajor: 1, deviceMinor: 5 },
      { path: 'disk', type: 'block', mode: 0o660, deviceMajor: 8, deviceMinor: 0 },
      { path: 'pipe', type: 'fifo', mode: 0o600 },
      hardLink('pipe2', 'pipe'),
    ),
  );
  const stats = (name: string) => fs.lstatSync(join(scene.target, name));
  assert.equal(stats('zero').isCharacterDevice() && stats('zero').rdev === 0x105, true);
  assert.equal(stats('disk').isBlockDevice() && stats('disk').rdev === 0x800, true);
  assert.equal(stats('pipe').isFIFO() && stats('pipe').nlink === 2, true);
  const facts = await changesets.describeChangeset(
    { dir: scene.target, kind: 'overlay' },
    { indexPath: join(scene.root, 'index') },
  );
  assert.equal(facts.entries, 4);
  assert.equal(findXattr(scene.target, 'trusted.overlay.opaque'), undefined);
});

test('a tree that is packed against another shows nothing that a link of either leads to', {
  skip,
}, async () => {
  const scene = makeScene();
  const [older, newer] = [join(scene.root, 'older'), join(scene.root, 'newer')];
  for (const path of [older, newer]) mkdirSync(path);
  // Was a link to the host, is a directory; and a file that is just as the host's.
  fs.symlinkSync(scene.outside, join(older, 'way'));
  mkdirSync(join(newer, 'way'));
  fs.cpSync(join(scene.outside, 'victim'), join(newer, 'way/victim'), { preserveTimestamps: true });
  fs.chmodSync(join(newer, 'way/victim'), 0o600);
  fs.symlinkSync(scene.outside, join(newer, 'out'));
  const out = join(scene.root, 'against.tar');
  await changesets.packChangeset(
    { dir: newer, kind: 'plain', against: older },
    { format: 'none', outPath: out },
  );
  const names = execFileSync('tar', ['-tf', out]).toString().trim().split('\n');
  assert.deepEqual(names, ['out', 'way/', 'way/victim']);
});

for (const name of ['trusted.overlay.redirect', 'trusted.overlay.metacopy'])
  test(`a tree with the mark ${name} is not packed as if it were whole`, { skip }, async () => {
    const scene = makeScene();
    const path = join(scene.target, 'x');
    if (name.endsWith('redirect')) mkdirSync(path);
    else writeFileSync(path, '');
    setXattr(path, name, Buffer.from('/elsewhere'));
    const packing = changesets.describeChangeset(
      { dir: scene.target, kind: 'overlay' },
      { indexPath: join(scene.root, 'index') },
    );
    await assert.rejects(packing, { code: 'failed_precondition', message: new RegExp(`mark "${name}"`) });
  });
