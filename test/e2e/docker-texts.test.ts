/** What the docker CLI prints and how it exits, line by line: every text here was printed by dockerd 26.1.5. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
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
        daemon.dockerOk(['run', '--name', 'none', 'box:1', 'true']);
        assert.equal(daemon.dockerOk(['diff', 'none']), '', driver);
        if (driver === 'overlay2') {
          daemon.dockerOk(['commit', 'none', 'same:1']);
          const layers = daemon.dockerOk(['image', 'inspect', '-f', '{{len .RootFS.Layers}}', 'same:1']);
          assert.equal(layers, '1', 'nothing changed: no layer');
        }
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

/** Flags of `docker run` that are refused before anything is made, and the text of the refusal. */
const REFUSED_FLAGS: readonly (readonly [string, string])[] = [
  [
    '--memory 20m --memory-reservation 30m',
    'Minimum memory limit can not be less than memory reservation limit, see usage',
  ],
  ['--memory-reservation 1m', 'Minimum memory reservation allowed is 6MB'],
  ['--memory 1m', 'Minimum memory limit allowed is 6MB'],
  [
    '--memory 20m --memory-swap 10m',
    'Minimum memoryswap limit should be larger than memory limit, see usage',
  ],
  ['--memory-swap 10m', 'You should always set the Memory limit when using Memoryswap limit, see usage'],
  ['--cpus 0.5 --cpu-quota 1000', 'Conflicting options: Nano CPUs and CPU Quota cannot both be set'],
  ['--cpu-period 1', 'CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)'],
  ['--cpu-quota 1', 'CPU cfs quota can not be less than 1ms (i.e. 1000)'],
  ['--cpuset-cpus x', 'Invalid value x for cpuset cpus: invalid format: x'],
  ['--cpuset-mems 1-0', 'Invalid value 1-0 for cpuset mems: invalid format: 1-0'],
  ['--ipc bad', 'invalid IPC mode: bad'],
  ['--uts host -h foo', 'conflicting options: hostname and the UTS mode'],
  ['--network container:', 'Invalid network mode: invalid container format container:<name|id>'],
  ['--network container:up -h foo', 'conflicting options: hostname and the network mode'],
  [
    '--network container:up -p 80:80',
    'conflicting options: port publishing and the container type network mode',
  ],
  [
    '--network container:up --expose 80',
    'conflicting options: port exposing and the container type network mode',
  ],
  ['--network container:up --dns 1.1.1.1', 'conflicting options: dns and the network mode'],
  [
    '--network container:up --add-host a:1.2.3.4',
    'conflicting options: custom host-to-IP mapping and the network mode',
  ],
  ['--network container:nosuch', 'No such container: nosuch'],
  ['--volumes-from nosuch', 'No such container: nosuch'],
  ['--volumes-from up:bad', 'invalid mode: bad'],
  ['-v vol:/x:ro,rw', 'invalid mode: ro,rw'],
  [
    '-v vol:/x:rprivate',
    `invalid volume specification: 'vol:/x:rprivate': invalid mount config for type "volume": field BindOptions must not be specified`,
  ],
  [
    '-v /tmp:/x:nocopy',
    `invalid volume specification: '/tmp:/x:nocopy': invalid mount config for type "bind": field VolumeOptions must not be specified`,
  ],
  [
    '-v vol:x',
    `invalid volume specification: 'vol:x': invalid mount config for type "volume": invalid mount path: 'x' mount path must be absolute`,
  ],
  [
    '-v vol:/',
    `invalid volume specification: 'vol:/': invalid mount config for type "volume": invalid specification: destination can't be '/'`,
  ],
  ['--mount type=bad,target=/x', 'invalid mount config for type "bad": mount type unknown'],
  [
    '--mount type=tmpfs,target=x',
    `invalid mount config for type "tmpfs": invalid mount path: 'x' mount path must be absolute`,
  ],
  [
    '--mount type=volume,source=vol,target=/',
    `invalid mount config for type "volume": invalid specification: destination can't be '/'`,
  ],
  ['--tmpfs x', "invalid mount path: 'x' mount path must be absolute"],
  ['--tmpfs /', "invalid specification: destination can't be '/'"],
  ['--tmpfs /x:bad', 'invalid tmpfs option "bad"'],
  ['-w rel', "the working directory 'rel' is invalid, it needs to be an absolute path"],
  ['--security-opt no-new-privileges=x', 'invalid --security-opt 2: "no-new-privileges=x"'],
  ['--cap-add nosuch', 'invalid CapAdd: unknown capability: "CAP_NOSUCH"'],
  ['--runtime nosuch', 'unknown or invalid runtime name: nosuch'],
  ['--isolation bad', `Invalid isolation: "bad" - linux only supports 'default'`],
  ['--log-driver nosuch', 'error looking up logging plugin nosuch: plugin "nosuch" not found'],
  ['--log-opt bad=x', "unknown log opt 'bad' for json-file log driver"],
  [
    '--storage-opt size=10G',
    "--storage-opt is supported only for overlay over xfs with 'pquota' mount option",
  ],
];

