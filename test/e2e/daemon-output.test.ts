/** A service whose output nobody reads any more goes on, and ends when it is told to. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { NEEDS_ENGINE } from '../support/daemon.ts';

const MAIN = resolve(import.meta.dirname, '../../src/main');

for (const [name, argsOf, ready] of [
  [
    'daemon',
    (dir: string) => [
      '--root',
      join(dir, 'root'),
      '--exec-root',
      join(dir, 'exec'),
      '--host',
      `unix://${join(dir, 's.sock')}`,
      '--config-file',
      '/dev/null',
      '--log-level',
      'debug',
    ],
    'API listen on',
  ],
  [
    'hub',
    (dir: string) => ['--root', join(dir, 'root'), '--listen', '127.0.0.1:0', '--log-level', 'debug'],
    'hub listening on',
  ],
] as const) {
  test(`the ${name} ends on SIGTERM after the reader of its output has gone`, {
    skip: NEEDS_ENGINE,
  }, async () => {
    const dir = mkdtempSync(join(tmpdir(), 'slipway-output-'));
    const child = spawn(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', join(MAIN, `${name}.ts`), ...argsOf(dir)],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (said += String(chunk)));
    try {
      for (let i = 0; !said.includes(ready) && i < 400; i++) await sleep(25);
      assert.ok(said.includes(ready), said);
      child.stdout.destroy();
      child.stderr.destroy();
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      const [code] = (await Promise.race([ended, sleep(10_000, ['it did not end'])])) as [unknown];
      assert.equal(code, 0);
    } finally {
      child.kill('SIGKILL');
      rmSync(dir, { recursive: true, force: true });
    }
  });
}
