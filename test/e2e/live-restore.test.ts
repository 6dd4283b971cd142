import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeImageArchive, NEEDS_BUSYBOX } from '../support/busybox.ts';
import { NEEDS_DOCKER_CLI, type TestDaemon, withDaemon } from '../support/daemon.ts';

const options = { skip: NEEDS_DOCKER_CLI || NEEDS_BUSYBOX };

/** Prints a number every 50 ms and ends with 7 when it is told to. */
const COUNTER = 'trap "exit 7" TERM; i=0; while true; do echo $i; i=$((i+1)); sleep 0.05; done';

async function startCounter(daemon: TestDaemon): Promise<void> {
  daemon.dockerOk(['load', '-q'], { input: makeImageArchive({ tags: ['box:v1'] }).archive });
  daemon.dockerOk(['run', '-d', '--name', 'counter', 'box:v1', 'sh', '-c', COUNTER]);
  await sleep(300);
}

/** Every number from 0 on is in the log, once and in order. */
function assertWhole(log: string): void {
  const numbers = log.trim().split('\n').map(Number);
  assert.deepEqual(
    numbers,
    numbers.map((_, i) => i),
  );
  assert.ok(numbers.length > 5, `only ${numbers.length} lines`);
}

describe('containers outlive the engine', options, () => {
  for (const how of ['stop', 'kill'] as const) {
    it(`goes on over a ${how} of the daemon, with every byte of output and the exit code`, async () => {
      await withDaemon(async (daemon) => {
        await startCounter(daemon);
        const pid = daemon.dockerOk(['inspect', '-f', '{{.State.Pid}}', 'counter']);
        await daemon[how]();
        await sleep(300);
        const again = await daemon.restart();
        assert.equal(
          again.dockerOk(['inspect', '-f', '{{.State.Status}} {{.State.Pid}}', 'counter']),
          `running ${pid}`,
        );
        assert.equal(again.dockerOk(['exec', 'counter', 'echo', 'still here']), 'still here');
        await sleep(200);
        again.dockerOk(['stop', 'counter']);
        assert.equal(again.dockerOk(['wait', 'counter']), '7');
        assertWhole(again.dockerOk(['logs', 'counter']));
      });
    });
  }

  it('learns how a container ended while no engine was there', async () => {
    await withDaemon(async (daemon) => {
      daemon.dockerOk(['load', '-q'], { input: makeImageArchive({ tags: ['box:v1'] }).archive });
      daemon.dockerOk([
        'run',
        '-d',
        '--name',
        'short',
        'box:v1',
        'sh',
        '-c',
        'sleep 1; echo last words; exit 9',
      ]);
      daemon.dockerOk(['run', '-d', '--rm', '--name', 'gone', 'box:v1', 'sleep', '1']);
      await daemon.kill();
      await sleep(1500);
      const again = await daemon.restart();
      assert.equal(
        again.dockerOk(['inspect', '-f', '{{.State.Status}} {{.State.ExitCode}}', 'short']),
        'exited 9',
      );
      assert.equal(again.dockerOk(['logs', 'short']), 'last words');
      for (
        const end = Date.now() + 5000;
        again.docker(['inspect', 'gone']).code === 0 && Date.now() < end;
        await sleep(50)
      );
      assert.equal(again.docker(['inspect', 'gone']).code, 1);
    });
  });
});
