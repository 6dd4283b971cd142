/** docker-py as the judge of the engine: the scripts beside this file are its users. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeImageArchive, NEEDS_BUSYBOX } from '../support/busybox.ts';
import { NEEDS_ENGINE, type TestDaemon, withDaemon } from '../support/daemon.ts';
import { ADMIN, startHub } from '../support/hub.ts';

const NEEDS_DOCKER_PY =
  spawnSync('python3', ['-c', 'import docker; assert docker.__version__ >= "7"']).status === 0
    ? false
    : 'docker-py (python3 with `import docker`, 7.0 or later) is not installed';
const skip = NEEDS_ENGINE || NEEDS_BUSYBOX || NEEDS_DOCKER_PY;

/** Runs one of the scripts; what it says is shown when it fails. */
async function runScript(daemon: TestDaemon, name: string, more: Record<string, string> = {}): Promise<void> {
  const work = join(daemon.dir, 'work');
  mkdirSync(work);
  const child = spawn('python3', ['-B', '-W', 'ignore', join(import.meta.dirname, 'docker-py', name)], {
    env: {
      PATH: process.env['PATH'] ?? '',
      HOME: daemon.dir,
      PYTHONDONTWRITEBYTECODE: '1',
      DOCKER_HOST: daemon.host,
      DOCKER_CONFIG: join(daemon.dir, 'docker-config'),
      WORK: work,
      ...more,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      said += String(chunk);
    });
  const code = await new Promise((resolve) => child.once('close', resolve));
  assert.equal(code, 0, `${name}\n${said}`);
  assert.match(said, /^Ran [1-9]\d* tests? in /m);
}

function withBox(body: (daemon: TestDaemon) => Promise<void>): Promise<void> {
  return withDaemon(async (daemon) => {
    const { archive } = makeImageArchive({ tags: ['box:1'] });
    await Array.fromAsync(
      daemon.client.lines('POST', '/images/load', { stream: new Blob([new Uint8Array(archive)]).stream() }),
    );
    await body(daemon);
  });
}

test('docker-py builds, loads, saves, pushes and pulls images', { skip }, () =>
  withBox(async (daemon) => {
    const hub = await startHub();
    try {
      const { username, password } = ADMIN;
      await runScript(daemon, 'images.py', { HUB: hub.host, HUB_USER: username, HUB_PASSWORD: password });
    } finally {
      await hub.dispose();
    }
  }),
);

test('docker-py runs containers, and reads and changes them', { skip }, () =>
  withBox((daemon) => runScript(daemon, 'containers.py')),
);

test('docker-py has networks, volumes, and every version of the API', { skip }, () =>
  withBox((daemon) => runScript(daemon, 'system.py')),
);
