import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { NEEDS_DOCKER_CLI, NEEDS_ENGINE, withDaemon } from '../support/daemon.ts';

const DAEMON = resolve(import.meta.dirname, '../../src/main/daemon.ts');

/** Runs a daemon that is expected to end by itself. */
function runDaemon(args: readonly string[]): { code: number | null; stderr: string } {
  const { status, stderr } = spawnSync(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', DAEMON, ...args],
    {
      encoding: 'utf8',
      timeout: 20_000,
    },
  );
  return { code: status, stderr };
}

describe('slipway daemon', { skip: NEEDS_ENGINE }, () => {
  it('answers _ping, version and info, keeps its root to itself and ends on SIGTERM', async () => {
    await withDaemon(async (daemon) => {
      const ping = await daemon.client.send('HEAD', '/_ping');
      assert.equal(ping.status, 200);
      assert.equal(ping.headers['api-version'], '1.47');
      assert.equal(ping.headers['builder-version'], '1');
      assert.equal(ping.headers['swarm'], 'inactive');
      const info = await daemon.client.call<{
        DockerRootDir: string;
        LiveRestoreEnabled: boolean;
        NCPU: number;
        ID: string;
      }>('GET', '/info');
      assert.equal(info.DockerRootDir, daemon.root);
      assert.equal(info.LiveRestoreEnabled, true);
      assert.match(info.ID, /^[0-9a-f-]{36}$/);
      assert.equal(statSync(daemon.root).mode & 0o777, 0o700);
      assert.equal(statSync(daemon.socketPath).mode & 0o777, 0o660);
      const again = await daemon.restart();
      assert.equal((await again.client.call<{ ID: string }>('GET', '/info')).ID, info.ID);
    });
  });

  it('refuses a root that another daemon has open, naming it, and a socket that answers', async () => {
    await withDaemon(async (daemon) => {
      const common = ['--config-file', '/dev/null', '--exec-root', join(daemon.dir, 'exec2')];
      const sameRoot = runDaemon([
        ...common,
        '--root',
        daemon.root,
        '--host',
        `unix://${daemon.dir}/two.sock`,
      ]);
      assert.equal(sameRoot.code, 1);
      assert.match(sameRoot.stderr, new RegExp(`process ${daemon.pid} is using it`));
      const sameSocket = runDaemon([...common, '--root', join(daemon.dir, 'root2'), '--host', daemon.host]);
      assert.equal(sameSocket.code, 1);
      assert.match(sameSocket.stderr, /another daemon answers there/);
      assert.equal((await daemon.client.send('GET', '/_ping')).status, 200);
    });
  });

  it('refuses bad settings before it touches anything', () => {
    const dir = mkdtempSync(join(tmpdir(), 'slipway-settings-'));
    try {
      const config = join(dir, 'daemon.json');
      writeFileSync(config, JSON.stringify({ 'data-root': join(dir, 'root'), 'no-such-key': 1 }));
      const rows: readonly [readonly string[], RegExp][] = [
        [['--no-such-flag'], /no-such-flag/],
        [['--host', 'http://x'], /unix:\/\/\/path or tcp:\/\/address:port expected/],
        [['--host', 'tcp://0.0.0.0:0'], /needs mutual TLS/],
        [['--storage-driver', 'btrfs'], /unknown storage driver "btrfs"/],
        [['--tls'], /--tlscacert/],
        [['--group', 'no-such-group-here'], /group "no-such-group-here" does not exist/],
        [['--registry-mirror', 'ftp://x'], /is no http or https URL/],
        [['--config-file', config], /don't match any configuration option: no-such-key/],
        [['--config-file', join(dir, 'missing.json')], /cannot read configuration file/],
      ];
      for (const [args, want] of rows) {
        const roots = args.includes('--config-file')
          ? []
          : ['--config-file', '/dev/null', '--root', join(dir, 'r'), '--exec-root', join(dir, 'e')];
        const result = runDaemon([...roots, ...args]);
        assert.notEqual(result.code, 0, args.join(' '));
        assert.match(result.stderr, want);
      }
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

  it('takes its settings from daemon.json', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'slipway-config-'));
    const config = join(dir, 'daemon.json');
    writeFileSync(
      config,
      JSON.stringify({
        labels: ['site=test'],
        'live-restore': true,
        'registry-mirrors': ['https://mirror.example'],
      }),
    );
    try {
      await withDaemon(
        async (daemon) => {
          const info = await daemon.client.call<{ Labels: string[]; RegistryConfig: { Mirrors: string[] } }>(
            'GET',
            '/info',
          );
          assert.deepEqual(info.Labels, ['site=test']);
          assert.deepEqual(info.RegistryConfig.Mirrors, ['https://mirror.example']);
        },
        { args: ['--config-file', config] },
      );
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

  it('serves TCP over mutual TLS only to who has a certificate', {
    skip: spawnSync('openssl', ['version']).status === 0 ? false : 'openssl is not installed',
  }, async () => {
    const dir = mkdtempSync(join(tmpdir(), 'slipway-tls-'));
    try {
      const files = makeCertificates(dir);
      const tls = ['--tls', '--tlscacert', files.ca, '--tlscert', files.cert, '--tlskey', files.key];
      await withDaemon(
        async (daemon) => {
          const port = /API listen on 127\.0\.0\.1:(\d+)/.exec(daemon.log())?.[1] ?? '';
          const url = `https://127.0.0.1:${port}/_ping`;
          const anonymous = spawnSync('curl', ['-s', '--cacert', files.ca, url]);
          assert.equal(anonymous.stdout.toString(), '');
          assert.match(String(anonymous.status), /^(35|52|55|56)$/, 'the handshake fails');
          const known = spawnSync(
            'curl',
            ['-s', '--cacert', files.ca, '--cert', files.cert, '--key', files.key, url],
            { encoding: 'utf8' },
          );
          assert.equal(known.stdout, 'OK');
        },
        { args: ['--host', 'tcp://127.0.0.1:0', ...tls] },
      );
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

  it('goes on when a client sends nonsense or leaves in the middle', async () => {
    await withDaemon(async (daemon) => {
      for (let i = 0; i < 20; i++) {
        const broken = request({ socketPath: daemon.socketPath, path: '/v1.47/images/load', method: 'POST' });
        broken.on('error', () => undefined);
        broken.write(Buffer.alloc(10_000, i));
        await sleep(5);
        broken.destroy();
      }
      assert.equal((await daemon.client.send('GET', '/_ping')).status, 200);
    });
  });
});

describe('docker CLI', { skip: NEEDS_DOCKER_CLI }, () => {
  it('shows version, info and an empty engine', async () => {
    await withDaemon(async (daemon) => {
      assert.match(
        daemon.dockerOk(['version']),
        /Server: Slipway Engine[\s\S]*API version: +1\.47 \(minimum version 1\.24\)/,
      );
      assert.match(daemon.dockerOk(['info']), /Storage Driver: (overlay2|vfs)/);
      assert.equal(daemon.dockerOk(['images', '-q']), '');
      assert.match(daemon.dockerOk(['system', 'df']), /Build Cache/);
      const swarm = daemon.docker(['node', 'ls']);
      assert.match(swarm.stderr, /This node is not a swarm manager/);
      const missing = daemon.docker(['inspect', '--type', 'image', 'nothing']);
      assert.match(missing.stderr, /[Nn]o such image: nothing/);
    });
  });

  it('streams events of networks and volumes', async () => {
    await withDaemon(async (daemon) => {
      const events = spawn('docker', ['events', '--format', '{{.Type}} {{.Action}}'], {
        env: { ...process.env, DOCKER_HOST: daemon.host },
      });
      let seen = '';
      events.stdout.on('data', (chunk) => {
        seen += String(chunk);
      });
      // The CLI is there when the engine counts a listener.
      while ((await daemon.client.call<{ NEventsListener: number }>('GET', '/info')).NEventsListener === 0)
        await sleep(20);
      daemon.dockerOk(['volume', 'create', 'one']);
      daemon.dockerOk(['network', 'create', 'two']);
      daemon.dockerOk(['network', 'rm', 'two']);
      for (
        const end = Date.now() + 5000;
        !seen.includes('network destroy') && Date.now() < end;
        await sleep(20)
      );
      const ended = once(events, 'exit');
      events.kill();
      await ended;
      assert.equal(seen, 'volume create\nnetwork create\nnetwork destroy\n');
    });
  });
});

function makeCertificates(dir: string): { ca: string; cert: string; key: string } {
  const [cert, key] = [join(dir, 'cert.pem'), join(dir, 'key.pem')];
  const { status, stderr } = spawnSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-days',
      '1',
      '-subj',
      '/CN=test',
      '-addext',
      'subjectAltName=IP:127.0.0.1',
      '-keyout',
      key,
      '-out',
      cert,
    ],
    { encoding: 'utf8' },
  );
  assert.equal(status, 0, stderr);
  return { ca: cert, cert, key };
}
