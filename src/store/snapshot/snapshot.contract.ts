import assert from 'node:assert/strict';
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Database, openDatabase } from '#store/metadata/index.ts';
import { createSnapshotStore } from './snapshot-store.ts';
import type { SnapshotStore } from './types.ts';

interface Bench {
  readonly dir: string;
  store: SnapshotStore;
  db: Database;
  /** Mounts an active snapshot, lets `body` change it, unmounts it. */
  change(key: string, body: (root: string) => void): void;
  /** What a read-only view shows. */
  view<T>(name: string | undefined, body: (root: string) => T): T;
  reopen(): Promise<void>;
}

/** What every snapshot driver keeps; run by each driver's own test file. */
export function testSnapshotStore(driver: 'overlay' | 'copy'): void {
  const options = { skip: process.getuid?.() === 0 ? false : 'mounting needs root' };

  const contract = (name: string, body: (bench: Bench) => Promise<void>): void => {
    test(`${driver}: ${name}`, options, async () => {
      const bench = openBench(driver);
      try {
        await body(bench);
      } finally {
        await bench.store.close();
        bench.db.close();
        const mounts = readFileSync('/proc/self/mounts', 'utf8');
        assert.equal(mounts.includes(bench.dir), false, 'nothing stays mounted');
        rmSync(bench.dir, { recursive: true, force: true });
      }
    });
  };

  contract('a child sees its parent and its changes do not reach the parent', async (bench) => {
    await layer(bench, 'base', undefined, (root) => {
      writeFileSync(join(root, 'kept'), 'base');
      writeFileSync(join(root, 'changed'), 'base');
      writeFileSync(join(root, 'deleted'), 'base');
      mkdirSync(join(root, 'dir'));
      writeFileSync(join(root, 'dir/inside'), 'base');
      symlinkSync('kept', join(root, 'link'));
    });
    await layer(bench, 'child', 'base', (root) => {
      assert.equal(readFileSync(join(root, 'link'), 'utf8'), 'base');
      writeFileSync(join(root, 'changed'), 'child');
      unlinkSync(join(root, 'deleted'));
      rmSync(join(root, 'dir'), { recursive: true });
      mkdirSync(join(root, 'dir'));
      writeFileSync(join(root, 'dir/new'), 'child');
    });
    bench.view('child', (root) => {
      assert.deepEqual(readdirSync(root).sort(), ['changed', 'dir', 'kept', 'link']);
      assert.equal(readFileSync(join(root, 'changed'), 'utf8'), 'child');
      assert.deepEqual(readdirSync(join(root, 'dir')), ['new']);
    });
    bench.view('base', (root) => {
      assert.deepEqual(readdirSync(root).sort(), ['changed', 'deleted', 'dir', 'kept', 'link']);
      assert.deepEqual(readdirSync(join(root, 'dir')), ['inside']);
    });
  });

  contract('a view is read-only, a view of nothing is empty', async (bench) => {
    await layer(bench, 'base', undefined, (root) => writeFileSync(join(root, 'a'), ''));
    bench.view('base', (root) => assert.throws(() => writeFileSync(join(root, 'b'), ''), { code: 'EROFS' }));
    bench.view(undefined, (root) => {
      assert.deepEqual(readdirSync(root), []);
      assert.throws(() => writeFileSync(join(root, 'b'), ''), { code: 'EROFS' });
    });
  });

  contract('a deep stack shows every layer', async (bench) => {
    let parent: string | undefined;
    const depth = driver === 'overlay' ? 60 : 8;
    for (let i = 0; i < depth; i++) {
      await layer(bench, `layer-${i}`, parent, (root) => writeFileSync(join(root, `file-${i}`), String(i)));
      parent = `layer-${i}`;
    }
    bench.view(parent, (root) => assert.equal(readdirSync(root).length, depth));
    assert.equal(bench.store.listDirs(`layer-${depth - 1}`).length, driver === 'overlay' ? depth : 1);
  });

  contract('commit under a name that exists keeps the first and drops the second', async (bench) => {
    const first = await layer(bench, 'base', undefined, (root) => writeFileSync(join(root, 'a'), 'first'));
    const second = await layer(bench, 'base', undefined, (root) => writeFileSync(join(root, 'a'), 'second'));
    assert.equal(second.dir, first.dir);
    bench.view('base', (root) => assert.equal(readFileSync(join(root, 'a'), 'utf8'), 'first'));
    assert.deepEqual(bench.store.listActive(), []);
  });

  contract('keys are unique, unknown names are not_found', async (bench) => {
    await bench.store.prepare('key', undefined);
    await assert.rejects(bench.store.prepare('key', undefined), { code: 'already_exists' });
    await assert.rejects(bench.store.prepare('other', 'nothing'), { code: 'not_found' });
    await assert.rejects(bench.store.commit('nothing', 'name'), { code: 'not_found' });
    assert.throws(() => bench.store.getActive('nothing'), { code: 'not_found' });
    assert.throws(() => bench.store.mountAt('nothing', join(bench.dir, 'm')), { code: 'not_found' });
    assert.equal(bench.store.find('nothing'), undefined);
    await bench.store.remove('nothing');
  });

  contract('a mounted snapshot is neither committed nor removed', async (bench) => {
    const target = join(bench.dir, 'mounted');
    await bench.store.prepare('key', undefined);
    bench.store.mountAt('key', target);
    await assert.rejects(bench.store.commit('key', 'name'), { code: 'failed_precondition' });
    await assert.rejects(bench.store.remove('key'), { code: 'failed_precondition' });
    await bench.store.unmountInBackground(target);
    await bench.store.commit('key', 'name');
    bench.store.unmount(target);
  });

  contract('a snapshot under another is not removed, a leaf is, with its tree', async (bench) => {
    const base = await layer(bench, 'base', undefined, (root) => writeFileSync(join(root, 'a'), ''));
    const child = await layer(bench, 'child', 'base', (root) => writeFileSync(join(root, 'b'), ''));
    await assert.rejects(bench.store.remove('base'), { code: 'failed_precondition' });
    assert.ok(bench.store.find('base'));
    await bench.store.remove('child');
    await bench.store.remove('base');
    await bench.store.drainTrash();
    assert.equal(bench.store.find('base'), undefined);
    assert.equal(existsSync(base.dir), false);
    assert.equal(existsSync(child.dir), false);
  });

  contract('a snapshot has several names and goes with the last', async (bench) => {
    const built = await layer(bench, 'build/1', undefined, (root) => writeFileSync(join(root, 'a'), ''));
    bench.store.addName('build/1', 'sha256:chain');
    bench.store.addName('build/1', 'sha256:chain');
    assert.equal(bench.store.find('sha256:chain')?.dir, built.dir);
    await layer(bench, 'child', 'sha256:chain', () => undefined);
    await bench.store.remove('build/1');
    assert.equal(bench.store.find('build/1'), undefined);
    assert.equal(bench.store.find('child')?.parent, 'sha256:chain');
    await assert.rejects(bench.store.remove('sha256:chain'), { code: 'failed_precondition' });
  });

  contract(
    'a tree that somebody removed is told by name, and made again by the next commit',
    async (bench) => {
      const lost = await layer(bench, 'base', undefined, (root) => writeFileSync(join(root, 'a'), 'base'));
      await layer(bench, 'child', 'base', (root) => writeFileSync(join(root, 'b'), 'child'));
      assert.equal(bench.store.isWhole('base'), true);
      rmSync(lost.dir, { recursive: true });
      assert.equal(bench.store.isWhole('base'), false);
      assert.throws(() => bench.view('base', () => undefined), {
        code: 'data_loss',
        message: /^layer base is damaged: its folder "snapshots\/\d+" is missing$/,
      });
      await layer(bench, 'base', undefined, (root) => writeFileSync(join(root, 'a'), 'base'));
      assert.equal(bench.store.isWhole('base'), true);
      for (const name of ['base', 'child'])
        bench.view(name, (root) => assert.equal(readFileSync(join(root, 'a'), 'utf8'), 'base'));
    },
  );

  contract('usage counts what changed, hard links once', async (bench) => {
    await layer(bench, 'base', undefined, (root) => writeFileSync(join(root, 'big'), Buffer.alloc(100_000)));
    await bench.store.prepare('key', 'base');
    bench.change('key', (root) => {
      writeFileSync(join(root, 'new'), Buffer.alloc(10_000));
      linkSync(join(root, 'new'), join(root, 'again'));
      mkdirSync(join(root, 'dir'));
    });
    assert.deepEqual(await bench.store.usage('key'), { sizeBytes: 10_000, inodes: 2 });
    assert.equal((await bench.store.commit('key', 'child')).sizeBytes, 10_000);
  });

  contract('a restart keeps what is committed or claimed and drops the rest', async (bench) => {
    await layer(bench, 'base', undefined, (root) => writeFileSync(join(root, 'a'), 'base'));
    const dropped = await bench.store.prepare('crashed', 'base');
    await bench.store.prepare('container', 'base');
    bench.change('container', (root) => writeFileSync(join(root, 'b'), 'mine'));
    mkdirSync(join(bench.dir, 'snapshots/4711/fs'), { recursive: true });
    await bench.reopen();
    bench.store.dropLeftovers((key) => key === 'container');
    assert.deepEqual(bench.store.listActive(), ['container']);
    bench.change('container', (root) => {
      assert.deepEqual(readdirSync(root).sort(), ['a', 'b']);
    });
    await bench.store.drainTrash();
    assert.equal(existsSync(dropped.upperDir), false);
    assert.equal(existsSync(join(bench.dir, 'snapshots/4711')), false);
    bench.view('base', (root) => assert.equal(readFileSync(join(root, 'a'), 'utf8'), 'base'));
  });

  contract('a snapshot committed without waiting is there at once and settled later', async (bench) => {
    await bench.store.prepare('key', undefined);
    bench.change('key', (root) => writeFileSync(join(root, 'a'), 'x'));
    await bench.store.commit('key', 'name', { durable: false, sizeBytes: 1 });
    assert.ok(bench.store.find('name'));
    assert.equal(bench.db.all('SELECT 1 FROM snapshots WHERE unsynced_boot IS NOT NULL').length, 1);
    await layer(bench, 'name', undefined, () => undefined);
    assert.equal(bench.db.all('SELECT 1 FROM snapshots WHERE unsynced_boot IS NOT NULL').length, 0);
  });
}

