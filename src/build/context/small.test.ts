import assert from 'node:assert/strict';
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { encodeTarHeader, paddingOf, TAR_END, type TarHeaderInput } from '#base/tar/index.ts';
import { createChangesets } from '#store/changeset/index.ts';
import { NEEDS_ROOT } from '../../../test/support/store.ts';
import { SMALL_BYTES, unpackSmall } from './small.ts';

type Entry = Partial<TarHeaderInput> & { readonly path: string; readonly text?: string };

function archive(...entries: readonly Entry[]): Buffer {
  const parts = entries.flatMap(({ text, ...header }) => {
    const body = Buffer.from(text ?? '');
    const full = { type: 'file', mode: 0o644, ...header, sizeBytes: body.length } as TarHeaderInput;
    return [encodeTarHeader(full), body, Buffer.alloc(paddingOf(body.length))];
  });
  return Buffer.concat([...parts, TAR_END]);
}

async function withFolders(body: (make: (name: string) => string) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'slipway-small-'));
  try {
    await body((name) => {
      mkdirSync(join(dir, name), { mode: 0o755 });
      return join(dir, name);
    });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Everything in a tree: kind, mode, owner, content, and the times that did not come about just now. */
function describeTree(root: string): readonly unknown[] {
  return ['', ...(readdirSync(root, { recursive: true }) as string[])].sort().map((path) => {
    const stats = lstatSync(join(root, path));
    const time = stats.mtimeMs < Date.now() - 60_000 ? stats.mtimeMs : 'now';
    const content = stats.isFile() ? readFileSync(join(root, path), 'utf8') : undefined;
    return [path, stats.mode.toString(8), stats.uid, stats.gid, time, content];
  });
}

const modified = { seconds: 1_600_000_000, nanoseconds: 123_000_000 };

test('plain files are unpacked and indexed as the changeset child does it', { skip: NEEDS_ROOT }, () =>
  withFolders(async (make) => {
    const bytes = archive(
      { path: './', type: 'directory', mode: 0o711, modified },
      { path: 'Dockerfile', text: 'FROM scratch\n', modified },
      { path: 'implied/deep/file', text: 'x'.repeat(3000), mode: 0o4755, uid: 7, gid: 8 },
      { path: 'implied/', type: 'directory', mode: 0o2750, modified },
      { path: 'späß/empty', text: '' },
      { path: '/rooted', text: 'r' },
    );
    const [ours, theirs] = [make('ours'), make('theirs')];
    const index = unpackSmall(bytes, ours);
    const changesets = createChangesets();
    try {
      const indexPath = `${theirs}.index`;
      await changesets.unpackLayer({
        source: { stream: [bytes] as unknown as AsyncIterable<Uint8Array> },
        compression: 'none',
        targetDir: theirs,
        whiteouts: 'literal',
        indexPath,
        owner: { uid: 0, gid: 0 },
      });
      assert.equal(index, readFileSync(indexPath, 'utf8'));
    } finally {
      await changesets.close();
    }
    assert.deepEqual(describeTree(ours), describeTree(theirs));
  }),
);

const plain = { path: 'plain', text: 'p' };
const left: readonly (readonly [why: string, bytes: Buffer])[] = [
  ['a link', archive(plain, { path: 'l', type: 'symlink', linkTarget: '/etc' })],
  [
    'a file through a link',
    archive({ path: 'l', type: 'symlink', linkTarget: '/tmp' }, { path: 'l/x', text: 'x' }),
  ],
  ['a hard link', archive(plain, { path: 'h', type: 'hardlink', linkTarget: 'plain' })],
  ['a fifo', archive({ path: 'f', type: 'fifo' })],
  ['a device', archive({ path: 'd', type: 'char', deviceMajor: 1, deviceMinor: 3 })],
  ['attributes', archive({ ...plain, xattrs: new Map([['user.a', Buffer.from('b')]]) })],
  ['a name that climbs', archive({ path: '../x', text: 'x' })],
  ['a name twice', archive(plain, plain)],
  ['a file as a directory', archive(plain, { path: 'plain/x', text: 'x' })],
  ['a directory as a file', archive({ path: 'a/b', text: 'x' }, { path: 'a', text: 'x' })],
  ['a root that is a file', archive({ path: '.', text: 'x' })],
  ['a name that is no text', archive({ path: 'x\udcff', text: 'x' })],
  ['a name that is too long', archive({ path: 'x'.repeat(300), text: 'x' })],
  ['damage', Buffer.alloc(2048, 'x')],
  ['an end that is missing', archive(plain).subarray(0, 512)],
  ['compression', gzipSync(archive(plain))],
  ['nothing', Buffer.alloc(0)],
  ['too much', Buffer.alloc(SMALL_BYTES + 512)],
];

test('what is not plain is left to the changeset child', () =>
  withFolders(async (make) => {
    for (const [why, bytes] of left) assert.equal(unpackSmall(bytes, make(why)), undefined, why);
    assert.equal(
      unpackSmall(archive(plain), make('plain')),
      `["plain","f",1,"644",512,"sha256:148de9c5a7a44d19e56cd9ae1a554bf67847afb0c58f6e12fa29ac7ddfca9940"]\n`,
    );
  }));
