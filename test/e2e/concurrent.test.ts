/** Several clients at once, and a registry that dies under them: each gets a right answer, and nothing is half done. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeImageArchive, NEEDS_BUSYBOX } from '../support/busybox.ts';
import { NEEDS_DOCKER_CLI, type TestDaemon, withDaemon } from '../support/daemon.ts';
import { ADMIN, startHub, type TestHub } from '../support/hub.ts';

const options = { skip: NEEDS_DOCKER_CLI || NEEDS_BUSYBOX };
const NOISE_MB = 64;

interface Outcome {
  readonly code: number | null;
  readonly output: string;
}

/** Starts a docker command. */
function begin(daemon: TestDaemon, args: readonly string[]): { readonly ended: Promise<Outcome> } {
  const child = spawn('docker', args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      DOCKER_HOST: daemon.host,
      DOCKER_CONFIG: join(daemon.dir, 'config'),
      DOCKER_BUILDKIT: '0',
    },
  });
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += String(chunk);
  });
  child.stderr.on('data', (chunk) => {
    output += String(chunk);
  });
  const ended = new Promise<Outcome>((resolve) => {
    child.on('close', (code) => resolve({ code, output }));
  });
  return { ended };
}

async function succeed(daemon: TestDaemon, ...args: string[]): Promise<string> {
  const { code, output } = await begin(daemon, args).ended;
  assert.equal(code, 0, `docker ${args.join(' ')}\n${output}`);
  return output.trim();
}

function makeContext(daemon: TestDaemon, name: string, dockerfile: string): string {
  const context = join(daemon.dir, name);
  mkdirSync(context, { recursive: true });
  writeFileSync(join(context, 'Dockerfile'), dockerfile);
  return context;
}

async function loadBox(daemon: TestDaemon): Promise<void> {
  daemon.dockerOk(['load', '-q'], { input: makeImageArchive({ tags: ['box:v1'] }).archive });
}

const idOf = (daemon: TestDaemon, name: string): Promise<string> =>
  succeed(daemon, 'image', 'inspect', '-f', '{{.Id}}', name);

test('the same build four times at once runs each step once and gives one image', options, () =>
  withDaemon(async (daemon) => {
    await loadBox(daemon);
    const context = makeContext(
      daemon,
      'same',
      'FROM box:v1\nRUN sleep 1; head -c 16 /dev/urandom | od -An -tx1 > /random\nRUN cat /random\n',
    );
    const builds = await Promise.all(
      [1, 2, 3, 4].map((n) => begin(daemon, ['build', '-t', `same:${n}`, context]).ended),
    );
    for (const { code, output } of builds) assert.equal(code, 0, output);
    const ids = await Promise.all([1, 2, 3, 4].map((n) => idOf(daemon, `same:${n}`)));
    assert.equal(new Set(ids).size, 1, 'all four are the same image');
  }),
);

test('builds beside prunes lose nothing that was acknowledged', options, () =>
  withDaemon(async (daemon) => {
    await loadBox(daemon);
    let building = true;
    const prunes = (async () => {
      while (building) {
        await succeed(daemon, 'image', 'prune', '-f');
        await succeed(daemon, 'builder', 'prune', '-af');
      }
    })();
    const build = async (n: number): Promise<void> => {
      const text = `FROM box:v1\nRUN echo ${n} > /a && head -c 200000 /dev/urandom > /noise\nRUN echo ${n} > /b\nCMD ["cat", "/a", "/b"]\n`;
      await succeed(daemon, 'build', '-q', '-t', `beside:${n}`, makeContext(daemon, `beside${n}`, text));
      assert.equal(await succeed(daemon, 'run', '--rm', '--network', 'none', `beside:${n}`), `${n}\n${n}`);
    };
    try {
      for (let n = 0; n < 8; n += 2) await Promise.all([build(n), build(n + 1)]);
    } finally {
      building = false;
      await prunes;
    }
    for (let n = 0; n < 8; n++) {
      await succeed(daemon, 'save', '-o', join(daemon.dir, 'saved.tar'), `beside:${n}`);
    }
  }),
);

async function withHub(body: (daemon: TestDaemon, hub: TestHub) => Promise<void>): Promise<void> {
  const hub = await startHub();
  try {
    await withDaemon(async (daemon) => {
      await loadBox(daemon);
      await succeed(daemon, 'login', '-u', ADMIN.username, '-p', ADMIN.password, hub.host);
      await body(daemon, hub);
    });
  } finally {
    await hub.dispose();
  }
}

test('the same push from two clients at once ends well for both, and the tag is whole', options, () =>
  withHub(async (daemon, hub) => {
    const name = `${hub.host}/${ADMIN.username}/twice:v1`;
    const text = `FROM box:v1\nRUN head -c ${NOISE_MB}000000 /dev/urandom > /noise\n`;
    await succeed(daemon, 'build', '-q', '-t', name, makeContext(daemon, 'twice', text));
    const id = await idOf(daemon, name);
    const pushes = await Promise.all([1, 2].map(() => begin(daemon, ['push', name]).ended));
    for (const { code, output } of pushes) assert.equal(code, 0, output);
    await succeed(daemon, 'rmi', '-f', name);
    const pulls = await Promise.all([1, 2].map(() => begin(daemon, ['pull', name]).ended));
    for (const { code, output } of pulls) assert.equal(code, 0, output);
    assert.equal(await idOf(daemon, name), id);
  }),
);

test(
  'a registry that dies during a push and a pull is named, and the same command works when it is back',
  options,
  () =>
    withHub(async (daemon, hub) => {
      const name = `${hub.host}/${ADMIN.username}/dies:v1`;
      const text = `FROM box:v1\nRUN head -c ${NOISE_MB}000000 /dev/urandom > /noise\nCMD ["true"]\n`;
      await succeed(daemon, 'build', '-q', '-t', name, makeContext(daemon, 'dies', text));
      const id = await idOf(daemon, name);
      for (const words of [
        ['push', name],
        ['pull', name],
      ]) {
        if (words[0] === 'pull') {
          await succeed(daemon, 'rmi', '-f', name);
          await succeed(daemon, 'builder', 'prune', '-af');
        }
        const command = begin(daemon, words);
        await sleep(words[0] === 'pull' ? 60 : 150);
        await hub.kill();
        const { code, output } = await command.ended;
        assert.notEqual(code, 0, `the ${words[0]} ended before the registry died: ${output}`);
        assert.match(output, new RegExp(`${hub.host}.*(connection refused|connection|EOF)`));
        await hub.start();
        await succeed(daemon, ...words);
        assert.deepEqual(stagedFilesOf(daemon), [], 'no half file is left');
      }
      assert.equal(await idOf(daemon, name), id);
      await succeed(daemon, 'run', '--rm', '--network', 'none', name);
    }),
);

/** Files of the engine that are no blobs yet. */
function stagedFilesOf(daemon: TestDaemon): readonly string[] {
  return readdirSync(join(daemon.root, 'content/ingest'), { recursive: true, encoding: 'utf8' });
}
