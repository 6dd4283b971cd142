import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeImageArchive, NEEDS_BUSYBOX } from '../support/busybox.ts';
import { NEEDS_DOCKER_CLI, type TestDaemon, withDaemon } from '../support/daemon.ts';

const options = { skip: NEEDS_DOCKER_CLI || NEEDS_BUSYBOX };
const IDLE = ['box:v1', 'sh', '-c', 'trap "exit 0" TERM; while true; do sleep 0.1; done'];

interface Health {
  readonly Status: string;
  readonly FailingStreak: number;
  readonly Log: readonly {
    readonly Start: string;
    readonly End: string;
    readonly ExitCode: number;
    readonly Output: string;
  }[];
}

function load(daemon: TestDaemon): void {
  daemon.dockerOk(['load', '-q'], { input: makeImageArchive({ tags: ['box:v1'] }).archive });
}

function healthOf(daemon: TestDaemon, name: string): Health {
  return JSON.parse(daemon.dockerOk(['inspect', '--format', '{{json .State.Health}}', name])) as Health;
}

async function until(
  daemon: TestDaemon,
  name: string,
  condition: (health: Health) => boolean,
): Promise<Health> {
  for (const end = Date.now() + 15_000; ; await sleep(50)) {
    const health = healthOf(daemon, name);
    if (condition(health)) return health;
    if (Date.now() > end) throw new Error(`health of ${name}: ${JSON.stringify(health)}`);
  }
}

function probesOf(daemon: TestDaemon, name: string): number {
  return daemon
    .dockerOk(['top', name])
    .split('\n')
    .filter((line) => line.includes('sleep 77')).length;
}

