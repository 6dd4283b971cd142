import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setXattr } from '#base/posix/index.ts';
import { listChanges } from './changes.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root: it sets the marks of overlay';

/** An image of one layer, and what a container has in its upper directory. */
async function changesOf(
  make: (parts: { lower: string; upper: string; outside: string }) => void,
): Promise<readonly string[]> {
  const dir = mkdtempSync(join(tmpdir(), 'slipway-changes-'));
  try {
    const [lower, upper, outside] = ['lower', 'upper', 'outside'].map((name) => join(dir, name)) as [
      string,
      string,
      string,
    ];
    for (const path of [lower, upper, outside]) mkdirSync(path);
    for (const name of ['of-the-host', 'secret']) writeFileSync(join(outside, name), 'x');
    make({ lower, upper, outside });
    const snapshots = {
      driver: 'overlay',
      getActive: () => ({ key: 'k', upperDir: upper, lowerDirs: [lower] }),
    };
    const found = await listChanges({ snapshots, changesets: {} } as never, 'k', []);
    return found.map(({ kind, path }) => `${kind} ${path}`);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

const opaque = (path: string): void => setXattr(path, 'trusted.overlay.opaque', Buffer.from('y'));

test('a directory that replaces one tells what is gone from it', { skip }, async () => {
  const changes = await changesOf(({ lower, upper }) => {
    mkdirSync(join(lower, 'd'));
    for (const name of ['gone', 'kept']) writeFileSync(join(lower, 'd', name), 'x');
    mkdirSync(join(upper, 'd'));
    opaque(join(upper, 'd'));
    writeFileSync(join(upper, 'd/kept'), 'y');
  });
  assert.deepEqual(changes, ['modified /d', 'deleted /d/gone', 'modified /d/kept']);
});

test('a directory that replaces a link tells nothing of where the link led', { skip }, async () => {
  const changes = await changesOf(({ lower, upper, outside }) => {
    symlinkSync(outside, join(lower, 'd'));
    mkdirSync(join(upper, 'd/sub'), { recursive: true });
    opaque(join(upper, 'd'));
    writeFileSync(join(upper, 'd/of-the-host'), 'y');
  });
  assert.deepEqual(changes, ['modified /d', 'added /d/of-the-host', 'added /d/sub']);
});

test('a file that replaces a directory hides it alone', { skip }, async () => {
  const changes = await changesOf(({ lower, upper }) => {
    mkdirSync(join(lower, 'd'));
    writeFileSync(join(lower, 'd/x'), 'x');
    writeFileSync(join(upper, 'd'), 'y');
    execFileSync('mknod', [join(upper, 'gone'), 'c', '0', '0']);
  });
  assert.deepEqual(changes, ['modified /d', 'deleted /gone']);
});