test('flags of run that cannot be kept are refused with Docker’s words and 125', { skip }, () =>
  withBox((daemon) => {
    daemon.dockerOk(['run', '-d', '--name', 'up', 'box:1', 'sleep', '99']);
    for (const [flags, text] of REFUSED_FLAGS) {
      const result = daemon.docker(['run', '--rm', ...flags.split(' '), 'box:1', 'true']);
      const stderr = `docker: Error response from daemon: ${text}\n\nRun 'docker run --help' for more information\n`;
      assert.deepEqual(result, { code: 125, stdout: '', stderr }, flags);
    }
    for (const [policy, text] of [
      ['on-failure:-1', 'maximum retry count cannot be negative'],
      ['always:3', "maximum retry count can only be used with 'on-failure'"],
    ]) {
      const result = daemon.docker(['create', '--restart', policy ?? '', 'box:1']);
      assert.equal(result.stderr, `Error response from daemon: invalid restart policy: ${text}\n`);
    }
    assert.equal(daemon.dockerOk(['ps', '-aq']).split('\n').length, 1, 'nothing was made');
  }),
);

test('a volume of an image or of -v may be named without its slash', { skip }, () =>
  withBox((daemon) => {
    const found = daemon.dockerOk(['run', '--rm', '-v', 'data', 'box:1', 'stat', '-c', '%n %a', '/data']);
    assert.equal(found, '/data 755');
  }),
);

const RUNC =
  'failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: ';
const EXEC = 'OCI runtime exec failed: exec failed: unable to start container process: ';

