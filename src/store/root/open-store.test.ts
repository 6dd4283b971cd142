import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { MNT, unmount } from '#base/posix/index.ts';
import { addTestImage, createNoChangesets, NEEDS_ROOT } from '../../../test/support/store.ts';
import { openStore, type Store } from './index.ts';

const options = { skip: NEEDS_ROOT };

async function withRoot(body: (root: string, open: () => Promise<Store>) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'slipway-root-'));
  const root = join(dir, 'root');
  const opened: Store[] = [];
  try {
    await body(root, async () => {
      const store = await openStore({
        root,
        changesets: createNoChangesets(),
        mountRoots: [join(dir, 'exec')],
      });
      opened.push(store);
      return store;
    });
  } finally {
    for (const store of opened) await store.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

test('a second engine on the same root is told who has it', options, () =>
  withRoot(async (root, open) => {
    const store = await open();
    await assert.rejects(open(), {
      code: 'failed_precondition',
      message: `cannot open the data root "${root}": process ${process.pid} is using it`,
    });
    await store.close();
    await store.close();
    await open();
  }),
);

test('the data root and everything in it is for its owner only', options, () =>
  withRoot(async (root, open) => {
    await open();
    const { statSync } = await import('node:fs');
    for (const path of [root, join(root, 'content'), join(root, 'snapshots')]) {
      assert.equal(statSync(path).mode & 0o777, 0o700, path);
    }
  }),
);

test('a restart keeps images and what containers and dated leases claim, and drops the rest', options, () =>
  withRoot(async (root, open) => {
    const first = await open();
    const image = await addTestImage(first, { layers: ['a', 'b'], tags: ['app'] });
    const exec = join(root, '../exec');
    for (const key of ['c1', 'container/c2', 'leased', 'crashed']) {
      await first.snapshots.prepare(key, image.chainId);
      first.snapshots.mountAt(key, join(exec, key));
    }
    first.snapshots.mountViewAt(image.chainId, join(exec, 'view'));
    for (const id of ['c1', 'c2']) {
      first.db.run("INSERT INTO containers (id, name, created_at, document) VALUES (?, ?, 1, '{}')", id, id);
    }
    first.leases.createLease({ ttlMs: 60_000 }).add({ kind: 'snapshot', key: 'leased' });
    first.leases.createLease().add({ kind: 'snapshot', key: 'crashed' });
    writeFileSync(first.content.reserveFile(), 'half');
    mkdirSync(join(root, 'tmp/load-1'), { recursive: true });
    await first.close();

    const second = await open();
    const mounted = (): string[] =>
      ['c1', 'container/c2', 'leased', 'crashed', 'view'].filter((key) =>
        readFileSync('/proc/self/mounts', 'utf8').includes(` ${join(exec, key)} `),
      );
    try {
      assert.deepEqual(mounted(), ['c1', 'container/c2', 'leased']);
      assert.deepEqual([...second.snapshots.listActive()].sort(), ['c1', 'container/c2', 'leased']);
      assert.deepEqual(second.images.getImage('app').layers, image.layers);
      assert.deepEqual(readdirSync(join(root, 'content/ingest')), []);
      assert.equal(existsSync(join(root, 'tmp')), false);
    } finally {
      for (const key of mounted()) unmount(join(exec, key), MNT.DETACH);
    }
  }),
);

test('what addImage returned survives kill -9 of the process right afterwards', options, () =>
  withRoot(async (root, open) => {
    for (let round = 0; round < 5; round++) {
      const code = `
        import { addTestImage, createNoChangesets } from '${new URL('../../../test/support/store.ts', import.meta.url)}';
        import { openStore } from '${new URL('./index.ts', import.meta.url)}';
        const store = await openStore({ root: ${JSON.stringify(root)}, changesets: createNoChangesets() });
        for (let i = 0; ; i++) {
          const image = await addTestImage(store, { layers: ['a', 'r${round} ' + i], tags: ['app:${round}-' + i], env: 'N=' + i });
          process.stdout.write(image.id + ' app:${round}-' + i + '\\n');
        }`;
      const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', code], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let text = '';
      const exited = new Promise((resolve) => child.on('exit', resolve));
      for await (const chunk of child.stdout) {
        text += chunk;
        if (text.split('\n').length > 3 + round * 2) child.kill('SIGKILL');
      }
      await exited;
      const store = await open();
      const lines = text.split('\n').slice(0, -1);
      assert.ok(lines.length > 0);
      for (const line of lines) {
        const [id, name] = line.split(' ') as [string, string];
        const image = store.images.getImage(name);
        assert.equal(image.id, id);
        const dirs = store.snapshots.listDirs(image.chainId as string);
        assert.ok(dirs.every((dir) => existsSync(dir)));
      }
      await store.close();
    }
  }),
);
