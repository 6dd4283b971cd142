/** `npm run quickstart` on a root of its own, twice: it works, and the second run is quick because everything is there. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { NEEDS_ENGINE } from '../support/daemon.ts';

const SCRIPT = resolve(import.meta.dirname, '../../scripts/quickstart.ts');

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const address = server.address();
  server.close();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

test('quickstart walks the tutorial, and a second time from what is there', {
  skip: NEEDS_ENGINE,
  timeout: 600_000,
}, async () => {
  const root = mkdtempSync(join(tmpdir(), 'slipway-quickstart-root-'));
  const env = {
    ...process.env,
    SLIPWAY_ROOT: root,
    SLIPWAY_HUB_PORT: String(await freePort()),
    SLIPWAY_OFFLINE: '1',
  };
  const run = (...args: string[]) => {
    const started = performance.now();
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', SCRIPT, ...args],
      { env, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 },
    );
    assert.equal(status, 0, `${stdout}${stderr}`);
    return { stdout, seconds: (performance.now() - started) / 1000 };
  };
  try {
    const first = run();
    for (const text of [
      'Hello from Slipway!',
      'h5py 3.7.0 - pandas',
      "may require 'docker login'",
      'An image does not exist locally',
      'the same digest both ways',
      "the tag v1 is on the repository's page",
    ]) {
      assert.ok(first.stdout.includes(text), `quickstart did not print "${text}":\n${first.stdout}`);
    }
    const second = run();
    assert.match(second.stdout, /is on the hub already/);
    assert.equal(second.stdout.match(/Using cache/g)?.length, 4, 'both builds come from the cache');
    assert.ok(second.seconds < first.seconds, `${second.seconds} s after ${first.seconds} s`);
  } finally {
    run('--down');
    const mounted = readFileSync('/proc/mounts', 'utf8')
      .split('\n')
      .filter((line) => line.includes(root));
    rmSync(root, { recursive: true, force: true });
    assert.deepEqual(mounted, []);
  }
});