/** A command, its exit code, and what it prints on both streams; `{id}` stands for the container's id. */
const CONTAINER_LINES: readonly (readonly [string, number, string])[] = [
  [
    'run --rm box:1 /etc',
    126,
    `docker: Error response from daemon: ${RUNC}exec: "/etc": is a directory: unknown: permission denied\n\nRun 'docker run --help' for more information\n`,
  ],
  [
    'run --rm box:1 /etc/passwd',
    126,
    `docker: Error response from daemon: ${RUNC}exec: "/etc/passwd": permission denied: unknown\n\nRun 'docker run --help' for more information\n`,
  ],
  [
    'run --rm box:1 nosuch',
    127,
    `docker: Error response from daemon: ${RUNC}exec: "nosuch": executable file not found in $PATH: unknown\n\nRun 'docker run --help' for more information\n`,
  ],
  [
    'run --rm box:1 /nosuch',
    127,
    `docker: Error response from daemon: ${RUNC}exec: "/nosuch": stat /nosuch: no such file or directory: unknown\n\nRun 'docker run --help' for more information\n`,
  ],
  ['exec up /etc', 126, `${EXEC}exec: "/etc": is a directory: unknown: permission denied\r\n`],
  ['exec up /etc/passwd', 126, `${EXEC}exec: "/etc/passwd": permission denied: unknown\r\n`],
  ['exec up nosuch', 127, `${EXEC}exec: "nosuch": executable file not found in $PATH: unknown\r\n`],
  [
    'exec -w rel up true',
    126,
    'OCI runtime exec failed: exec failed: Cwd must be an absolute path: unknown\r\n',
  ],
  ['cp up:/nosuch .', 1, 'Error response from daemon: Could not find the file /nosuch in container up\n'],
  ['cp down:/nosuch .', 1, 'Error response from daemon: Could not find the file /nosuch in container down\n'],
  [
    'cp /etc/hostname up:/nosuch/x',
    1,
    'Error response from daemon: Could not find the file /nosuch in container up\n',
  ],
  ['commit -c FOO\\ x down', 1, 'Error response from daemon: FOO is not a valid change command\n'],
  ['commit -c RUN\\ x down', 1, 'Error response from daemon: RUN is not a valid change command\n'],
  ['commit -c ENV\\ a down', 1, 'Error response from daemon: ENV must have two arguments\n'],
  ['import -c Foo\\ x /dev/null', 1, 'Error response from daemon: Foo is not a valid change command\n'],
  ['pause down', 1, 'Error response from daemon: container {id} is not running\n'],
  [
    'rename down b@d',
    1,
    'Error response from daemon: Error when allocating new name: Invalid container name (/b@d), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed\nError: failed to rename container named down\n',
  ],
  [
    'rename down up',
    1,
    'Error response from daemon: Error when allocating new name: Conflict. The container name "/up" is already in use by container "{id}". You have to remove (or rename) that container to be able to reuse that name.\nError: failed to rename container named down\n',
  ],
  ['stop -s NOSUCH down', 0, 'down\n'],
  [
    'rm -l down',
    1,
    'Error response from daemon: Conflict, cannot remove the default link name of the container\n',
  ],
  [
    'volume create a',
    1,
    'Error response from daemon: create a: volume name is too short, names should be at least two alphanumeric characters\n',
  ],
  ['volume create -o bad=1 vol', 1, 'Error response from daemon: create vol: invalid option: "bad"\n'],
];

test('commands on containers print Docker’s lines and end with its codes', { skip }, () =>
  withBox((daemon) => {
    daemon.dockerOk(['run', '-d', '--name', 'up', 'box:1', 'sleep', '99']);
    daemon.dockerOk(['create', '--name', 'down', 'box:1']);
    checkLines(daemon, CONTAINER_LINES);
  }),
);

/** Runs each line; `\ ` keeps a blank inside a word. */
function checkLines(daemon: TestDaemon, lines: readonly (readonly [string, number, string])[]): void {
  for (const [line, code, text] of lines) {
    const words = line.split(/(?<!\\) /).map((word) => word.replaceAll('\\ ', ' '));
    const result = daemon.docker(words);
    const printed = (result.stdout + result.stderr).replaceAll(/[0-9a-f]{64}/g, '{id}');
    assert.deepEqual({ code: result.code, printed }, { code, printed: text }, `docker ${line}`);
  }
}

test('empty continuation lines are told as the classic builder tells them', { skip }, () =>
  withBox((daemon) => {
    const input = 'FROM box:1\nRUN true \\\n\n && true\nRUN echo c \\\n\n && echo d\n';
    const { stdout, stderr } = daemon.docker(['build', '-'], { input, env: { DOCKER_BUILDKIT: '0' } });
    const warnings = (stdout + stderr).split('\n').filter((line) => line.startsWith('[WARNING]'));
    assert.deepEqual(warnings, [
      '[WARNING]: Empty continuation line found in: RUN true  && true',
      '[WARNING]: Empty continuation line found in: RUN echo c  && echo d',
      '[WARNING]: Empty continuation lines will become errors in a future release.',
    ]);
  }),
);

