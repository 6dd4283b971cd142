import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { mount, unmount } from '#base/posix/index.ts';
import { openDatabase } from '#store/metadata/index.ts';
import { createSnapshotStore } from './index.ts';
import { testSnapshotStore } from './snapshot.contract.ts';
import type { SnapshotStore } from './types.ts';

testSnapshotStore('overlay');

const root = { skip: process.getuid?.() === 0 ? false : 'mounting needs root' };

async function withStore(
  body: (store: SnapshotStore, dir: string) => Promise<void>,
  base = tmpdir(),
): Promise<void> {
  const dir = mkdtempSync(join(base, 'slipway-overlay-'));
  const db = openDatabase(join(dir, 'state.db'));
  const store = createSnapshotStore({ root: join(dir, 'snapshots'), db });
  try {
    await body(store, dir);
  } finally {
    await store.close();
    db.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

async function stack(store: SnapshotStore, depth: number): Promise<string> {
  let parent: string | undefined;
  for (let i = 0; i < depth; i++) {
    await store.prepare('key', parent);
    await store.commit('key', `layer-${i}`, { sizeBytes: 0, durable: false });
    parent = `layer-${i}`;
  }
  return `layer-${depth - 1}`;
}

test('a tree does not lie where another one was just removed', root, (t) =>
  withStore(async (_store, dir) => {
    const EXT4 = 0xef53;
    if (statfsSync(dir).type !== EXT4) return t.skip('only ext4 takes the hint');
    assert.match(execFileSync('lsattr', ['-d', join(dir, 'snapshots')]).toString(), /^[^ ]*T/);
  }),
);

test('500 layers mount, 501 are refused with a reason', root, () =>
  withStore(async (store, dir) => {
    const top = await stack(store, 500);
    await store.prepare('active', top);
    const cwd = process.cwd();
    store.mountAt('active', join(dir, 'm'), { volatile: true });
    assert.equal(process.cwd(), cwd);
    store.unmount(join(dir, 'm'));
    await store.commit('active', 'layer-500', { sizeBytes: 0, durable: false });
    assert.throws(() => store.mountViewAt('layer-500', join(dir, 'm')), {
      code: 'failed_precondition',
      message: 'cannot mount a stack of 501 layers: overlayfs takes at most 500',
    });
  }),
);

test('the mount table tells no path of the host, and changes are whole in the upper directory', root, () =>
  withStore(async (store, dir) => {
    await store.prepare('key', undefined);
    mkdirSync(join(store.getActive('key').upperDir, 'dir'));
    writeFileSync(join(store.getActive('key').upperDir, 'dir/file'), 'x');
    await store.commit('key', 'base');
    const active = await store.prepare('key', 'base');
    store.mountAt('key', join(dir, 'm'), { volatile: true });
    const line = readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .find((each) => each.includes(`${dir}/m`));
    rmSync(join(dir, 'm/dir'), { recursive: true });
    store.unmount(join(dir, 'm'));
    assert.ok(line);
    assert.equal(line.split(' ')[3]?.includes(dir), false, line);
    assert.ok(lstatSync(join(active.upperDir, 'dir')).isCharacterDevice(), 'a whiteout');
  }),
);

test('a volatile mount that a crash left behind can be mounted again', root, () =>
  withStore(async (store, dir) => {
    const active = await store.prepare('key', undefined);
    mkdirSync(join(`${active.upperDir}/../work/work/incompat/volatile`), { recursive: true });
    store.mountAt('key', join(dir, 'm'), { volatile: true });
    store.unmount(join(dir, 'm'));
  }),
);

test('layers committed side by side are put on their parent at commit', root, () =>
  withStore(async (store, dir) => {
    for (const name of ['a', 'b']) {
      const active = await store.prepare(`unpack-${name}`, undefined);
      writeFileSync(join(active.upperDir, name), name);
    }
    await store.commit('unpack-a', 'a', { durable: false });
    const b = await store.commit('unpack-b', 'b', { durable: false, parent: 'a' });
    assert.equal(b.parent, 'a');
    store.mountViewAt('b', join(dir, 'm'));
    assert.equal(readFileSync(join(dir, 'm/a'), 'utf8'), 'a');
    store.unmount(join(dir, 'm'));
  }),
);

test(
  'where overlayfs cannot be used the copy driver is chosen, and asking for overlay says why',
  root,
  async () => {
    const ram = mkdtempSync(join(tmpdir(), 'slipway-ram-'));
    // An overlay cannot be the upper layer of another one.
    for (const name of ['l', 'u', 'w', 'm']) mkdirSync(join(ram, name));
    const data = `lowerdir=${ram}/l,upperdir=${ram}/u,workdir=${ram}/w`;
    mount({ source: 'overlay', target: join(ram, 'm'), type: 'overlay', data });
    try {
      await withStore(
        async (store, dir) => {
          assert.equal(store.driver, 'copy');
          await store.prepare('key', undefined);
          await store.commit('key', 'base');
          const db = openDatabase(join(dir, 'state.db'));
          assert.throws(() => createSnapshotStore({ root: join(dir, 'snapshots'), db, driver: 'overlay' }), {
            code: 'failed_precondition',
          });
          db.close();
        },
        join(ram, 'm'),
      );
    } finally {
      unmount(join(ram, 'm'));
      rmSync(ram, { recursive: true });
    }
  },
);
