/** The docker CLI's everyday commands on containers: copy both ways, signals, changes, listings. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
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

/** A directory with a file, a link to it, and one below. */
function makeTree(daemon: TestDaemon): string {
  const dir = join(daemon.dir, 'tree');
  mkdirSync(join(dir, 'sub'), { recursive: true });
  writeFileSync(join(dir, 'f'), 'one\n', { mode: 0o741 });
  writeFileSync(join(dir, 'sub/g'), 'two\n');
  symlinkSync('f', join(dir, 'link'));
  return dir;
}

function refuses(daemon: TestDaemon, args: readonly string[], text: RegExp): void {
  const result = daemon.docker(args);
  assert.notEqual(result.code, 0, args.join(' '));
  assert.match(result.stderr, text, args.join(' '));
}

test('cp carries files, directories and links both ways', { skip }, () =>
  withBox((daemon) => {
    const tree = makeTree(daemon);
    const out = join(daemon.dir, 'out');
    const ok = (...args: string[]): string => daemon.dockerOk(args);
    ok('run', '-d', '--name', 'up', 'box:1', 'sleep', '99');
    ok('cp', tree, 'up:/');
    assert.equal(
      ok('exec', 'up', 'stat', '-c', '%a %F', '/tree/f', '/tree/link'),
      '741 regular file\n777 symbolic link',
    );
    ok('cp', `${tree}/.`, 'up:/tmp');
    assert.equal(ok('exec', 'up', 'cat', '/tmp/sub/g'), 'two');
    ok('cp', 'up:/tree', out);
    assert.equal(readFileSync(join(out, 'sub/g'), 'utf8'), 'two\n');
    assert.equal(readlinkSync(join(out, 'link')), 'f');
    ok('cp', 'up:/tree/link', join(out, 'as-link'));
    assert.equal(readlinkSync(join(out, 'as-link')), 'f');
    ok('cp', '-L', 'up:/tree/link', join(out, 'followed'));
    assert.ok(lstatSync(join(out, 'followed')).isFile());
    ok('cp', '-L', join(tree, 'link'), 'up:/followed');
    assert.equal(ok('exec', 'up', 'stat', '-c', '%F', '/followed'), 'regular file');
    const tar = execFileSync('docker', ['cp', 'up:/tree', '-'], {
      env: { ...process.env, DOCKER_HOST: daemon.host },
    });
    const names = execFileSync('tar', ['t'], { input: tar, encoding: 'utf8' }).trim().split('\n');
    assert.deepEqual(names, ['tree/', 'tree/f', 'tree/link', 'tree/sub/', 'tree/sub/g']);
    daemon.dockerOk(['cp', '-', 'up:/root'], { input: tar });
    assert.equal(ok('exec', 'up', 'cat', '/root/tree/link'), 'one');
    refuses(daemon, ['cp', 'up:/nosuch', out], /Could not find the file \/nosuch in container /);
    refuses(daemon, ['cp', join(tree, 'f'), 'up:/nosuch/x'], /Could not find the file \/nosuch in container/);
    refuses(daemon, ['cp', tree, 'up:/tree/f'], /cannot copy directory/);
  }),
);

test(
  'cp follows the links of the container, never out of it, and keeps what is of another kind',
  { skip },
  () =>
    withBox((daemon) => {
      const tree = makeTree(daemon);
      const ok = (...args: string[]): string => daemon.dockerOk(args);
      ok(
        'run',
        '-d',
        '--name',
        'up',
        'box:1',
        'sh',
        '-c',
        'mkdir -p /a/real; ln -s /a/real /short; ln -s /a/real /tmp/abs; ln -s /nowhere /dangling; mkdir /dir; touch /file; sleep 99',
      );
      ok('exec', 'up', 'sh', '-c', 'until test -e /file; do :; done');
      ok('cp', join(tree, 'f'), 'up:/short');
      assert.equal(ok('exec', 'up', 'ls', '/a/real'), 'f');
      const inLink = execFileSync('tar', ['-C', tree, '--transform', 's,^,abs/,', '-c', 'sub/g']);
      daemon.dockerOk(['cp', '-', 'up:/tmp'], { input: inLink });
      assert.equal(
        ok('exec', 'up', 'cat', '/a/real/sub/g'),
        'two',
        'a link in the target is one of the container',
      );
      ok('cp', join(tree, 'f'), 'up:/dangling');
      assert.equal(ok('exec', 'up', 'cat', '/nowhere'), 'one');
      refuses(daemon, ['cp', join(tree, 'sub'), 'up:/short/../../../../../../file'], /cannot copy directory/);
      const mixed = execFileSync('tar', ['-C', tree, '--transform', 's,^f$,dir,', '-c', 'f']);
      const refused = daemon.docker(['cp', '-', 'up:/'], { input: mixed });
      assert.match(refused.stderr, /cannot overwrite directory "\/dir" with non-directory/);
      assert.equal(
        ok('exec', 'up', 'stat', '-c', '%F', '/dir'),
        'directory',
        'a file does not replace a directory',
      );
    }),
);

