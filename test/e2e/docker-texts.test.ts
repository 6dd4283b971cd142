/** What the docker CLI prints and how it exits, line by line: every text here was printed by dockerd 26.1.5. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
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

test('the files of a container that are no mounts are there, and no change of its own', { skip }, () =>
  withBox((daemon) => {
    daemon.dockerOk(['run', '--name', 'one', 'box:1', 'ls', '-l', '/.dockerenv', '/etc/mtab']);
    const listing = daemon.dockerOk(['logs', 'one']);
    assert.match(listing, /^-rwxr-xr-x .* \/\.dockerenv$/m);
    assert.match(listing, /^lrwxrwxrwx .* \/etc\/mtab -> \/proc\/mounts$/m);
    assert.equal(daemon.dockerOk(['diff', 'one']), '');
    daemon.dockerOk(['commit', 'one', 'made:1']);
    const names = daemon.dockerOk(['run', '--rm', '--entrypoint', 'ls', 'made:1', '-a', '/etc']);
    assert.match(names, /^mtab$/m);
    daemon.dockerOk(['create', '--name', 'two', 'made:1']);
    assert.doesNotMatch(listOf(daemon, 'two'), /mtab|dockerenv/, 'a commit does not hold them');
  }),
);

/** Names in a container's export. */
function listOf(daemon: TestDaemon, container: string): string {
  const archive = join(daemon.dir, 'export.tar');
  daemon.dockerOk(['export', '-o', archive, container]);
  return execFileSync('tar', ['-tf', archive], { encoding: 'utf8' });
}

test('a tmpfs has the mode and the owner that are asked for, else the kernel’s own', { skip }, () =>
  withBox((daemon) => {
    const modeOf = (...args: readonly string[]): string =>
      daemon.dockerOk(['run', '--rm', ...args, 'box:1', 'stat', '-c', '%a %u', '/x']);
    assert.equal(modeOf('--tmpfs', '/x'), '1777 0');
    assert.equal(modeOf('--tmpfs', '/x:mode=1770,size=1m'), '1770 0');
    assert.equal(modeOf('--tmpfs', '/x:mode=700,uid=5'), '700 5');
    assert.equal(modeOf('--mount', 'type=tmpfs,target=/x,tmpfs-mode=1770'), '1770 0');
    assert.equal(modeOf('--mount', 'type=tmpfs,target=/x'), '1777 0');
  }),
);

test('diff, commit and export know a container’s changes with every storage driver', { skip }, async () => {
  const script =
    'echo new > /etc/new; echo changed >> /etc/passwd; rm /etc/group; mkdir -p /a/b; rm -r /root';
  for (const driver of ['overlay2', 'vfs']) {
    await withDaemon(
      async (daemon) => {
        const { archive } = makeImageArchive({ tags: ['box:1'], files: { 'root/old': 'old\n' } });
        daemon.dockerOk(['load'], { input: archive });
        daemon.dockerOk(['run', '--name', 'one', 'box:1', 'sh', '-c', script]);
        assert.deepEqual(
          daemon.dockerOk(['diff', 'one']).split('\n').sort(),
          ['A /a', 'A /a/b', 'A /etc/new', 'C /etc', 'C /etc/passwd', 'D /etc/group', 'D /root'],
          driver,
        );
        daemon.dockerOk(['commit', 'one', 'made:1']);
        const shown = daemon.dockerOk([
          'run',
          '--rm',
          'made:1',
          'sh',
          '-c',
          'cat /etc/new; ls /etc /a; ls /',
        ]);
        assert.match(shown, /^new$/m);
        assert.doesNotMatch(shown, /^(?:group|root)$/m, driver);
        assert.match(listOf(daemon, 'one'), /^etc\/new$/m);
      },
      { args: ['--storage-driver', driver] },
    );
  }
});
