/** The docker CLI as the judge of the engine: texts and exit codes are those of dockerd. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeImageArchive, NEEDS_BUSYBOX } from '../support/busybox.ts';
import { NEEDS_RECENT_DOCKER_CLI, type TestDaemon, withDaemon } from '../support/daemon.ts';

const skip = NEEDS_RECENT_DOCKER_CLI || NEEDS_BUSYBOX;

function withBox(body: (daemon: TestDaemon) => void): Promise<void> {
  return withDaemon(async (daemon) => {
    daemon.dockerOk(['load'], { input: makeImageArchive({ tags: ['box:1'] }).archive });
    body(daemon);
  });
}

/** Each row: a command, its exit code, and what its error output holds. */
function refuses(daemon: TestDaemon, rows: readonly (readonly [string, number, RegExp])[]): void {
  for (const [line, code, text] of rows) {
    const result = daemon.docker(line.split(' '));
    assert.equal(result.code, code, `docker ${line}\n${result.stdout}${result.stderr}`);
    assert.match(result.stdout + result.stderr, text, line);
  }
}

test('what docker refuses is refused with its words and its exit code', { skip }, () =>
  withBox((daemon) => {
    daemon.dockerOk(['run', '-d', '--name', 'up', 'box:1', 'sleep', '99']);
    daemon.dockerOk(['create', '--name', 'down', 'box:1']);
    refuses(daemon, [
      ['run --rm box:1 nosuch', 127, /exec: "nosuch": executable file not found in \$PATH/],
      ['run --rm box:1 /etc/passwd', 126, /permission denied/],
      [
        'run --rm --network container:nosuch box:1 true',
        125,
        /^docker: Error response from daemon: No such container: nosuch\n/,
      ],
      ['run --rm --runtime nosuch box:1 true', 125, /unknown or invalid runtime name: nosuch/],
      ['run --rm --network nosuch box:1 true', 125, /network nosuch not found/],
      [
        'run --rm -u nosuch box:1 true',
        125,
        /unable to find user nosuch: no matching entries in passwd file/,
      ],
      ['kill nosuch', 1, /cannot kill container: nosuch: No such container: nosuch/],
      ['kill -s NOSUCH up', 1, /cannot kill container: up: invalid signal: NOSUCH/],
      ['kill down', 1, /cannot kill container: down: container [0-9a-f]{64} is not running/],
      ['exec up nosuch', 127, /OCI runtime exec failed: .*executable file not found in \$PATH/],
      ['exec -u nosuch up true', 126, /^unable to find user nosuch: no matching entries in passwd file/],
      ['exec -w /nosuch up true', 126, /chdir to cwd \("\/nosuch"\)/],
      ['network create bridge', 1, /operation is not permitted on predefined bridge network/],
      ['network rm bridge', 1, /bridge is a pre-defined network and cannot be removed/],
    ]);
  }),
);

test(
  'what runs in a container has the default rights, no foreign descriptors, and its limits',
  { skip },
  () =>
    withBox((daemon) => {
      const run = (...args: string[]): string => daemon.dockerOk(['run', '--rm', ...args]);
      const status = run('box:1', 'cat', '/proc/self/status');
      assert.match(status, /^CapInh:\t0{16}$/m);
      assert.match(status, /^CapEff:\t00000000a80425fb$/m, 'the 14 defaults');
      assert.match(status, /^Seccomp:\t2$/m);
      const bare = run(
        '--cap-drop',
        'ALL',
        '--security-opt',
        'no-new-privileges',
        'box:1',
        'cat',
        '/proc/self/status',
      );
      assert.match(bare, /^CapBnd:\t0{16}$/m);
      assert.match(bare, /^NoNewPrivs:\t1$/m);
      // The fourth is the directory that `ls` reads.
      assert.equal(run('box:1', 'ls', '/proc/self/fd'), '0\n1\n2\n3');
      daemon.dockerOk(['run', '-d', '--name', 'up', 'box:1', 'sleep', '99']);
      assert.equal(daemon.dockerOk(['exec', 'up', 'ls', '/proc/self/fd']), '0\n1\n2\n3');
      assert.equal(run('-u', 'nobody', '--group-add', '7', 'box:1', 'id', '-G'), '65534 7');
      assert.equal(run('--ulimit', 'nofile=99:100', 'box:1', 'sh', '-c', 'ulimit -n'), '99');
      for (let fd = 3; fd < 12; fd++) {
        const result = daemon.docker(['run', '--rm', '-w', `/proc/self/fd/${fd}`, 'box:1', 'true']);
        assert.notEqual(result.code, 0, `a working directory at descriptor ${fd} is refused`);
      }
    }),
);

test('a Dockerfile outside the context or from stdin is read beside it', { skip }, () =>
  withBox((daemon) => {
    const context = join(daemon.dir, 'context');
    mkdirSync(context);
    writeFileSync(join(context, 'a'), 'hello\n');
    const text = 'FROM box:1\nCOPY a /a\nCMD ["cat", "/a"]\n';
    writeFileSync(join(daemon.dir, 'Outside'), text);
    daemon.dockerOk(['build', '-q', '-t', 'in:1', '-f', '-', context], { input: text });
    daemon.dockerOk(['build', '-q', '-t', 'out:1', '-f', join(daemon.dir, 'Outside'), context]);
    for (const image of ['in:1', 'out:1']) assert.equal(daemon.dockerOk(['run', '--rm', image]), 'hello');
  }),
);

test('a heredoc with a shebang is run by the program it names', { skip }, () =>
  withBox((daemon) => {
    const text = 'FROM box:1\nRUN <<EOF\n#!/bin/cat\nshown as it is\nEOF\nRUN test ! -e /dev/pipes\n';
    const result = daemon.docker(['build', '-'], { input: text, env: { DOCKER_BUILDKIT: '0' } });
    assert.equal(result.code, 0, result.stdout + result.stderr);
    assert.match(result.stdout + result.stderr, /^shown as it is$/m);
  }),
);