test('cp reaches the volumes of a container that does not run, and says what is read-only', { skip }, () =>
  withBox((daemon) => {
    const tree = makeTree(daemon);
    const ok = (...args: string[]): string => daemon.dockerOk(args);
    const file = join(tree, 'f');
    ok(
      'create',
      '--name',
      'data',
      '-v',
      'vol:/data',
      '-v',
      `${tree}:/host/tree:ro`,
      '-v',
      'inner:/data/in',
      'box:1',
      'sh',
      '-c',
      'cat /data/f /data/in/f; touch /ran',
    );
    ok('cp', file, 'data:/data/f');
    ok('cp', file, 'data:/data/in/');
    ok('cp', file, 'data:/etc/own');
    refuses(daemon, ['cp', file, 'data:/host/tree/x'], /mounted volume is marked read-only/);
    ok('cp', 'data:/host/tree/sub/g', join(daemon.dir, 'g'));
    assert.equal(readFileSync(join(daemon.dir, 'g'), 'utf8'), 'two\n');
    assert.equal(ok('diff', 'data'), 'C /etc\nA /etc/own', 'mount points are no changes');
    const names = execFileSync('tar', ['t'], {
      input: execFileSync('docker', ['export', 'data'], {
        env: { ...process.env, DOCKER_HOST: daemon.host },
        maxBuffer: 2 ** 26,
      }),
      encoding: 'utf8',
    });
    assert.doesNotMatch(names, /^data\/f$/m, 'export leaves volumes out');
    assert.equal(ok('start', '-a', 'data'), 'one\none');
    ok('cp', 'data:/data/in/f', join(daemon.dir, 'after'));
    assert.equal(ok('diff', 'data').split('\n').sort().join(' '), 'A /etc/own A /ran C /etc');
    const mounts = readFileSync('/proc/self/mounts', 'utf8');
    assert.ok(!mounts.includes(`${daemon.dir}/exec/views`), 'no view stays mounted');
    assert.ok(existsSync(join(tree, 'sub/g')));
    ok(
      'run',
      '-d',
      '--name',
      'ro',
      '--read-only',
      '-v',
      'vol:/data',
      '--tmpfs',
      '/scratch',
      'box:1',
      'sleep',
      '99',
    );
    refuses(daemon, ['cp', file, 'ro:/x'], /container rootfs is marked read-only/);
    ok('cp', file, 'ro:/scratch/');
    ok('cp', file, 'ro:/data/more');
  }),
);

test('cp -a gives what is copied to the container’s user', { skip }, () =>
  withBox((daemon) => {
    const file = join(daemon.dir, 'owned');
    writeFileSync(file, '');
    chownSync(file, 7, 8);
    daemon.dockerOk(['run', '-d', '--name', 'up', '-u', 'nobody', 'box:1', 'sleep', '99']);
    daemon.dockerOk(['cp', file, 'up:/tmp/plain']);
    daemon.dockerOk(['cp', '-a', file, 'up:/tmp/archive']);
    assert.equal(
      daemon.dockerOk(['exec', 'up', 'stat', '-c', '%u:%g', '/tmp/plain', '/tmp/archive']),
      '7:8\n65534:65534',
    );
  }),
);

test('kill by name ends a container, with its own signal or the default', { skip }, () =>
  withBox((daemon) => {
    for (const args of [[], ['-s', 'KILL'], ['-s', 'TERM']]) {
      daemon.dockerOk([
        'run',
        '-d',
        '--name',
        'up',
        '--restart',
        'always',
        'box:1',
        'sh',
        '-c',
        'trap "exit 3" TERM; while :; do sleep 0.01; done',
      ]);
      daemon.dockerOk(['exec', 'up', 'true']);
      assert.equal(daemon.dockerOk(['kill', ...args, 'up']), 'up');
      assert.match(daemon.dockerOk(['wait', 'up']), /^(137|3)$/);
      assert.equal(daemon.dockerOk(['inspect', '-f', '{{.State.Status}}', 'up']), 'exited');
      daemon.dockerOk(['rm', 'up']);
    }
  }),
);

