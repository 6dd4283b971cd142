/**
 * Testcontainers for Node as the judge of the engine. It is too large to be a dependency: `npm install --no-save testcontainers`
 * here, or anywhere else and `NODE_PATH=…/node_modules`, and these tests run.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeImageArchive, NEEDS_BUSYBOX } from '../support/busybox.ts';
import { NEEDS_DOCKER_CLI, startDaemon, type TestDaemon } from '../support/daemon.ts';

/** As much of Testcontainers' interface as these tests use. */
interface Container {
  getHost(): string;
  getMappedPort(port: number): number;
  getId(): string;
  exec(
    command: string[],
  ): Promise<{ readonly output: string; readonly stdout: string; readonly exitCode: number }>;
  copyContentToContainer(files: readonly object[]): Promise<void>;
  copyDirectoriesToContainer(dirs: readonly object[]): Promise<void>;
  copyArchiveFromContainer(path: string): Promise<AsyncIterable<Buffer>>;
  restart(options: { readonly timeout: number }): Promise<void>;
  stop(options: { readonly timeout: number }): Promise<void>;
}
interface Builder {
  [method: `with${string}`]: (...args: unknown[]) => Builder;
  start(): Promise<Container>;
  build(image: string, options: object): Promise<Builder>;
}
interface Testcontainers {
  readonly GenericContainer: (new (image: string) => Builder) & { fromDockerfile(path: string): Builder };
  readonly Network: new () => { start(): Promise<{ stop(): Promise<void> }> };
  readonly Wait: Readonly<Record<string, (...args: unknown[]) => object>>;
}

const require = createRequire(import.meta.url);
const isInstalled = ((): boolean => {
  try {
    require.resolve('testcontainers');
    return true;
  } catch {
    return false;
  }
})();
const skip =
  NEEDS_DOCKER_CLI ||
  NEEDS_BUSYBOX ||
  (isInstalled ? false : 'testcontainers is not installed (npm install --no-save testcontainers)');