/** Listings and their filters. */
const LISTING_LINES: readonly (readonly [string, number, string])[] = [
  [
    'ps -a --filter exited=x',
    1,
    `Error response from daemon: invalid filter 'exited=x': strconv.Atoi: parsing "x": invalid syntax\n`,
  ],
  ['ps -a --filter is-task=x', 1, `Error response from daemon: invalid filter 'is-task=[x]'\n`],
  [
    'ps -a --filter publish=x',
    1,
    `Error response from daemon: error while looking up for publish x: strconv.ParseUint: parsing "x": invalid syntax\n`,
  ],
  ['logs --details ran', 0, ' out\n'],
  [
    'kill -s 99 ran',
    1,
    'Error response from daemon: cannot kill container: ran: the linux daemon does not support signal 99\n',
  ],
  ['ps -a --format {{.Image}}', 0, 'box:1\n'],
  ['inspect --format {{index\\ .HostConfig.ReadonlyPaths\\ 0}} ran', 0, '/proc/bus\n'],
  ['save nosuch', 1, 'Error response from daemon: No such image: nosuch\n'],
  ['images --filter reference=b[x', 1, 'Error response from daemon: syntax error in pattern\n'],
  ['tag box:1 box:2', 0, ''],
  ['rmi box:1', 0, 'Untagged: box:1\n'],
  ['ps -a --no-trunc --format {{.Image}}', 0, 'sha256:{id}\n'],
  [
    'image inspect BAD:x:y',
    1,
    '[]\nError response from daemon: invalid reference format: repository name (library/BAD) must be lowercase\n',
  ],
  [
    'pull --platform bad/x/y/z box:1',
    1,
    'Error response from daemon: "bad/x/y/z": cannot parse platform specifier: invalid argument\n',
  ],
  [
    'pull --platform bad box:1',
    1,
    'Error response from daemon: "bad": unknown operating system or architecture: invalid argument\n',
  ],
  [
    'pull --platform b@d box:1',
    1,
    'Error response from daemon: "b@d" is an invalid OS component of "b@d": OSAndVersion specifier component must match "^([A-Za-z0-9_-]+)(?:\\\\(([A-Za-z0-9_.-]*)\\\\))?$": invalid argument\n',
  ],
  [
    'pull --platform linux/b@d box:1',
    1,
    'Error response from daemon: "b@d" is an invalid component of "linux/b@d": platform specifier component must match "^[A-Za-z0-9_-]+$": invalid argument\n',
  ],
];

test('listings, their filters and names are Docker’s', { skip }, () =>
  withBox((daemon) => {
    daemon.dockerOk(['run', '--name', 'ran', 'box:1', 'echo', 'out']);
    checkLines(daemon, LISTING_LINES);
  }),
);

/** A Dockerfile, further flags, and the last line of what the build says. */
const BUILD_ERRORS: readonly (readonly [string, string, string])[] = [
  [
    'FROM box:1 AS x',
    '--target nosuch',
    'Error response from daemon: target stage "nosuch" could not be found',
  ],
  ['FROM box:1', '--isolation bad', 'Error response from daemon: unsupported isolation: "bad"'],
  [
    'FROM box:1',
    '--security-opt bad',
    'Error response from daemon: security options are not supported on linux',
  ],
  ['FROM box:1', '-m 1m', 'Error response from daemon: Minimum memory limit allowed is 6MB'],
  [
    'FROM box:1',
    '--platform bad/x/y/z',
    'Error response from daemon: "bad/x/y/z": cannot parse platform specifier: invalid argument',
  ],
  [
    'FROM box:1\nADD http://127.0.0.1:1/x /',
    '',
    'ADD failed: Get "http://127.0.0.1:1/x": dial tcp 127.0.0.1:1: connect: connection refused',
  ],
  ['FROM box:1\nRUN touch /f\nWORKDIR /f\nRUN true', '', 'Cannot mkdir: /f is not a directory'],
];

