import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import fs, {
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { codeOf, messageOf } from '#base/errors/index.ts';
import { findXattr, makeNode, setXattr } from '#base/posix/index.ts';
import { encodeTarHeader, TAR_END, type TarHeaderInput } from '#base/tar/index.ts';
import { createChangesets } from './index.ts';
import type { Changesets, UnpackOptions } from './types.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root: it makes device nodes and changes owners';

let dir: string;
let changesets: Changesets;
let counter = 0;

before(() => {
  dir = mkdtempSync(join(tmpdir(), 'slipway-changeset-'));
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

function tarOf(...entries: readonly (TarHeaderInput & { readonly body?: string | Buffer })[]): Buffer {
  const parts: Buffer[] = [];
  for (const { body, ...header } of entries) {
    const bytes = Buffer.from(body ?? '');
    parts.push(
      encodeTarHeader({ ...header, sizeBytes: bytes.length }),
      bytes,
      Buffer.alloc((512 - (bytes.length % 512)) % 512),
    );
  }
  return Buffer.concat([...parts, TAR_END]);
}

async function unpack(tar: Buffer, options: Partial<UnpackOptions> = {}): Promise<string> {
  const path = join(dir, `${counter++}.tar`);
  writeFileSync(path, tar);
  const targetDir = options.targetDir ?? freshDir();
  await changesets.unpackLayer({
    source: { path },
    compression: 'auto',
    whiteouts: 'overlay',
    ...options,
    targetDir,
  });
  return targetDir;
}

const file = (
  path: string,
  body = 'x',
  more: Partial<TarHeaderInput> = {},
): TarHeaderInput & { body: string } => ({ path, type: 'file', mode: 0o644, body, ...more });

/** A tree with one of everything. */
function makeTree(): string {
  const tree = freshDir();
  mkdirSync(join(tree, 'sub/deep'), { recursive: true });
  writeFileSync(join(tree, 'plain'), 'hello');
  writeFileSync(join(tree, 'sub/owned'), 'owned');
  fs.chownSync(join(tree, 'sub/owned'), 1234, 5678);
  writeFileSync(join(tree, 'suid'), '#!');
  fs.chmodSync(join(tree, 'suid'), 0o4755);
  symlinkSync('../nowhere', join(tree, 'sub/link'));
  fs.linkSync(join(tree, 'plain'), join(tree, 'sub/hard'));
  execFileSync('mkfifo', [join(tree, 'fifo')]);
  makeNode(join(tree, 'null'), fs.constants.S_IFCHR | 0o666, 0x103n);
  setXattr(join(tree, 'suid'), 'user.note', Buffer.from('kept'));
  setXattr(
    join(tree, 'suid'),
    'security.capability',
    Buffer.from('0100000200040000000000000000000000000000', 'hex'),
  );
  writeFileSync(join(tree, `sub/deep/${'long'.repeat(40)}`), 'long');
  writeFileSync(join(tree, 'sub/ünïcode'), 'utf8');
  fs.chmodSync(join(tree, 'sub/deep'), 0o1777);
  fs.utimesSync(join(tree, 'sub'), 1_600_000_000, 1_600_000_000);
  return tree;
}

function describe(tree: string): string {
  const command = `cd ${JSON.stringify(tree)} && find . -mindepth 1 -printf '%P|%y|%m|%U|%G|%s|%T@|%n|%l\\n' | sed 's/\\.0*|/|/' | sort`;
  const lines = execFileSync('bash', ['-c', command]).toString();
  return lines.replace(/^([^|]*\|d\|[^|]*\|[^|]*\|[^|]*\|)[^|]*/gm, '$1').replace(/\.\d+\|/g, '|');
}

test('packing, unpacking and packing again gives the same diffID and the same tree', { skip }, async () => {
  const tree = makeTree();
  const first = await changesets.describeChangeset(
    { dir: tree, kind: 'plain' },
    { indexPath: join(dir, 'one') },
  );
  const target = freshDir();
  const stream = changesets.streamChangeset({ dir: tree, kind: 'plain' });
  const unpacked = await changesets.unpackLayer({
    source: { stream },
    compression: 'none',
    targetDir: target,
    whiteouts: 'overlay',
  });
  assert.equal(unpacked.diffId, first.diffId);
  assert.equal(describe(target), describe(tree));
  assert.equal(findXattr(join(target, 'suid'), 'user.note')?.toString(), 'kept');
  assert.equal(findXattr(join(target, 'suid'), 'security.capability')?.length, 20);
  const again = await changesets.describeChangeset(
    { dir: target, kind: 'plain' },
    { indexPath: join(dir, 'two') },
  );
  assert.equal(again.diffId, first.diffId);
  assert.equal(readFileSync(join(dir, 'one'), 'utf8'), readFileSync(join(dir, 'two'), 'utf8'));
});

test('an archive that is no layer is not hashed as a whole, and a layer after it is', { skip }, async () => {
  const path = join(dir, 'both.tar');
  const tar = tarOf(file('a', 'one'), file('b', 'x'.repeat(100_000)));
  writeFileSync(path, tar);
  const index = join(dir, 'both-index');
  const common = { source: { path }, compression: 'none' } as const;
  const archive = await changesets.unpackLayer({
    ...common,
    targetDir: freshDir(),
    whiteouts: 'literal',
    indexPath: index,
  });
  assert.equal(archive.diffId, undefined);
  assert.equal(archive.tarSizeBytes, tar.length);
  const one = createHash('sha256').update('one').digest('hex');
  assert.match(readFileSync(index, 'utf8'), new RegExp(`^\\["a","f",3,"644",512,"sha256:${one}"\\]`));
  const layer = await changesets.unpackLayer({ ...common, targetDir: freshDir(), whiteouts: 'overlay' });
  assert.equal(layer.diffId, `sha256:${createHash('sha256').update(tar).digest('hex')}`);
});

test('GNU tar reads what is packed, and what GNU tar packs is read the same', { skip }, async () => {
  const tree = makeTree();
  const ours = join(dir, 'ours.tar');
  const packed = await changesets.packChangeset(
    { dir: tree, kind: 'plain' },
    { format: 'none', outPath: ours },
  );
  assert.equal(packed.digest, `sha256:${createHash('sha256').update(readFileSync(ours)).digest('hex')}`);
  const theirs = freshDir();
  execFileSync('tar', ['--xattrs', '--xattrs-include=*', '-xpf', ours, '-C', theirs]);
  assert.equal(describe(theirs), describe(tree));
  for (const format of ['gnu', 'posix']) {
    const path = join(dir, `${format}.tar`);
    execFileSync('tar', [`--format=${format}`, '--numeric-owner', '-C', tree, '-cf', path, '.']);
    const target = freshDir();
    await changesets.unpackLayer({
      source: { path },
      compression: 'none',
      targetDir: target,
      whiteouts: 'overlay',
    });
    assert.equal(describe(target), describe(tree), format);
  }
});

for (const format of ['gzip', 'zstd'] as const) {
  test(`a layer packed with ${format} unpacks to the same diffID, with the digest of its bytes`, {
    skip,
  }, async () => {
    const tree = makeTree();
    writeFileSync(join(tree, 'big'), Buffer.alloc(20_000_000, 'slipway '));
    const outPath = join(dir, `packed.${format}`);
    const packed = await changesets.packChangeset({ dir: tree, kind: 'plain' }, { format, outPath });
    assert.equal(packed.sizeBytes, statSync(outPath).size);
    assert.equal(packed.digest, `sha256:${createHash('sha256').update(readFileSync(outPath)).digest('hex')}`);
    const facts = await changesets.unpackLayer({
      source: { path: outPath },
      compression: 'auto',
      targetDir: freshDir(),
      whiteouts: 'overlay',
    });
    assert.equal(facts.diffId, packed.diffId);
    await assert.rejects(
      changesets.packChangeset(
        { dir: freshDir(), kind: 'plain' },
        { format, outPath, expect: packed.diffId },
      ),
      (error) => codeOf(error) === 'data_loss',
    );
  });
}

test('whiteouts become overlay devices and marks, and come back as whiteouts', { skip }, async () => {
  const tar = tarOf(
    { path: 'etc/', type: 'directory', mode: 0o755 },
    file('etc/.wh.gone', ''),
    { path: 'var/', type: 'directory', mode: 0o755 },
    file('var/.wh..wh..opq', ''),
    file('var/new'),
  );
  const target = await unpack(tar);
  const stats = fs.lstatSync(join(target, 'etc/gone'));
  assert.equal(stats.isCharacterDevice() && stats.rdev === 0, true);
  assert.equal(findXattr(join(target, 'var'), 'trusted.overlay.opaque')?.toString(), 'y');
  const out = join(dir, 'whiteouts.tar');
  await changesets.packChangeset({ dir: target, kind: 'overlay' }, { format: 'none', outPath: out });
  const names = execFileSync('tar', ['-tf', out]).toString().trim().split('\n');
  assert.deepEqual(names, ['etc/', 'etc/.wh.gone', 'var/', 'var/.wh..wh..opq', 'var/new']);
});

test('whiteouts delete in place for the copy driver, but never what the same layer brings', {
  skip,
}, async () => {
  const target = freshDir();
  mkdirSync(join(target, 'var'));
  for (const name of ['gone', 'var/old', 'kept']) writeFileSync(join(target, name), 'x');
  await unpack(tarOf(file('.wh.gone', ''), file('var/new'), file('var/.wh..wh..opq', '')), {
    targetDir: target,
    whiteouts: 'apply',
  });
  assert.deepEqual(fs.readdirSync(target).sort(), ['kept', 'var']);
  assert.deepEqual(fs.readdirSync(join(target, 'var')), ['new']);
});

test('against another tree only differences are packed, with their parents and with what is gone', {
  skip,
}, async () => {
  const [before, now] = [makeTree(), freshDir()];
  execFileSync('cp', ['-a', `${before}/.`, now]);
  writeFileSync(join(now, 'sub/deep/added'), 'new');
  rmSync(join(now, 'plain'));
  const out = join(dir, 'against.tar');
  await changesets.packChangeset(
    { dir: now, kind: 'plain', against: before },
    { format: 'none', outPath: out },
  );
  const names = execFileSync('tar', ['-tf', out]).toString().trim().split('\n');
  assert.deepEqual(names, ['sub/', 'sub/deep/', 'sub/deep/added', '.wh.plain']);
});

test('a hard link to a file of a lower layer brings a copy of it', { skip }, async () => {
  const lower = freshDir();
  mkdirSync(join(lower, 'bin'), { mode: 0o711 });
  writeFileSync(join(lower, 'bin/tool'), 'tool', { mode: 0o755 });
  const target = await unpack(
    tarOf({ path: 'bin/alias', type: 'hardlink', mode: 0o755, linkTarget: 'bin/tool' }),
    { lowerDirs: [lower] },
  );
  assert.equal(readFileSync(join(target, 'bin/alias'), 'utf8'), 'tool');
  assert.equal(statSync(join(target, 'bin')).mode & 0o777, 0o711, 'an implied parent is as it is below');
  assert.equal(statSync(join(lower, 'bin/tool')).nlink, 1);
});

test('a sparse file keeps its holes and its size', { skip }, async () => {
  const tree = freshDir();
  execFileSync(
    'bash',
    ['-c', 'truncate -s 64M hole && printf end | dd of=hole bs=1 seek=33554432 conv=notrunc status=none'],
    { cwd: tree },
  );
  const path = join(dir, 'sparse.tar');
  execFileSync('tar', ['-S', '-C', tree, '-cf', path, 'hole']);
  const target = freshDir();
  await changesets.unpackLayer({
    source: { path },
    compression: 'none',
    targetDir: target,
    whiteouts: 'overlay',
  });
  const stats = statSync(join(target, 'hole'));
  assert.equal(stats.size, 64 * 1024 * 1024);
  assert.equal(stats.blocks * 512 < 1024 * 1024, true);
  assert.equal(readFileSync(join(target, 'hole')).equals(readFileSync(join(tree, 'hole'))), true);
});

const hostile: readonly [string, () => Buffer][] = [
  ['a name that climbs', () => tarOf(file('../canary'))],
  ['a name that climbs inside', () => tarOf(file('a/../../canary'))],
  [
    'a hard link that climbs',
    () => tarOf({ path: 'x', type: 'hardlink', mode: 0o644, linkTarget: '../canary' }),
  ],
  [
    'a hard link to nothing',
    () => tarOf({ path: 'x', type: 'hardlink', mode: 0o644, linkTarget: 'missing' }),
  ],
  [
    'a hard link to a directory',
    () =>
      tarOf(
        { path: 'd', type: 'directory', mode: 0o755 },
        { path: 'x', type: 'hardlink', mode: 0o644, linkTarget: 'd' },
      ),
  ],
  ['the same file twice', () => tarOf(file('x'), file('x', 'y'))],
  ['a whiteout of the parent', () => tarOf(file('.wh...', ''))],
  ['an empty whiteout', () => tarOf(file('d/.wh.', ''))],
  ['a device that is a whiteout', () => tarOf({ path: 'x', type: 'char', mode: 0o666 })],
  ['a user id past 32 bits', () => tarOf(file('x', 'x', { uid: 2 ** 32 }))],
  ['an archive cut in the middle', () => tarOf(file('x', 'x'.repeat(5000))).subarray(0, 2000)],
  ['gzip cut in the middle', () => gzipSync(tarOf(file('x', 'x'.repeat(100_000)))).subarray(0, 100)],
  [
    'gzip with a wrong checksum',
    () =>
      Buffer.from(gzipSync(tarOf(file('x'))).map((byte, i, all) => (i === all.length - 6 ? byte ^ 1 : byte))),
  ],
  [
    'gzip with other bytes behind it',
    () => Buffer.concat([gzipSync(tarOf(file('x'))), Buffer.from('garbage')]),
  ],
  ['a file where a directory is needed', () => tarOf(file('a'), file('a/b'))],
  [
    'a directory after a file of its name',
    () => tarOf(file('a'), { path: 'a/', type: 'directory', mode: 0o755 }),
  ],
  [
    'a file after a directory of its name',
    () => tarOf({ path: 'a/', type: 'directory', mode: 0o755 }, file('a')),
  ],
  ['noise', () => Buffer.from('this is no archive at all'.repeat(100))],
];

for (const [what, make] of hostile) {
  test(`${what} is refused and nothing outside is touched`, { skip }, async () => {
    const canary = join(dir, 'canary');
    writeFileSync(canary, 'alive');
    await assert.rejects(unpack(make()), (error) => {
      assert.equal(codeOf(error), 'invalid_argument', messageOf(error));
      return true;
    });
    assert.equal(readFileSync(canary, 'utf8'), 'alive');
    assert.equal(statSync(canary).nlink, 1);
  });
}

test('links out of the layer are followed only inside it', { skip }, async () => {
  const outside = freshDir();
  writeFileSync(join(outside, 'victim'), 'alive', { mode: 0o600 });
  const target = await unpack(
    tarOf(
      { path: 'way', type: 'symlink', mode: 0o777, linkTarget: outside },
      file('way/victim', 'dead'),
      { path: 'root', type: 'symlink', mode: 0o777, linkTarget: '/' },
      file('root/etc/planted', 'here'),
    ),
  );
  assert.equal(readFileSync(join(outside, 'victim'), 'utf8'), 'alive');
  assert.equal(readFileSync(join(target, 'etc/planted'), 'utf8'), 'here');
  assert.equal(existsSync('/etc/planted'), false);
});

test('attributes of overlay itself are not taken from a layer', { skip }, async () => {
  const xattrs = new Map([
    ['trusted.overlay.redirect', Buffer.from('/etc')],
    ['user.fine', Buffer.from('1')],
  ]);
  const target = await unpack(tarOf({ path: 'd', type: 'directory', mode: 0o755, xattrs }));
  assert.equal(findXattr(join(target, 'd'), 'trusted.overlay.redirect'), undefined);
  assert.equal(findXattr(join(target, 'd'), 'user.fine')?.toString(), '1');
});

test('limits on bytes and entries hold', { skip }, async () => {
  const tar = tarOf(file('a', 'x'.repeat(3000)), file('b', 'x'.repeat(3000)));
  await assert.rejects(
    unpack(tar, { limits: { bytes: 5000 } }),
    (error) => codeOf(error) === 'resource_exhausted',
  );
  await assert.rejects(
    unpack(tar, { limits: { inodes: 1 } }),
    (error) => codeOf(error) === 'resource_exhausted',
  );
});

test('an archive of files may hold a name twice: the last one counts', { skip }, async () => {
  const target = await unpack(tarOf(file('x', 'first'), file('x', 'second')), { whiteouts: 'literal' });
  assert.equal(readFileSync(join(target, 'x'), 'utf8'), 'second');
});

test('a fifo in place of a layer is refused without waiting', { skip }, async () => {
  const path = join(dir, 'pipe');
  execFileSync('mkfifo', [path]);
  const unpacking = changesets.unpackLayer({
    source: { path },
    compression: 'auto',
    targetDir: freshDir(),
    whiteouts: 'overlay',
  });
  await assert.rejects(unpacking, { message: 'the layer is not a regular file' });
});

test('a stream that fails, and an abort, end the job with their reason; the next job works', {
  skip,
}, async () => {
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield tarOf(file('x')).subarray(0, 600);
    throw new Error('the network is gone');
  }
  const target = freshDir();
  const options = { compression: 'none', targetDir: target, whiteouts: 'overlay' } as const;
  await assert.rejects(changesets.unpackLayer({ ...options, source: { stream: failing() } }), {
    message: 'the network is gone',
  });
  const controller = new AbortController();
  async function* endless(): AsyncGenerator<Uint8Array> {
    yield encodeTarHeader({ path: 'x', type: 'file', mode: 0o644, sizeBytes: 2 ** 33 });
    setTimeout(() => controller.abort(new Error('enough')), 30);
    for (;;) yield Buffer.alloc(65_536);
  }
  await assert.rejects(
    changesets.unpackLayer({ ...options, source: { stream: endless() }, signal: controller.signal }),
    { message: 'enough' },
  );
  const fine = createReadStream(join(dir, 'whiteouts.tar'));
  await changesets.unpackLayer({ ...options, targetDir: freshDir(), source: { stream: fine } });
});

test('a changeset that is not read to its end does no harm to the next', { skip }, async () => {
  const tree = freshDir();
  writeFileSync(join(tree, 'big'), Buffer.alloc(5_000_000));
  for await (const chunk of changesets.streamChangeset({ dir: tree, kind: 'plain' })) {
    assert.equal(chunk.length > 0, true);
    break;
  }
  let total = 0;
  for await (const chunk of changesets.streamChangeset({ dir: tree, kind: 'plain' })) total += chunk.length;
  assert.equal(total, 512 + 5_000_192 + 1024);
});

test('several gzip members in a row are one layer', { skip }, async () => {
  const tar = tarOf(file('x', 'hello'));
  const target = await unpack(Buffer.concat([gzipSync(tar.subarray(0, 600)), gzipSync(tar.subarray(600))]));
  assert.equal(readFileSync(join(target, 'x'), 'utf8'), 'hello');
});

test('a hole that grows a small archive a thousandfold is refused', { skip }, async () => {
  const tree = freshDir();
  execFileSync('truncate', ['-s', '1T', join(tree, 'hole')]);
  const path = join(dir, 'hole.tar');
  execFileSync('tar', ['-S', '-C', tree, '-cf', path, 'hole']);
  const options = { compression: 'none', targetDir: freshDir(), whiteouts: 'overlay' } as const;
  await assert.rejects(
    changesets.unpackLayer({ ...options, source: { path } }),
    (error) => codeOf(error) === 'invalid_argument',
  );
  await assert.rejects(
    changesets.unpackLayer({ ...options, targetDir: freshDir(), source: { stream: createReadStream(path) } }),
    (error) => codeOf(error) === 'invalid_argument',
  );
});

for (const [order, entries] of [
  ['before', [file('.wh.x', ''), { path: 'x/', type: 'directory', mode: 0o755 } as const, file('x/new')]],
  ['after', [{ path: 'x/', type: 'directory', mode: 0o755 } as const, file('x/new'), file('.wh.x', '')]],
  ['before, the directory only implied', [file('.wh.x', ''), file('x/new')]],
] as const) {
  test(`a whiteout ${order} a directory of its name hides what the layers below have in it`, {
    skip,
  }, async () => {
    const target = await unpack(tarOf(...entries));
    assert.equal(findXattr(join(target, 'x'), 'trusted.overlay.opaque')?.toString(), 'y');
    assert.equal(readFileSync(join(target, 'x/new'), 'utf8'), 'x');
  });
}

test('a link of a lower layer is the way for what a layer puts below it', { skip }, async () => {
  const lower = freshDir();
  mkdirSync(join(lower, 'usr/lib'), { recursive: true });
  fs.chmodSync(join(lower, 'usr/lib'), 0o711);
  symlinkSync('usr/lib', join(lower, 'lib'));
  const target = await unpack(tarOf(file('lib/foo')), { lowerDirs: [lower] });
  assert.equal(fs.readlinkSync(join(target, 'lib')), 'usr/lib');
  assert.equal(readFileSync(join(target, 'usr/lib/foo'), 'utf8'), 'x');
  assert.equal(statSync(join(target, 'usr/lib')).mode & 0o777, 0o711);
});

test('labels of the machine that made a layer are not taken from it', { skip }, async () => {
  const xattrs = new Map([['security.selinux', Buffer.from('system_u:object_r:bin_t:s0')]]);
  const target = await unpack(tarOf(file('x', 'x', { xattrs })));
  assert.equal(findXattr(join(target, 'x'), 'security.selinux'), undefined);
});

test('a tree whose directories turn into links while it is packed gives nothing from outside', {
  skip,
}, async () => {
  const [tree, outside] = [freshDir(), freshDir()];
  for (const base of [tree, outside]) mkdirSync(join(base, 'd'));
  writeFileSync(join(outside, 'd/secret'), 'from outside');
  writeFileSync(join(tree, 'd/secret'), 'from inside!');
  symlinkSync(join(outside, 'd'), join(tree, 'link'));
  const script = `import { renameSync } from 'node:fs'; for (const end = Date.now() + 1500; Date.now() < end; ) { renameSync('d', 't'); renameSync('link', 'd'); renameSync('d', 'link'); renameSync('t', 'd'); }`;
  const racer = spawn(process.execPath, ['--input-type=module', '-e', script], {
    cwd: tree,
    stdio: 'ignore',
  });
  const ended = once(racer, 'exit');
  let packed = 0;
  while (racer.exitCode === null && packed < 200) {
    const out = join(dir, 'race.tar');
    await changesets
      .packChangeset({ dir: tree, kind: 'plain' }, { format: 'none', outPath: out })
      .catch(() => {});
    assert.equal(existsSync(out) && readFileSync(out).includes('from outside'), false);
    packed++;
  }
  racer.kill('SIGKILL');
  await ended;
  assert.ok(packed > 0);
});
