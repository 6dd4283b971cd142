import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeImageArchive, NEEDS_BUSYBOX } from '../support/busybox.ts';
import { NEEDS_DOCKER_CLI, type TestDaemon, withDaemon } from '../support/daemon.ts';

const options = { skip: NEEDS_DOCKER_CLI || NEEDS_BUSYBOX };
const IDLE = ['box:v1', 'sh', '-c', 'trap "exit 0" TERM; while true; do sleep 0.1; done'];

function load(daemon: TestDaemon): void {
  daemon.dockerOk(['load', '-q'], { input: makeImageArchive({ tags: ['box:v1'] }).archive });
}

function run(daemon: TestDaemon, name: string, ...flags: readonly string[]): void {
  daemon.dockerOk(['run', '-d', '--name', name, ...flags, ...IDLE]);
}

/** Addresses that `name` has inside a container; empty when it has none. */
function lookUp(daemon: TestDaemon, container: string, name: string): readonly string[] {
  const { stdout } = daemon.docker(['exec', container, 'nslookup', name]);
  const [, answer = ''] = stdout.split(/\n\n/);
  return [...answer.matchAll(/^Address: ([\d.]+)$/gm)].map(([, address]) => address ?? '').toSorted();
}

function addressOf(daemon: TestDaemon, container: string, network: string): string {
  const format = `{{(index .NetworkSettings.Networks "${network}").IPAddress}}`;
  return daemon.dockerOk(['inspect', '--format', format, container]);
}

