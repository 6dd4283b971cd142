import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkOutputPath } from './output-path.ts';

test('a device or a fifo is never replaced by a file, also not behind a link', () => {
  const dir = mkdtempSync(join(tmpdir(), 'slipway-output-'));
  try {
    execFileSync('mkfifo', [join(dir, 'pipe')]);
    writeFileSync(join(dir, 'file'), '');
    symlinkSync('/dev/null', join(dir, 'link'));
    for (const path of [join(dir, 'new'), join(dir, 'file'), dir]) checkOutputPath(path, 'save image');
    for (const path of ['/dev/null', join(dir, 'link')])
      assert.throws(() => checkOutputPath(path, 'save image'), {
        code: 'invalid_argument',
        message: `failed to save image: invalid output path: "${path}" must be a directory or a regular file: got a device`,
      });
    assert.throws(() => checkOutputPath(join(dir, 'pipe'), 'save image'), /got an irregular file/);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
