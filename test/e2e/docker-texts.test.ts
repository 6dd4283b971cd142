/** What the docker CLI prints and how it exits, line by line: every text here was printed by dockerd 26.1.5. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeImageArchive, NEEDS_BUSYBOX } from '../support/busybox.ts';
import { NEEDS_DOCKER_CLI, type TestDaemon, withDaemon } from '../support/daemon.ts';

const skip = NEEDS_DOCKER_CLI || NEEDS_BUSYBOX;

function withBox(body: (daemon: TestDaemon) => void): Promise<void> {
  return withDaemon(async (daemon) => {
    daemon.dockerOk(['load'], { input: makeImageArchive({ tags: ['box:1'] }).archive });
    body(daemon);
  });
}

/** Events since `seconds`, one a line: `container prune {"reclaimed":"0"}`. */
function eventsSince(daemon: TestDaemon, seconds: number, ...filters: readonly string[]): readonly string[] {
  const until = Math.ceil(Date.now() / 1000) + 1;
  const format = '{{.Type}} {{.Action}} {{json .Actor.Attributes}}';
  const args = filters.flatMap((filter) => ['--filter', filter]);
  return daemon
    .dockerOk(['events', '--since', `${seconds}`, '--until', `${until}`, '--format', format, ...args])
    .split('\n');
}

test('a prune is an event, after those of what it removed', { skip }, () =>
  withBox((daemon) => {
    daemon.dockerOk(['create', '--name', 'one', 'box:1']);
    daemon.dockerOk(['volume', 'create', 'vol']);
    daemon.dockerOk(['network', 'create', 'net']);
    const since = Date.now() / 1000;
    for (const type of ['container', 'network']) daemon.dockerOk([type, 'prune', '-f']);
    daemon.dockerOk(['volume', 'prune', '-af']);
    daemon.dockerOk(['image', 'prune', '-af']);
    const events = eventsSince(daemon, since);
    assert.deepEqual(
      events.map((line) =>
        line.replaceAll(/sha256:[0-9a-f]{64}/g, 'ID').replace(/(image prune .*:")\d+/, '$1N'),
      ),
      [
        'container destroy {"image":"box:1","name":"one"}',
        'container prune {"reclaimed":"0"}',
        'network destroy {"name":"net","type":"bridge"}',
        'network prune {"reclaimed":"0"}',
        'volume destroy {"driver":"local"}',
        'volume prune {"reclaimed":"0"}',
        'image untag {"name":"ID"}',
        'image delete {"name":"ID"}',
        'image prune {"reclaimed":"N"}',
      ],
    );
    assert.deepEqual(eventsSince(daemon, since, 'nosuch=1'), events, 'an unknown filter filters nothing');
  }),
);
