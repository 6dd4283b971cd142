/** Clients that leave and engines that stop in the middle of things: nothing goes on behind anyone's back. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeImageArchive, NEEDS_BUSYBOX } from '../support/busybox.ts';
import { NEEDS_DOCKER_CLI, type TestDaemon, withDaemon } from '../support/daemon.ts';

const options = { skip: NEEDS_DOCKER_CLI || NEEDS_BUSYBOX };

/** A sleep nobody else on this machine does. */
const SECONDS = `86${process.pid}`;

function isSleeping(): boolean {
  return readdirSync('/proc').some((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/cmdline`, 'utf8') === `sleep\0${SECONDS}\0`;
    } catch {
      return false;
    }
  });
}

async function until(test: () => boolean, what: string): Promise<void> {
  for (const end = Date.now() + 20_000; !test(); await sleep(20))
    assert.ok(Date.now() < end, `not in time: ${what}`);
}

function startDocker(daemon: TestDaemon, args: readonly string[]): ChildProcess {
  return spawn('docker', args, { stdio: 'ignore', env: { ...process.env, DOCKER_HOST: daemon.host } });
}

async function startLongBuild(daemon: TestDaemon): Promise<ChildProcess> {
  daemon.dockerOk(['load', '-q'], { input: makeImageArchive({ tags: ['box:v1'] }).archive });
  const context = join(daemon.dir, 'context');
  mkdirSync(context);
  writeFileSync(join(context, 'Dockerfile'), `FROM box:v1\nRUN sleep ${SECONDS}\n`);
  const build = startDocker(daemon, ['build', '-t', 'never', context]);
  await until(isSleeping, 'the step runs');
  return build;
}

describe('in the middle of a build', options, () => {
  it('a client that leaves ends the step', async () => {
    await withDaemon(async (daemon) => {
      const build = await startLongBuild(daemon);
      const ended = once(build, 'exit');
      build.kill('SIGKILL');
      await ended;
      await until(() => !isSleeping(), 'the step ends');
      assert.equal(daemon.dockerOk(['images', '-q', 'never']), '');
      assert.equal(readFileSync('/proc/self/mounts', 'utf8').includes(`${daemon.root}/build`), false);
    });
  });

  it('an engine that is told to stop ends the step, tells the client and is gone within its grace', async () => {
    await withDaemon(async (daemon) => {
      const build = await startLongBuild(daemon);
      const ended = once(build, 'exit');
      const started = performance.now();
      await daemon.stop();
      assert.ok(performance.now() - started < 15_000);
      const [code] = (await ended) as [number];
      assert.equal(code, 1);
      assert.equal(isSleeping(), false);
    });
  });

  it('an engine that is killed leaves a step that the next one ends', async () => {
    await withDaemon(async (daemon) => {
      const build = await startLongBuild(daemon);
      const ended = once(build, 'exit');
      await daemon.kill();
      await ended;
      const again = await daemon.restart();
      const context = join(daemon.dir, 'context');
      writeFileSync(join(context, 'Dockerfile'), 'FROM box:v1\nRUN true\n');
      again.dockerOk(['build', '-q', context]);
      await until(() => !isSleeping(), 'the leftover ends');
    });
  });
});

describe('in the middle of a pull', options, () => {
  it('a client that leaves closes the connection to the registry', async () => {
    let isOpen = false;
    const registry = createServer((_, response) => {
      isOpen = true;
      response.once('close', () => {
        isOpen = false;
      });
      // It never answers.
    });
    await new Promise<void>((done) => registry.listen(0, '127.0.0.1', done));
    try {
      await withDaemon(async (daemon) => {
        const { port } = registry.address() as AddressInfo;
        const pull = startDocker(daemon, ['pull', `127.0.0.1:${port}/a/b:c`]);
        await until(() => isOpen, 'the registry is asked');
        const ended = once(pull, 'exit');
        pull.kill('SIGKILL');
        await ended;
        await until(() => !isOpen, 'the connection closes');
      });
    } finally {
      registry.closeAllConnections();
      registry.close();
    }
  });
});