test('builds that fail end with Docker’s words', { skip }, () =>
  withBox((daemon) => {
    for (const [input, flags, text] of BUILD_ERRORS) {
      const args = ['build', ...flags.split(' ').filter(Boolean), '-'];
      const { code, stderr } = daemon.docker(args, { input: `${input}\n`, env: { DOCKER_BUILDKIT: '0' } });
      assert.equal(code, 1, input);
      assert.equal(stderr.trimEnd().split('\n').at(-1), text, input);
    }
  }),
);

/** What is asked of networks, volumes and the cache, and refused. */
const NETWORK_LINES: readonly (readonly [string, number, string])[] = [
  ['network create -d nosuch n2', 1, 'Error response from daemon: plugin "nosuch" not found\n'],
  ['network create --ipam-driver nosuch n2', 1, 'Error response from daemon: plugin "nosuch" not found\n'],
  [
    'network create --subnet bad n2',
    1,
    'Error response from daemon: invalid network config:\ninvalid subnet bad: invalid CIDR block notation\n',
  ],
  [
    'network create --subnet 10.77.0.0/33 n2',
    1,
    'Error response from daemon: invalid network config:\ninvalid subnet 10.77.0.0/33: invalid CIDR block notation\n',
  ],
  [
    'network create --subnet 10.77.0.5/16 n2',
    1,
    'Error response from daemon: invalid network config:\ninvalid subnet 10.77.0.5/16: it should be 10.77.0.0/16\n',
  ],
  [
    'network create --ingress n2',
    1,
    'Error response from daemon: Ingress network can only be global scope network\n',
  ],
  [
    'network create --config-from nosuch n2',
    1,
    'Error response from daemon: configuration network "nosuch" does not exist\n',
  ],
  ['network create --subnet 10.77.0.0/16 n3', 0, '{id}\n'],
  [
    'network create --subnet 10.77.1.0/24 n4',
    1,
    'Error response from daemon: Pool overlaps with other one on this address space\n',
  ],
  [
    'network ls -f dangling=bad',
    1,
    `Error response from daemon: invalid value for filter 'dangling', must be "true" (or "1"), or "false" (or "0")\n`,
  ],
  [
    'network prune -f --filter until=bad',
    1,
    'Error response from daemon: failed to parse value as time or duration: "bad"\n',
  ],
  ['network prune -f --filter until=24h', 0, ''],
  [
    'network connect host down',
    1,
    'Error response from daemon: container cannot be disconnected from host network or connected to host network\n',
  ],
  [
    'network connect none down',
    1,
    'Error response from daemon: container cannot be connected to multiple networks with one of the networks in private (none) mode\n',
  ],
  ['volume create --label keep=1 kept', 0, 'kept\n'],
  ['volume prune -af --filter label!=keep', 0, 'Total reclaimed space: 0B\n'],
];

test('networks, volumes and prunes refuse with Docker’s words', { skip }, () =>
  withBox((daemon) => {
    daemon.dockerOk(['create', '--name', 'down', 'box:1']);
    checkLines(daemon, NETWORK_LINES);
  }),
);