describe('names on networks', () => {
  it('are those of containers, aliases and ids, while they are connected', options, async () => {
    await withDaemon(async (daemon) => {
      load(daemon);
      for (const name of ['front', 'back']) daemon.dockerOk(['network', 'create', name]);
      run(daemon, 'web', '--network', 'front', '--network-alias', 'www', '--hostname', 'host1');
      run(daemon, 'cat', '--network', 'front');
      run(daemon, 'far', '--network', 'back');
      const web = addressOf(daemon, 'web', 'front');
      const id = daemon.dockerOk(['inspect', '--format', '{{.Id}}', 'web']).slice(0, 12);
      for (const name of ['web', 'www', 'WEB', id, 'host1', 'web.front'])
        assert.deepEqual(lookUp(daemon, 'cat', name), [web], name);
      assert.match(daemon.dockerOk(['exec', 'cat', 'nslookup', web]), /name = web\.front/);
      assert.match(
        daemon.dockerOk(['exec', 'cat', 'ping', '-c', '1', '-W', '2', 'www']),
        /1 packets received/,
      );
      const conf = daemon.dockerOk(['exec', 'cat', 'cat', '/etc/resolv.conf']);
      assert.match(conf, /^nameserver 127\.0\.0\.11\n/);
      assert.match(conf, /^options .*ndots:0$/m);
      assert.deepEqual(lookUp(daemon, 'far', 'web'), [], 'another network');
      daemon.dockerOk(['network', 'connect', '--alias', 'guest', 'back', 'web']);
      assert.deepEqual(lookUp(daemon, 'far', 'guest'), [addressOf(daemon, 'web', 'back')]);
      daemon.dockerOk(['rename', 'web', 'site']);
      await sleep(100);
      assert.deepEqual([lookUp(daemon, 'far', 'site').length, lookUp(daemon, 'far', 'web').length], [1, 0]);
      daemon.dockerOk(['network', 'disconnect', 'back', 'site']);
      assert.deepEqual(lookUp(daemon, 'far', 'site'), []);
      assert.deepEqual(lookUp(daemon, 'cat', 'site'), [web]);
      daemon.dockerOk(['rm', '-f', 'site']);
      assert.deepEqual(lookUp(daemon, 'cat', 'site'), []);
      daemon.dockerOk(['rm', '-f', 'cat', 'far']);
      for (const name of ['front', 'back']) daemon.dockerOk(['network', 'rm', name]);
    });
  });

  it('may be shared, linked, and are no hindrance to a name server in the container', options, async () => {
    await withDaemon(async (daemon) => {
      load(daemon);
      daemon.dockerOk(['network', 'create', 'net']);
      for (const name of ['w1', 'w2', 'w3'])
        run(daemon, name, '--network', 'net', '--network-alias', 'worker');
      run(daemon, 'cat', '--network', 'net', '--link', 'w1:first');
      const all = ['w1', 'w2', 'w3'].map((name) => addressOf(daemon, name, 'net'));
      assert.deepEqual(lookUp(daemon, 'cat', 'worker'), all.toSorted());
      assert.deepEqual(lookUp(daemon, 'cat', 'first'), [all[0]]);
      assert.deepEqual(lookUp(daemon, 'w2', 'first'), [], 'a link is of one container');
      const server = daemon.docker(['exec', 'cat', 'nc', '-u', '-l', '-p', '53', '-w', '1']);
      assert.doesNotMatch(server.stderr, /in use/);
      daemon.dockerOk(['run', '--rm', '--network', 'container:cat', 'box:v1', 'nslookup', 'w1']);
    });
  });

  it(
    'of others are asked from the servers that were given, but not from internal networks',
    options,
    async () => {
      await withDaemon(async (daemon) => {
        load(daemon);
        daemon.dockerOk(['network', 'create', '--subnet', '10.222.7.0/24', 'net']);
        daemon.dockerOk(['network', 'create', '--internal', 'inside']);
        const flags = ['--dns', '10.222.7.1', '--dns-search', 'example.test', '--dns-option', 'timeout:1'];
        run(daemon, 'cat', '--network', 'net', ...flags);
        run(daemon, 'mouse', '--network', 'inside', ...flags);
        assert.equal(
          daemon.dockerOk(['exec', 'cat', 'cat', '/etc/resolv.conf']),
          'nameserver 127.0.0.11\nsearch example.test\noptions timeout:1 ndots:0',
        );
        const seen: string[] = [];
        const upstream = createSocket('udp4');
        upstream.on('message', (packet, from) => {
          seen.push(packet.toString('latin1', 12));
          const answer = Buffer.concat([
            packet.subarray(0, 2),
            Buffer.from([0x81, 0x80, 0, 1, 0, packet.at(-3) === 1 ? 1 : 0, 0, 0, 0, 0]),
            packet.subarray(12),
            packet.at(-3) === 1 ? Buffer.from('c00c000100010000003c0004c0000201', 'hex') : Buffer.alloc(0),
          ]);
          upstream.send(answer, from.port, from.address);
        });
        upstream.bind(53, '10.222.7.1');
        await once(upstream, 'listening');
        try {
          const ask = (container: string): Promise<string> =>
            execInside(daemon, container, ['nslookup', 'other.example.test']);
          assert.match(await ask('cat'), /192\.0\.2\.1/);
          const before = seen.length;
          assert.ok(before > 0);
          assert.doesNotMatch(await ask('mouse'), /192\.0\.2\.1/);
          assert.equal(seen.length, before, 'the internal network asked nobody');
        } finally {
          upstream.close();
        }
      });
    },
  );

  it('are answered while no engine runs, and after the next one has started', options, async () => {
    await withDaemon(async (daemon) => {
      load(daemon);
      daemon.dockerOk(['network', 'create', 'net']);
      run(daemon, 'web', '--network', 'net');
      const script = 'while true; do nslookup web >/dev/null 2>&1 && echo ok || echo lost; sleep 0.1; done';
      daemon.dockerOk(['run', '-d', '--name', 'cat', '--network', 'net', 'box:v1', 'sh', '-c', script]);
      await sleep(500);
      await daemon.kill();
      await sleep(1000);
      const next = await daemon.restart();
      await sleep(500);
      const lines = next.dockerOk(['logs', 'cat']).split('\n');
      assert.ok(lines.length > 10);
      assert.deepEqual(new Set(lines), new Set(['ok']), 'not one lookup failed');
      run(next, 'new', '--network', 'net');
      assert.deepEqual(lookUp(next, 'new', 'web'), [addressOf(next, 'web', 'net')]);
      const script2 = ['exec', 'cat', 'nslookup', 'new'];
      assert.match(next.dockerOk(script2), new RegExp(addressOf(next, 'new', 'net')));
    });
  });

  it('begin with the first network that has some, also while the container runs', options, async () => {
    await withDaemon(async (daemon) => {
      load(daemon);
      run(daemon, 'cat');
      assert.doesNotMatch(daemon.dockerOk(['exec', 'cat', 'cat', '/etc/resolv.conf']), /127\.0\.0\.11/);
      daemon.dockerOk(['network', 'create', 'net']);
      run(daemon, 'web', '--network', 'net');
      daemon.dockerOk(['network', 'connect', 'net', 'cat']);
      assert.match(daemon.dockerOk(['exec', 'cat', 'cat', '/etc/resolv.conf']), /127\.0\.0\.11/);
      assert.deepEqual(lookUp(daemon, 'cat', 'web'), [addressOf(daemon, 'web', 'net')]);
      const hosts = (): string => daemon.dockerOk(['exec', 'cat', 'cat', '/etc/hosts']);
      const own = new RegExp(`^${addressOf(daemon, 'cat', 'net')}\t`, 'm');
      assert.match(hosts(), own);
      daemon.dockerOk(['network', 'disconnect', 'net', 'cat']);
      assert.doesNotMatch(hosts(), own);
      daemon.dockerOk(['network', 'connect', '--link', 'web:friend', 'net', 'cat']);
      assert.deepEqual(lookUp(daemon, 'cat', 'friend'), [addressOf(daemon, 'web', 'net')]);
    });
  });

  it('of links on the default bridge are in /etc/hosts and the environment', options, async () => {
    await withDaemon(async (daemon) => {
      load(daemon);
      run(daemon, 'store', '--expose', '6379', '-e', 'A=b');
      const address = addressOf(daemon, 'store', 'bridge');
      run(daemon, 'app', '--link', 'store:db');
      assert.match(
        daemon.dockerOk(['exec', 'app', 'cat', '/etc/hosts']),
        new RegExp(`^${address}\\tdb [0-9a-f]{12} store$`, 'm'),
      );
      assert.equal(
        daemon.dockerOk(['inspect', '--format', '{{.HostConfig.Links}}', 'app']),
        '[/store:/app/db]',
      );
      const env = daemon.dockerOk(['exec', 'app', 'cat', '/proc/1/environ']).split('\0');
      for (const entry of [`DB_PORT=tcp://${address}:6379`, 'DB_NAME=/app/db', 'DB_ENV_A=b'])
        assert.ok(env.includes(entry), entry);
      daemon.dockerOk(['restart', '-t', '1', 'store']);
      const now = addressOf(daemon, 'store', 'bridge');
      assert.notEqual(now, address);
      const links = daemon
        .dockerOk(['exec', 'app', 'cat', '/etc/hosts'])
        .split('\n')
        .filter((line) => /\tdb /.test(line));
      assert.deepEqual(
        links.map((line) => line.split('\t')[0]),
        [now],
      );
      const missing = daemon.docker(['create', '--link', 'nobody', 'box:v1']);
      assert.match(missing.stderr, /could not get container for nobody: No such container: nobody/);
      daemon.dockerOk(['stop', 'store', 'app']);
      assert.match(
        daemon.docker(['start', 'app']).stderr,
        /Cannot link to a non running container: \/store AS \/app\/db/,
      );
    });
  });
});

/** As `docker exec`, without blocking this process, which serves something itself. */
async function execInside(
  daemon: TestDaemon,
  container: string,
  command: readonly string[],
): Promise<string> {
  const child = spawn('docker', ['exec', container, ...command], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'] ?? '', DOCKER_HOST: daemon.host },
  });
  let text = '';
  child.stdout.on('data', (chunk) => {
    text += String(chunk);
  });
  await once(child, 'close');
  return text;
}