describe('health checks', () => {
  it(
    'go from starting to unhealthy and healthy, in inspect, ps, its filter and the events',
    options,
    async () => {
      await withDaemon(async (daemon) => {
        load(daemon);
        const since = String(Date.now() / 1000);
        const check = ['--health-cmd', 'echo looking; test -f /ok', '--health-interval', '300ms'];
        daemon.dockerOk(['run', '-d', '--name', 'aa', ...check, '--health-retries', '2', ...IDLE]);
        assert.deepEqual(healthOf(daemon, 'aa'), { Status: 'starting', FailingStreak: 0, Log: [] });
        assert.match(daemon.dockerOk(['ps', '--format', '{{.Status}}']), /^Up .* \(health: starting\)$/);
        const bad = await until(daemon, 'aa', ({ Status }) => Status === 'unhealthy');
        assert.ok(bad.FailingStreak >= 2);
        assert.deepEqual([bad.Log[0]?.ExitCode, bad.Log[0]?.Output], [1, 'looking\n']);
        assert.match(daemon.dockerOk(['ps', '--format', '{{.Status}}']), /^Up .* \(unhealthy\)$/);
        assert.equal(daemon.dockerOk(['ps', '-q', '--filter', 'health=healthy']), '');
        daemon.dockerOk(['exec', 'aa', 'touch', '/ok']);
        const good = await until(daemon, 'aa', ({ Status, Log }) => Status === 'healthy' && Log.length === 5);
        assert.equal(good.FailingStreak, 0);
        assert.match(
          daemon.dockerOk(['ps', '--format', '{{.Status}}', '--filter', 'health=healthy']),
          /\(healthy\)$/,
        );
        const until_ = String(Date.now() / 1000);
        const events = daemon.dockerOk([
          ...['events', '--since', since, '--until', until_, '--filter', 'event=health_status'],
          ...['--format', '{{.Action}}'],
        ]);
        assert.deepEqual(events.split('\n'), ['health_status: unhealthy', 'health_status: healthy']);
        const refused = daemon.docker(['ps', '--filter', 'health=fine']);
        assert.match(refused.stderr, /unrecognized filter value for health: fine/);
        daemon.dockerOk(['stop', 'aa']);
        assert.equal(healthOf(daemon, 'aa').Status, 'unhealthy');
        daemon.dockerOk(['start', 'aa']);
        assert.equal(healthOf(daemon, 'aa').Status, 'starting');
      });
    },
  );

  it('come from the image, and can be switched off', options, async () => {
    await withDaemon(async (daemon) => {
      load(daemon);
      const file = 'FROM box:v1\nHEALTHCHECK --interval=200ms CMD ["echo", "fine"]\n';
      const built = daemon.docker(['build', '-t', 'checked', '-'], {
        input: file,
        env: { DOCKER_BUILDKIT: '0' },
      });
      assert.equal(built.code, 0, built.stderr);
      daemon.dockerOk(['run', '-d', '--name', 'aa', 'checked', ...IDLE.slice(1)]);
      daemon.dockerOk(['run', '-d', '--name', 'bb', '--no-healthcheck', 'checked', ...IDLE.slice(1)]);
      daemon.dockerOk(['run', '-d', '--name', 'cc', '--health-retries', '9', 'checked', ...IDLE.slice(1)]);
      await until(daemon, 'aa', ({ Status }) => Status === 'healthy');
      await until(daemon, 'cc', ({ Status }) => Status === 'healthy');
      assert.equal(healthOf(daemon, 'bb'), null);
      assert.equal(daemon.dockerOk(['ps', '--format', '{{.Names}}', '--filter', 'health=none']), 'bb');
      const negative = daemon.docker(['create', '--health-interval', '10us', 'checked']);
      assert.match(negative.stderr, /Interval in Healthcheck cannot be less than 1ms/);
    });
  });

  it('that take too long are killed with what they started, and long output is cut', options, async () => {
    await withDaemon(async (daemon) => {
      load(daemon);
      const slow = ['--health-cmd', 'echo hm; sleep 77; true', '--health-timeout', '400ms'];
      daemon.dockerOk(['run', '-d', '--name', 'aa', ...slow, '--health-interval', '200ms', ...IDLE]);
      const health = await until(daemon, 'aa', ({ Log }) => Log.length >= 2);
      assert.deepEqual(
        [health.Log[0]?.ExitCode, health.Log[0]?.Output],
        [-1, 'Health check exceeded timeout (400ms): hm\n'],
      );
      assert.ok(probesOf(daemon, 'aa') <= 2, 'killed probes do not pile up');
      const loud = ['--health-cmd', 'yes | head -c 10000', '--health-interval', '200ms'];
      daemon.dockerOk(['run', '-d', '--name', 'bb', ...loud, ...IDLE]);
      const { Log } = await until(daemon, 'bb', (one) => one.Log.length > 0);
      assert.deepEqual([Log[0]?.ExitCode, Log[0]?.Output.length], [0, 4096 + 3]);
      const missing = ['--health-cmd', 'x', '--health-interval', '200ms'];
      daemon.dockerOk(['run', '-d', '--name', 'cc', ...missing, ...IDLE]);
      assert.equal((await until(daemon, 'cc', (one) => one.Log.length > 0)).Log[0]?.ExitCode, 127);
    });
  });

  it('rest while the container is paused, and end with it', options, async () => {
    await withDaemon(async (daemon) => {
      load(daemon);
      const check = ['--health-cmd', 'sleep 77', '--health-interval', '50ms'];
      daemon.dockerOk(['run', '-d', '--name', 'aa', ...check, ...IDLE]);
      while (probesOf(daemon, 'aa') === 0) await sleep(50);
      daemon.dockerOk(['pause', 'aa']);
      assert.equal(probesOf(daemon, 'aa'), 0, 'the probe went before the container was frozen');
      await sleep(300);
      assert.equal(probesOf(daemon, 'aa'), 0);
      assert.equal(healthOf(daemon, 'aa').Log.length, 0, 'an interrupted probe does not count');
      daemon.dockerOk(['unpause', 'aa']);
      while (probesOf(daemon, 'aa') === 0) await sleep(50);
      const before = Date.now();
      daemon.dockerOk(['stop', 'aa']);
      assert.ok(Date.now() - before < 4000, 'the probe does not hold up the stop');
      assert.equal(daemon.dockerOk(['wait', 'aa']), '0');
    });
  });

  it('go on under a new engine after the old one was killed', options, async () => {
    await withDaemon(async (daemon) => {
      load(daemon);
      const check = ['--health-cmd', 'test ! -f /bad', '--health-interval', '200ms', '--health-retries', '1'];
      daemon.dockerOk(['run', '-d', '--name', 'aa', ...check, ...IDLE]);
      await until(daemon, 'aa', ({ Status }) => Status === 'healthy');
      await daemon.kill();
      const next = await daemon.restart();
      assert.equal(healthOf(next, 'aa').Status, 'healthy');
      next.dockerOk(['exec', 'aa', 'touch', '/bad']);
      await until(next, 'aa', ({ Status }) => Status === 'unhealthy');
    });
  });
});
