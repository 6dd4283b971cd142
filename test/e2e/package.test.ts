/** The published form: built, then engine, hub and client run from it alone. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeImageArchive, NEEDS_BUSYBOX } from '../support/busybox.ts';
import { NEEDS_ENGINE } from '../support/daemon.ts';

const CHECKOUT = resolve(import.meta.dirname, '../..');
const PROGRAM = join(CHECKOUT, 'dist/package/bin/slipway');

async function start(
  args: readonly string[],
  ready: RegExp,
): Promise<{ readonly child: ChildProcess; readonly line: string }> {
  const child = spawn(PROGRAM, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      said += String(chunk);
    });
  }
  for (let i = 0; i < 400 && child.exitCode === null; i++) {
    const line = ready.exec(said)?.[1];
    if (line !== undefined) return { child, line };
    await sleep(25);
  }
  child.kill('SIGKILL');
  throw new Error(`slipway ${args.join(' ')} did not start: ${said}`);
}

test('the package builds, pushes, pulls and runs an image', {
  skip: NEEDS_ENGINE || NEEDS_BUSYBOX,
  timeout: 120_000,
}, async () => {
  execFileSync(process.execPath, [join(CHECKOUT, 'scripts/build-package.ts')], { stdio: 'pipe' });
  const dir = mkdtempSync(join(tmpdir(), 'slipway-package-'));
  const children: ChildProcess[] = [];
  try {
    const socket = join(dir, 's.sock');
    const hub = await start(
      ['hub', '--root', join(dir, 'hub'), '--listen', '127.0.0.1:0', '--open'],
      /hub listening on http:\/\/(\S+)/,
    );
    children.push(hub.child);
    const daemon = await start(
      ['daemon', '--root', join(dir, 'root'), '--exec-root', join(dir, 'exec'), '--host', `unix://${socket}`],
      /API listen on (\S+)/,
    );
    children.push(daemon.child);
    const slipway = (args: readonly string[], input: string | Buffer = ''): string => {
      const done = spawnSync(PROGRAM, args, {
        input,
        encoding: 'utf8',
        maxBuffer: 64 * 1024 * 1024,
        env: { ...process.env, SLIPWAY_HOST: `unix://${socket}`, DOCKER_CONFIG: join(dir, 'client') },
      });
      assert.equal(done.status, 0, `slipway ${args.join(' ')}: ${done.stdout}${done.stderr}`);
      return done.stdout;
    };
    assert.match(slipway(['version']), /Server: Slipway Engine/);
    slipway(['load', '-q'], makeImageArchive({ tags: ['box:v1'] }).archive);
    writeFileSync(join(dir, 'Dockerfile'), 'FROM box:v1\nCOPY Dockerfile /copied\nRUN echo built > /built\n');
    const name = `${hub.line}/me/built:v1`;
    slipway(['build', '-q', '-t', name, '-f', join(dir, 'Dockerfile'), dir]);
    slipway(['push', '-q', name]);
    slipway(['rmi', '-f', name]);
    slipway(['pull', '-q', name]);
    assert.equal(slipway(['run', '--rm', name, 'cat', '/built']), 'built\n');
    assert.match(slipway(['save', name]), /manifest\.json/);
  } finally {
    for (const child of children.reverse()) {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    }
    rmSync(dir, { recursive: true, force: true });
  }
});