test('a volume with options is what its device is, while somebody uses it', { skip }, () =>
  withDaemon(async (first) => {
    first.dockerOk(['load'], { input: makeImageArchive({ tags: ['box:1'] }).archive });
    const device = join(first.dir, 'device');
    mkdirSync(device);
    writeFileSync(join(device, 'own'), 'of the host\n');
    const create = (name: string, options: readonly string[]): readonly string[] => [
      'volume',
      'create',
      ...options.flatMap((option) => ['-o', option]),
      name,
    ];
    const mounts = (daemon: TestDaemon): number =>
      readFileSync('/proc/self/mounts', 'utf8').split(`${daemon.dir}/root/volumes/`).length - 1;
    refuses(first, create('bad', ['device=/x']), /missing required option: "type"/);
    refuses(first, create('bad', ['o=bind']), /missing required option: "device"/);
    refuses(first, create('bad', ['colour=red']), /invalid option: "colour"/);
    first.dockerOk(create('bound', ['type=none', 'o=bind', `device=${device}`]));
    first.dockerOk(create('memory', ['type=tmpfs', 'device=tmpfs', 'o=size=1m,uid=7']));
    first.dockerOk(create('lost', ['type=none', 'o=bind', 'device=/nosuch']));
    refuses(
      first,
      ['run', '--rm', '-v', 'lost:/l', 'box:1', 'true'],
      /failed to mount local volume: .*\/nosuch/,
    );
    first.dockerOk([
      'run',
      '-d',
      '--name',
      'one',
      '-v',
      'bound:/b',
      '-v',
      'memory:/m',
      'box:1',
      'sleep',
      '99',
    ]);
    assert.equal(
      first.dockerOk(['exec', 'one', 'sh', '-c', 'touch /b/new /m/new; cat /b/own; stat -c %u /m']),
      'of the host\n7',
    );
    assert.ok(existsSync(join(device, 'new')));
    const second = await first.restart();
    second.dockerOk([
      'run',
      '--rm',
      '-v',
      'bound:/b:ro',
      '-v',
      'memory:/m',
      'box:1',
      'test',
      '-e',
      '/m/new',
      '-a',
      '-e',
      '/b/new',
    ]);
    assert.equal(mounts(second), 2, 'the running container has them');
    second.dockerOk(['rm', '-f', 'one']);
    assert.equal(mounts(second), 0);
    second.dockerOk(['create', '--name', 'still', '-v', 'bound:/b', 'box:1']);
    second.dockerOk(['cp', join(device, 'own'), 'still:/b/copied']);
    assert.ok(existsSync(join(device, 'copied')));
    assert.equal(mounts(second), 0);
    second.dockerOk(['rm', 'still']);
    second.dockerOk(['volume', 'rm', 'bound', 'memory', 'lost']);
    assert.equal(readFileSync(join(device, 'own'), 'utf8'), 'of the host\n', 'the device is not removed');
  }),
);

test('a port is published over the network that leads outward, whichever was named first', { skip }, () =>
  withBox((daemon) => {
    const ok = (...args: string[]): string => daemon.dockerOk(args);
    ok('network', 'create', '--internal', 'inner');
    ok('network', 'create', 'outer');
    const serve = 'mkdir /www; echo page > /www/index.html; exec httpd -f -p 80 -h /www';
    ok('create', '--name', 'web', '--network', 'inner', '-p', '80', 'box:1', 'sh', '-c', serve);
    ok('network', 'connect', 'outer', 'web');
    ok('start', 'web');
    const port = ok('port', 'web', '80').split('\n')[0]?.split(':').at(-1);
    const gateway = ok('network', 'inspect', '-f', '{{(index .IPAM.Config 0).Gateway}}', 'bridge');
    const visit = `for i in 1 2 3 4 5 6 7 8 9; do printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 ${gateway} ${port} && exit; sleep 0.2; done`;
    assert.match(ok('run', '--rm', 'box:1', 'sh', '-c', visit), /^page$/m);
    ok('run', '-d', '--name', 'hidden', '--network', 'inner', '-p', '80', 'box:1', 'sleep', '99');
    assert.equal(ok('port', 'hidden'), '');
  }),
);
