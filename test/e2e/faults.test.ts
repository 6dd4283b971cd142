/** Full disks and killed engines: a clear error, nothing half done, and what was acknowledged is still there. */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeImageArchive, NEEDS_BUSYBOX } from '../support/busybox.ts';
import { NEEDS_DOCKER_CLI, startDaemon, type TestDaemon } from '../support/daemon.ts';

const PROGRAM = resolve(import.meta.dirname, '../../bin/slipway');

const options = { skip: NEEDS_DOCKER_CLI || NEEDS_BUSYBOX };

function loadBox(daemon: TestDaemon): void {
  daemon.dockerOk(['load', '-q'], { input: makeImageArchive({ tags: ['box:v1'] }).archive });
}

function contextOf(daemon: TestDaemon, name: string, dockerfile: string): string {
  const context = join(daemon.dir, name);
  mkdirSync(context, { recursive: true });
  writeFileSync(join(context, 'Dockerfile'), dockerfile);
  return context;
}

function namesOf(daemon: TestDaemon): string[] {
  return daemon
    .dockerOk(['images', '--format', '{{.Repository}}:{{.Tag}}'])
    .split('\n')
    .filter(Boolean)
    .sort();
}

describe('a full disk', options, () => {
  it('fails a build, a load and an import with a clear error, and everything works again when there is room', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'slipway-engine-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=48m', 'tmpfs', dir]);
    let daemon: TestDaemon | undefined;
    try {
      daemon = await startDaemon({ dir });
      loadBox(daemon);
      const outside = mkdtempSync(join(tmpdir(), 'slipway-context-'));
      writeFileSync(join(outside, 'Dockerfile'), 'FROM box:v1\nRUN head -c 60000000 /dev/zero > /big\n');
      const built = daemon.docker(['build', '-t', 'big', outside]);
      assert.notEqual(built.code, 0);
      assert.match(`${built.stdout}${built.stderr}`, /no space left on device|I\/O error/i);
      writeFileSync(
        join(outside, 'tree.tar'),
        execFileSync('tar', ['-cf', '-', '-C', '/usr/bin', '.'], { maxBuffer: 2 ** 31 }).subarray(
          0,
          80_000_000,
        ),
      );
      const imported = daemon.docker(['import', join(outside, 'tree.tar'), 'big:v2']);
      assert.notEqual(imported.code, 0);
      assert.match(imported.stderr, /space|ENOSPC|disk is full/i, daemon.log());
      const explained = spawnSync(PROGRAM, ['import', join(outside, 'tree.tar'), 'big:v3'], {
        encoding: 'utf8',
        env: { ...process.env, DOCKER_HOST: daemon.host },
      });
      assert.match(explained.stderr, /error\[disk\/full\]: /);
      assert.match(explained.stderr, /cause: the file system of .* is full \(.* free now\)/);
      assert.match(explained.stderr, /fix: {3}slipway system df/);
      assert.deepEqual(namesOf(daemon), ['box:v1'], 'nothing half done is visible');
      const mounted = readFileSync('/proc/mounts', 'utf8')
        .split('\n')
        .filter((line) => line.includes(`${dir}/`) && line.includes('overlay'));
      assert.deepEqual(mounted, []);
      daemon.dockerOk(['system', 'prune', '-f']);
      const small = contextOf(daemon, 'small', 'FROM box:v1\nRUN echo fits > /small\n');
      daemon.dockerOk(['build', '-t', 'small', small]);
      assert.equal(daemon.dockerOk(['run', '--rm', '--network', 'none', 'small', 'cat', '/small']), 'fits');
      rmSync(outside, { recursive: true });
    } finally {
      // Containers and mounts first: the engine's own clean-up removes files only below the mount.
      await daemon?.dispose().catch((error: unknown) => {
        if (!/busy/i.test(String(error))) throw error;
      });
      execFileSync('umount', ['-l', dir]);
      rmSync(dir, { recursive: true, force: true });
    }
  });
});

describe('kill -9 of the engine', options, () => {
  it('at any moment of builds and loads loses nothing acknowledged and leaves nothing broken', async () => {
    const first = await startDaemon();
    let daemon = first;
    const acknowledged = new Set<string>();
    let random = 7;
    const next = (limit: number): number => {
      random = (random * 1103515245 + 12345) % 2 ** 31;
      return random % limit;
    };
    try {
      loadBox(daemon);
      acknowledged.add('box:v1');
      for (let round = 0; round < 8; round++) {
        const context = contextOf(
          daemon,
          `round${round}`,
          `FROM box:v1\nRUN echo ${round} > /round && head -c 3000000 /dev/urandom > /noise\nRUN echo more >> /round\nCMD ["cat", "/round"]\n`,
        );
        const name = `round:${round}`;
        const build = spawn('docker', ['build', '-t', name, context], {
          stdio: ['ignore', 'pipe', 'ignore'],
          env: { ...process.env, DOCKER_HOST: daemon.host, DOCKER_BUILDKIT: '0' },
        });
        let said = '';
        build.stdout.on('data', (chunk) => {
          said += String(chunk);
        });
        const ended = once(build, 'exit');
        await sleep(50 + next(900));
        await daemon.kill();
        await ended;
        if (said.includes('Successfully tagged')) acknowledged.add(name);
        daemon = await startDaemon({ dir: daemon.dir });
        const names = namesOf(daemon);
        for (const wanted of acknowledged)
          assert.ok(names.includes(wanted), `${wanted} was acknowledged and is gone: ${names.join(', ')}`);
        // Saving reads every layer and checks it against its diffID.
        for (const shown of names) daemon.dockerOk(['save', '-o', join(daemon.dir, 'saved.tar'), shown]);
        daemon.dockerOk(['build', '-q', '-t', name, context]);
        assert.equal(daemon.dockerOk(['run', '--rm', '--network', 'none', name]), `${round}\nmore`);
        acknowledged.add(name);
      }
    } finally {
      await daemon.dispose();
    }
  });
});