async function layer(
  bench: Bench,
  name: string,
  parent: string | undefined,
  body: (root: string) => void,
): ReturnType<SnapshotStore['commit']> {
  const key = `key-${name}-${Math.random()}`;
  await bench.store.prepare(key, parent);
  bench.change(key, body);
  return bench.store.commit(key, name);
}

function openBench(driver: 'overlay' | 'copy'): Bench {
  const dir = mkdtempSync(join(tmpdir(), `slipway-${driver}-`));
  const target = join(dir, 'mount');
  const open = (): Pick<Bench, 'db' | 'store'> => {
    const db = openDatabase(join(dir, 'state.db'));
    return { db, store: createSnapshotStore({ root: join(dir, 'snapshots'), db, driver }) };
  };
  const bench: Bench = {
    dir,
    ...open(),
    change: (key, body) => {
      bench.store.mountAt(key, target, { volatile: true });
      try {
        body(target);
      } finally {
        bench.store.unmount(target);
      }
    },
    view: (name, body) => {
      bench.store.mountViewAt(name, target);
      try {
        return body(target);
      } finally {
        bench.store.unmount(target);
      }
    },
    reopen: async () => {
      await bench.store.close();
      bench.db.close();
      Object.assign(bench, open());
    },
  };
  return bench;
}
