import assert from 'node:assert/strict';
import { linkSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { measureTree } from './usage.ts';

test('a tree is measured with hard links once; one that is gone holds nothing', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'slipway-usage-'));
  try {
    mkdirSync(join(dir, 'd'));
    writeFileSync(join(dir, 'd/a'), 'x'.repeat(1000));
    linkSync(join(dir, 'd/a'), join(dir, 'b'));
    assert.deepEqual(await measureTree(dir), { sizeBytes: 1000, inodes: 2 });
    assert.deepEqual(await measureTree(join(dir, 'gone')), { sizeBytes: 0, inodes: 0 });
    assert.deepEqual(await measureTree(join(dir, 'd/a')), { sizeBytes: 0, inodes: 0 });
  } finally {
    rmSync(dir, { recursive: true });
  }
});