describe('testcontainers', { skip }, () => {
  let daemon: TestDaemon;
  let lib: Testcontainers;
  before(async () => {
    daemon = await startDaemon();
    daemon.dockerOk(['load'], { input: makeImageArchive({ tags: ['box:1'] }).archive });
    // Its cleaner needs the docker CLI here; the real one comes from a registry.
    makeReaper(daemon);
    Object.assign(process.env, {
      DOCKER_HOST: daemon.host,
      DOCKER_CONFIG: join(daemon.dir, 'docker-config'),
      TESTCONTAINERS_HOST_OVERRIDE: '127.0.0.1',
      RYUK_CONTAINER_IMAGE: 'reaper:1',
      TESTCONTAINERS_RYUK_PRIVILEGED: 'true',
    });
    lib = require('testcontainers') as Testcontainers;
  });
  after(() => daemon.dispose());

  const box = (...command: string[]): Builder =>
    new lib.GenericContainer('box:1').withCommand?.(command) as Builder;

  it('starts what serves, waits for it in every way, and looks into it', async () => {
    const serve = 'mkdir /www; echo page > /www/index.html; echo serving; exec httpd -f -p 8080 -h /www';
    const { Wait } = lib;
    const waits = [
      Wait['forLogMessage']?.('serving'),
      Wait['forListeningPorts']?.(),
      Wait['forHttp']?.('/', 8080),
    ];
    for (const wait of waits) {
      const started = await box('sh', '-c', serve).withExposedPorts?.(8080).withWaitStrategy?.(wait).start();
      const container = started as Container;
      const response = await fetch(`http://${container.getHost()}:${container.getMappedPort(8080)}/`);
      assert.equal(await response.text(), 'page\n');
      await container.restart({ timeout: 0 });
      await container.stop({ timeout: 0 });
    }
    for (const wait of [Wait['forHealthCheck']?.(), Wait['forSuccessfulCommand']?.('true')]) {
      const check = { test: ['CMD', 'true'], interval: 500, timeout: 500, retries: 5 };
      const container = await box('sleep', '99').withHealthCheck?.(check).withWaitStrategy?.(wait).start();
      await container?.stop({ timeout: 0 });
    }
    const once = await box('true').withWaitStrategy?.(Wait['forOneShotStartup']?.()).start();
    await once?.stop({ timeout: 0 });
  });

  it('runs commands, copies both ways, joins networks and builds', async () => {
    const dir = join(daemon.dir, 'copied');
    mkdirSync(dir);
    writeFileSync(join(dir, 'Dockerfile'), 'FROM box:1\nARG WORD\nRUN echo $WORD > /word\n');
    const network = await new lib.Network().start();
    const image = await lib.GenericContainer.fromDockerfile(dir)
      .withBuildArgs?.({ WORD: 'built' })
      .build('tc:1', { deleteOnExit: false });
    const first = (await image
      ?.withCommand?.(['sleep', '99'])
      .withNetwork?.(network)
      .withNetworkAliases?.('first')
      .withCopyContentToContainer?.([{ content: 'early', target: '/before/start' }])
      .start()) as Container;
    assert.equal((await first.exec(['cat', '/word', '/before/start'])).output, 'built\nearly');
    const { stdout, output, exitCode } = await first.exec(['sh', '-c', 'echo o; echo e >&2; exit 3']);
    assert.deepEqual([stdout, output.length, exitCode], ['o\n', 4, 3]);
    await first.copyContentToContainer([{ content: 'x', target: '/deep/er/x' }]);
    await first.copyDirectoriesToContainer([{ source: dir, target: '/dir' }]);
    assert.equal((await first.exec(['ls', '/deep/er', '/dir'])).exitCode, 0);
    const chunks = await Array.fromAsync(await first.copyArchiveFromContainer('/dir'));
    assert.match(Buffer.concat(chunks).toString('latin1'), /Dockerfile/);
    const second = (await box('sleep', '99').withNetwork?.(network).start()) as Container;
    assert.equal((await second.exec(['ping', '-c', '1', '-W', '2', 'first'])).exitCode, 0);
    for (const container of [first, second]) await container.stop({ timeout: 0 });
    await network.stop();
  });

  it('is cleaned up by a container that has the engine’s socket', async () => {
    const program = `const { GenericContainer } = require(${JSON.stringify(require.resolve('testcontainers'))});
      new GenericContainer('box:1').withCommand(['sleep', '99']).start().then((one) => { console.log(one.getId()); process.exit(0); });`;
    const id = execFileSync(process.execPath, ['-e', program], { encoding: 'utf8' }).trim();
    assert.match(id, /^[0-9a-f]{64}$/);
    const isThere = (): boolean => daemon.docker(['inspect', id]).code === 0;
    for (const end = Date.now() + 10_000; isThere() && Date.now() < end; ) await sleep(100);
    assert.equal(isThere(), false);
  });
});

/** An image that does what Testcontainers' own cleaner does: one connection, lines of filters, and at its end all of it is removed. */
function makeReaper(daemon: TestDaemon): void {
  const dir = join(daemon.dir, 'reaper');
  mkdirSync(dir);
  copyFileSync(dockerPath(), join(dir, 'docker'));
  const script = `#!/bin/sh
filters=
while read -r line; do filters="$filters $line"; echo ACK; done
for line in $filters; do
  args=$(echo "$line" | tr '&' '\\n' | while read -r one; do echo "--filter $one"; done)
  docker ps -aq $args | while read -r id; do [ "$id" = "$HOSTNAME" ] || docker rm -fv "$id"; done >&2
done
`;
  writeFileSync(join(dir, 'reap'), script, { mode: 0o755 });
  const text =
    'FROM box:1\nCOPY docker reap /bin/\nCMD ["sh", "-c", "echo Started; while :; do nc -l -p 8080 -e /bin/reap; done"]\n';
  writeFileSync(join(dir, 'Dockerfile'), text);
  daemon.dockerOk(['build', '-q', '-t', 'reaper:1', dir]);
}

function dockerPath(): string {
  const dirs = (process.env['PATH'] ?? '').split(':');
  return dirs.map((dir) => join(dir, 'docker')).find((path) => existsSync(path)) ?? 'docker';
}