test('what is refused at the start of a container is told in Docker’s words', { skip }, () =>
  withBox((daemon) => {
    const port = 20_000 + (process.pid % 20_000);
    daemon.dockerOk(['run', '-d', '--name', 'up', '-p', `127.0.0.1:${port}:80`, 'box:1', 'sleep', '99']);
    daemon.dockerOk(['create', '--name', 'two', '-p', `127.0.0.1:${port}:80`, 'box:1']);
    const external = 'driver failed programming external connectivity on endpoint two ({id})';
    const end = "\n\nRun 'docker run --help' for more information\n";
    checkLines(daemon, [
      [
        'start two',
        1,
        `Error response from daemon: ${external}: Bind for 127.0.0.1:${port} failed: port is already allocated\nError: failed to start containers: two\n`,
      ],
      [
        'run --rm --ipc container:up box:1 true',
        125,
        `docker: Error response from daemon: failed to join IPC namespace: container {id}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)${end}`,
      ],
      [
        'run --rm -u 5:6 --group-add nosuch box:1 id',
        125,
        `docker: Error response from daemon: Unable to find group nosuch: no matching entries in group file${end}`,
      ],
      [
        'run --rm --gpus all box:1 true',
        125,
        `docker: Error response from daemon: could not select device driver "" with capabilities: [[gpu]]${end}`,
      ],
      ['run --rm -h me -e A=b box:1 env', 0, 'PATH=/bin\nHOSTNAME=me\nA=b\nHOME=/root\n'],
    ]);
  }),
);

/** Lines of our own CLI. */
const SLIPWAY_LINES: readonly (readonly [string, number, string])[] = [
  [
    'tag box:1 x@sha256:0000000000000000000000000000000000000000000000000000000000000000',
    1,
    'refusing to create a tag with a digest reference\n',
  ],
  ['pull -a 127.0.0.1:1/box:x', 1, "tag can't be used with --all-tags/-a\n"],
  ['run --env-file /nosuch box:1 true', 125, 'open /nosuch: no such file or directory\n'],
  ['cp /etc/hostname up:/nosuch/', 1, 'no such directory\n'],
  ['cp /etc/hostname up:/etc/passwd/', 1, 'no such directory\n'],
  ['cp /etc/hostname nosuch:/', 1, 'Error response from daemon: No such container: nosuch\n'],
  ['cp a b', 1, 'must specify at least one container source\n'],
  ['logs --since bad up', 1, 'invalid value for "since": failed to parse value as time or duration: "bad"\n'],
  ['start -a up down', 1, 'you cannot start and attach multiple containers at once\n'],
  ['exec up /etc', 126, `${EXEC}exec: "/etc": is a directory: unknown: permission denied\r\n`],
  [
    'rename down up',
    1,
    'Error response from daemon: Error when allocating new name: Conflict. The container name "/up" is already in use by container "{id}". You have to remove (or rename) that container to be able to reuse that name.\n',
  ],
];

test('slipway refuses with the same words', { skip }, () =>
  withBox((daemon) => {
    daemon.dockerOk(['run', '-d', '--name', 'up', 'box:1', 'sleep', '99']);
    daemon.dockerOk(['create', '--name', 'down', 'box:1']);
    for (const [line, code, text] of SLIPWAY_LINES) {
      const result = spawnSync(join(import.meta.dirname, '../../bin/slipway'), line.split(' '), {
        encoding: 'utf8',
        env: { PATH: process.env['PATH'] ?? '', HOME: daemon.dir, DOCKER_HOST: daemon.host },
      });
      const printed = (result.stdout + result.stderr).replaceAll(/[0-9a-f]{64}/g, '{id}');
      assert.deepEqual({ code: result.status, printed }, { code, printed: text }, line);
    }
  }),
);

test('containers that share their IPC namespace share /dev/shm', { skip }, () =>
  withBox((daemon) => {
    const script = 'echo shared > /dev/shm/file; sleep 99';
    daemon.dockerOk(['run', '-d', '--name', 'donor', '--ipc', 'shareable', 'box:1', 'sh', '-c', script]);
    const reads = ['run', '--rm', '--ipc', 'container:donor', 'box:1', 'sh', '-c'];
    assert.equal(daemon.dockerOk([...reads, 'sleep 0.2; cat /dev/shm/file']), 'shared');
    assert.equal(daemon.dockerOk([...reads, 'stat -c %a /dev/shm']), '1777');
    daemon.dockerOk(['restart', '-t', '0', 'donor']);
    assert.equal(daemon.dockerOk([...reads, 'sleep 0.2; ls /dev/shm']), 'file');
  }),
);
