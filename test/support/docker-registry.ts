/** Debian's `docker-registry` on a free loopback port, as a registry that is not ours. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Why tests that need it are skipped, or `false`. */
export const NEEDS_DOCKER_REGISTRY =
  spawnSync('docker-registry', ['--version']).status === 0 ? false : 'docker-registry is not installed';

/** Runs `body` with a registry; `host` is its `127.0.0.1:port`. */
export async function withDockerRegistry(body: (host: string) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'slipway-docker-registry-'));
  const host = `127.0.0.1:${await freePort()}`;
  const config = join(dir, 'config.yml');
  writeFileSync(
    config,
    `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${dir}/data}, delete: {enabled: true}}\nhttp: {addr: "${host}"}\n`,
  );
  const child = spawn('docker-registry', ['serve', config], { stdio: 'ignore' });
  try {
    await waitUntilAnswers(`http://${host}/v2/`);
    await body(host);
  } finally {
    const ended = once(child, 'exit');
    if (child.exitCode === null && child.kill()) await ended;
    rmSync(dir, { recursive: true, force: true });
  }
}

async function waitUntilAnswers(url: string): Promise<void> {
  for (const end = Date.now() + 10_000; ; await sleep(50)) {
    const answers = await fetch(url).then(
      () => true,
      () => false,
    );
    if (answers) return;
    if (Date.now() > end) throw new Error(`nothing answers at ${url}`);
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  await new Promise((done) => server.close(done));
  return typeof address === 'object' && address !== null ? address.port : 0;
}
