import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { acquireFileLock, cleanPath, joinInRoot, syncTree, writeFileAtomic } from './index.ts';

describe('base/fs', () => {
  let dir = '';
  before(() => {
    dir = fs.mkdtempSync(join(os.tmpdir(), 'basefs-'));
  });
  after(() => fs.rmSync(dir, { recursive: true, force: true }));

  it('replaces a file whole and leaves no temporary file behind, on failure either', async () => {
    const path = join(dir, 'a');
    await writeFileAtomic(path, 'one');
    await writeFileAtomic(path, 'two', { mode: 0o644 });
    assert.equal(fs.readFileSync(path, 'utf8'), 'two');
    assert.equal(fs.statSync(path).mode & 0o777, 0o644);
    fs.mkdirSync(join(dir, 'b'));
    await assert.rejects(writeFileAtomic(join(dir, 'b'), 'x'), { code: 'EISDIR' });
    assert.deepEqual(fs.readdirSync(dir), ['a', 'b']);
    await syncTree(dir);
  });

  it('keeps a joined path inside its root', () => {
    assert.equal(joinInRoot('/root', '../../etc/passwd'), '/root/etc/passwd');
    assert.equal(joinInRoot('/root/', '/a/./b//c/..'), '/root/a/b');
    assert.equal(joinInRoot('/root', '/..'), '/root');
    assert.equal(joinInRoot('/', 'a'), '/a');
    assert.equal(cleanPath('...'), '...');
    assert.throws(() => joinInRoot('/root', 'a\0b'), { code: 'invalid_argument' });
  });

  it('refuses a lock that another process holds, and gets it when that process is killed', async () => {
    const path = join(dir, 'lock');
    const script = `import { acquireFileLock } from '${import.meta.resolve('./index.ts')}';
      await acquireFileLock(process.argv[1]); console.log('held'); setInterval(() => {}, 1000);`;
    const cwd = import.meta.dirname;
    const holder = spawn(process.execPath, ['--input-type=module-typescript', '-e', script, path], { cwd });
    holder.stderr.pipe(process.stderr);
    await once(holder.stdout, 'data');
    await assert.rejects(acquireFileLock(path), {
      code: 'conflict',
      message: new RegExp(`process ${holder.pid}$`),
    });
    holder.kill('SIGKILL');
    await using lock = await acquireFileLock(path, { waitMs: 5000 });
    assert.equal(fs.readFileSync(lock.path, 'utf8').trim(), `${process.pid}`);
  });
});
