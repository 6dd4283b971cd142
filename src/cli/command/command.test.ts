import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { encodeTarHeader, paddingOf, readTar, TAR_END, type TarHeaderInput } from '#base/tar/index.ts';
import { parseReference } from '#oci/reference/index.ts';
import { containerBody } from './container-body.ts';
import { CONTAINER_FLAGS } from './container-flags.ts';
import { parseDetachKeys } from './detach-keys.ts';
import { extractTree } from './extract.ts';
import { parseLine } from './flags.ts';
import { chooseEngine } from './host.ts';
import { momentOf } from './logs.ts';
import { formatPorts } from './ps.ts';
import { COMMANDS, findLoader, GROUPS } from './registry.ts';
import { type Answer, withShell } from './testing.ts';
import type { CliContext, Flag } from './types.ts';

const FLAGS: readonly Flag[] = [
  { name: 'all', short: 'a', kind: 'bool', help: '' },
  { name: 'rm', kind: 'bool', default: true, help: '' },
  { name: 'num', short: 'n', kind: 'int', default: 3, help: '' },
  { name: 'env', short: 'e', kind: 'list', help: '' },
  { name: 'user', short: 'u', kind: 'string', help: '' },
  { name: 'checked', short: 'c', kind: 'list', help: '', check: parseReference },
];

test('flags are read as docker reads them', () => {
  const { args, flags } = parseLine(
    ['-an5', 'x', '--env', 'A=1', '-eB=2', '--rm=false', '--user=', '--', '-a'],
    FLAGS,
  );
  assert.deepEqual(args, ['x', '-a']);
  assert.deepEqual(
    [flags.bool('all'), flags.int('num'), flags.list('env'), flags.bool('rm')],
    [true, 5, ['A=1', 'B=2'], false],
  );
  assert.deepEqual(
    [flags.string('user'), flags.has('user'), parseLine([], FLAGS).flags.int('num')],
    ['', true, 3],
  );
  const stopped = parseLine(['-a', 'image', '-n', '--rm'], FLAGS, { stopAtFirst: true });
  assert.deepEqual(stopped.args, ['image', '-n', '--rm']);
  for (const [words, message] of [
    [['--nope'], /^CodedError: unknown flag: --nope$/],
    [
      ['--checked', 'Bad:v1'],
      /^CodedError: invalid argument "Bad:v1" for "-c, --checked" flag: invalid reference format/,
    ],
    [['-cBad:v1'], /^CodedError: invalid argument "Bad:v1" for "-c, --checked" flag: /],
    [['-x'], /unknown shorthand flag: 'x' in -x/],
    [['--num'], /flag needs an argument: --num/],
    [['--num', 'x'], /invalid argument "x" for .*strconv\.ParseInt/],
    [['--all=maybe'], /strconv\.ParseBool: parsing "maybe": invalid syntax/],
  ] as const)
    assert.throws(() => parseLine(words, FLAGS), message);
});

test('a flag with a typing error is corrected', () => {
  assert.throws(() => parseLine(['--nmu', '3'], FLAGS), {
    help: { id: 'cli/unknown-flag', fix: ['did you mean --num?'] },
  });
});

test('every word leads to a command with a usage, a summary and described flags', async () => {
  const entries = new Set([
    ...Object.keys(COMMANDS),
    ...Object.values(GROUPS).flatMap(({ commands }) => Object.values(commands)),
  ]);
  for (const entry of entries) {
    const command = await findLoader(entry)?.();
    assert.ok(command, entry);
    assert.ok(command.usage !== '' && command.summary !== '', entry);
    const names = command.flags.map(({ name }) => name);
    assert.equal(new Set(names).size, names.length, entry);
    const shorts = command.flags.flatMap(({ short }) => short ?? []);
    assert.equal(new Set(shorts).size, shorts.length, entry);
    for (const flag of command.flags) assert.ok(flag.help !== '', `${entry} --${flag.name}`);
  }
});

function bodyOf(...words: string[]): ReturnType<typeof containerBody> {
  const { args, flags } = parseLine(words, CONTAINER_FLAGS, { stopAtFirst: true });
  const context = {
    workingDir: '/w',
    homeDir: '/home/u',
    environment: { OWN: 'value' },
    stdout: { isTTY: false },
  } as unknown as CliContext;
  return containerBody(context, args[0] ?? '', args.slice(1), flags, {
    stdin: false,
    stdout: true,
    stderr: true,
  });
}

test('run flags become the body docker would send', () => {
  const body = bodyOf(
    '-it',
    '-p',
    '127.0.0.1:8080:80',
    '-p',
    '9000-9001:90-91/udp',
    '-e',
    'A=b',
    '-e',
    'OWN',
    '-e',
    'ABSENT',
    '-v',
    './data:/data:ro',
    '-v',
    'named:/n',
    '-v',
    '/anon',
    '--memory',
    '64m',
    '--cpus',
    '1.5',
    '--restart',
    'on-failure:3',
    '--ulimit',
    'nofile=10:20',
    '--health-cmd',
    'true',
    '--health-interval',
    '1m30s',
    '--network',
    'net1',
    '--network-alias',
    'al',
    '--mount',
    'type=bind,src=./m,dst=/m,readonly',
    '--tmpfs',
    '/t:size=1m',
    '--entrypoint',
    '',
    'image',
    'cmd',
    '-x',
  );
  assert.deepEqual(
    [body['Image'], body['Cmd'], body['Entrypoint'], body['Tty'], body['OpenStdin']],
    ['image', ['cmd', '-x'], [''], true, true],
  );
  assert.deepEqual(body['Env'], ['A=b', 'OWN=value']);
  assert.deepEqual(body['ExposedPorts'], { '80/tcp': {}, '90/udp': {}, '91/udp': {} });
  assert.deepEqual(body['Volumes'], { '/anon': {} });
  assert.deepEqual(body['Healthcheck'], { Test: ['CMD-SHELL', 'true'], Interval: 90e9 });
  const host = body.HostConfig;
  assert.deepEqual(host['PortBindings'], {
    '80/tcp': [{ HostIp: '127.0.0.1', HostPort: '8080' }],
    '90/udp': [{ HostIp: '', HostPort: '9000' }],
    '91/udp': [{ HostIp: '', HostPort: '9001' }],
  });
  assert.deepEqual(host['Binds'], ['/w/data:/data:ro', 'named:/n']);
  assert.deepEqual([host['Memory'], host['NanoCpus']], [64 * 1024 * 1024, 1.5e9]);
  assert.deepEqual(host['RestartPolicy'], { Name: 'on-failure', MaximumRetryCount: 3 });
  assert.deepEqual(host['Ulimits'], [{ Name: 'nofile', Soft: 10, Hard: 20 }]);
  assert.deepEqual(host['Mounts'], [{ Type: 'bind', Target: '/m', Source: '/w/m', ReadOnly: true }]);
  assert.deepEqual(host['Tmpfs'], { '/t': 'size=1m' });
  assert.equal(host['NetworkMode'], 'net1');
  assert.deepEqual(body['NetworkingConfig'], { EndpointsConfig: { net1: { Aliases: ['al'] } } });
  for (const words of [
    ['-p', 'a:b', 'i'],
    ['-p', '70000', 'i'],
    ['--memory', 'lots', 'i'],
    ['--mount', 'type=bind,src=/a', 'i'],
    ['--mount', 'type=bind,src=/a,dst=/b,huh=1', 'i'],
    ['--ulimit', 'x', 'i'],
    ['--health-interval', 'soon', 'i'],
  ])
    assert.throws(() => bodyOf(...words), { code: 'invalid_argument' }, words.join(' '));
});

test('ports are shown as docker shows them', () => {
  assert.equal(
    formatPorts([
      { IP: '0.0.0.0', PrivatePort: 80, PublicPort: 8080, Type: 'tcp' },
      { IP: '::', PrivatePort: 80, PublicPort: 8080, Type: 'tcp' },
      { PrivatePort: 90, Type: 'tcp' },
      { PrivatePort: 91, Type: 'tcp' },
    ]),
    '0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 90-91/tcp',
  );
});

test('detach keys and moments are read, and nonsense is refused', () => {
  assert.deepEqual([...parseDetachKeys(undefined)], [16, 17]);
  assert.deepEqual([...parseDetachKeys('ctrl-a,x')], [1, 120]);
  assert.throws(() => parseDetachKeys('ctrl-aa'), /Unknown character/);
  assert.equal(momentOf('90s', 1_000_000), '910.000000000');
  assert.equal(momentOf('1.5'), '1.5');
  assert.equal(momentOf('2026-01-01T00:00:00Z'), '1767225600.000000000');
});

test('the engine is chosen by flag, variable, context, then socket', async () => {
  const facts = { homeDir: '/nonexistent', configPath: '/nonexistent/config.json', config: async () => ({}) };
  const of = async (more: object): Promise<string> => {
    const { endpoint, because } = await chooseEngine({ environment: {}, ...facts, ...more });
    return `${endpoint.text} ${because}`;
  };
  assert.equal(await of({ host: 'tcp://a:1', environment: { DOCKER_HOST: 'tcp://b:1' } }), 'tcp://a:1 -H');
  assert.equal(
    await of({ environment: { SLIPWAY_HOST: 'tcp://s:1', DOCKER_HOST: 'tcp://b:1' } }),
    'tcp://s:1 SLIPWAY_HOST',
  );
  assert.equal(await of({ environment: { DOCKER_HOST: 'tcp://b:1' } }), 'tcp://b:1 DOCKER_HOST');
  await assert.rejects(of({ context: 'nope' }), /context "nope": context not found/);
});

const echo: Answer = (request, response, body) => {
  response.writeHead(200, { 'content-type': 'application/json' });
  if (request.url === '/images/json') response.end('[]');
  else if (request.url?.startsWith('/build'))
    response.end(`{"stream":"got ${body.byteLength}\\n"}\n{"aux":{"ID":"sha256:abc"}}\n`);
  else if (request.url === '/auth') response.end(JSON.stringify({ Status: 'Login Succeeded' }));
  else response.writeHead(404).end(JSON.stringify({ message: 'No such thing' }));
};

test('usage errors, unknown commands and help have the exit codes of docker', () =>
  withShell(echo, async ({ run }) => {
    const rows: [string[], number, RegExp][] = [
      [['--help'], 0, /Usage: {2}slipway \[OPTIONS\] COMMAND/],
      [['images', '--help'], 0, /Usage: {2}slipway images \[OPTIONS\]/],
      [['image'], 0, /Usage: {2}slipway image COMMAND/],
      [['help', 'tag'], 0, /Usage: {2}slipway tag SOURCE_IMAGE/],
      [['--version'], 0, /Slipway version 0\.0\.0-test/],
      [['nope'], 1, /'nope' is not a slipway command/],
      [['image', 'nope'], 1, /'image nope' is not a slipway command/],
      [['constructor'], 1, /is not a slipway command/],
      [['images', '--nope'], 125, /unknown flag: --nope/],
      [['tag', 'one'], 1, /'slipway tag' requires 2 arguments/],
      [['run'], 1, /'slipway run' requires at least 1 argument/],
      [['build', '-t', 'x:1'], 1, /fix: {3}slipway build -t x:1 \./],
      [['images'], 0, /REPOSITORY +TAG +IMAGE ID/],
    ];
    for (const [words, code, text] of rows) {
      const outcome = await run(words);
      assert.equal(outcome.code, code, words.join(' '));
      assert.match(outcome.stdout + outcome.stderr, text, words.join(' '));
    }
  }));

test('login stores what the engine accepted, warns on -p, and needs a terminal to ask', () =>
  withShell(echo, async ({ run, dir }) => {
    const first = await run(['login', '-u', 'me', '--password-stdin', 'reg:5000'], { stdin: 'secret\n' });
    assert.deepEqual([first.code, first.stdout], [0, 'Login Succeeded\n']);
    const stored = JSON.parse(readFileSync(join(dir, 'config.json'), 'utf8')) as {
      auths: Record<string, { auth: string }>;
    };
    assert.equal(Buffer.from(stored.auths['reg:5000']?.auth ?? '', 'base64').toString(), 'me:secret');
    const second = await run(['login', '-u', 'me', '-p', 'x', 'reg:5000']);
    assert.match(second.stderr, /WARNING! Using --password via the CLI is insecure\. Use --password-stdin\./);
    const third = await run(['login', 'reg:5000']);
    assert.equal(third.code, 1);
    assert.match(third.stderr, /cannot perform an interactive login from a non-TTY device/);
    const fourth = await run(['logout', 'reg:5000']);
    assert.equal(fourth.stdout, 'Removing login credentials for reg:5000\n');
    assert.doesNotMatch(first.stdout + first.stderr + second.stdout + second.stderr, /secret|auth=/);
  }));

async function* streamOf(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function contextOf(body: Buffer): Promise<string[]> {
  const names: string[] = [];
  for await (const entry of readTar(streamOf(body)))
    names.push(`${entry.path}${entry.linkTarget ? ` -> ${entry.linkTarget}` : ''}`);
  return names;
}

test('build sends the tree without what is ignored, and a Dockerfile from elsewhere beside it', async () => {
  let sent: Buffer = Buffer.alloc(0);
  const answer: Answer = (request, response, body) => {
    sent = body;
    echo(request, response, body);
  };
  await withShell(answer, async ({ run, dir, requests }) => {
    const context = join(dir, 'ctx');
    mkdirSync(join(context, 'node_modules/deep'), { recursive: true });
    for (const [path, text] of Object.entries({
      Dockerfile: 'FROM x',
      'a.txt': 'a',
      'node_modules/deep/keep.js': 'k',
      'node_modules/drop.js': 'd',
      '.dockerignore': 'node_modules\nDockerfile\n.dockerignore\n!node_modules/deep/keep.js\n',
    }))
      writeFileSync(join(context, path), text);
    symlinkSync('../../etc/passwd', join(context, 'link'));
    const built = await run([
      'build',
      '-t',
      'a:1',
      '--build-arg',
      'V=1',
      '--iidfile',
      join(dir, 'iid'),
      'ctx',
    ]);
    assert.equal(built.code, 0, built.stderr);
    assert.match(built.stdout, /^Sending build context to Docker daemon {2}\S+\ngot \d+\n$/);
    assert.equal(readFileSync(join(dir, 'iid'), 'utf8'), 'sha256:abc');
    assert.match(
      requests[0] ?? '',
      /POST \/build\?t=a%3A1&buildargs=%7B%22V%22%3A%221%22%7D.*&dockerfile=Dockerfile$/,
    );
    assert.deepEqual(await contextOf(sent), [
      '.dockerignore',
      'Dockerfile',
      'a.txt',
      'link -> ../../etc/passwd',
      'node_modules/',
      'node_modules/deep/',
      'node_modules/deep/keep.js',
    ]);
    const piped = await run(['build', '-q', '-f', '-', 'ctx'], { stdin: 'FROM y' });
    assert.equal(piped.stdout, 'sha256:abc\n');
    const names = await contextOf(sent);
    assert.equal(names.filter((name) => name.startsWith('.dockerfile.')).length, 1);
    await run(['build', '-'], { stdin: 'FROM z' });
    assert.deepEqual(await contextOf(sent), ['Dockerfile']);
    const missing = await run(['build', '-f', 'Nope', 'ctx']);
    assert.match(missing.stderr, /error\[build\/no-dockerfile\]: unable to prepare context/);
  });
});

function archive(...entries: (TarHeaderInput & { readonly text?: string })[]): AsyncIterable<Uint8Array> {
  const parts = entries.flatMap(({ text = '', ...header }) => [
    encodeTarHeader({ ...header, sizeBytes: text.length }),
    Buffer.from(text),
    Buffer.alloc(paddingOf(text.length)),
  ]);
  return streamOf(Buffer.concat([...parts, TAR_END]));
}

test('an archive from a container cannot write outside its target', () =>
  withShell(echo, async ({ dir }) => {
    const target = join(dir, 'target');
    mkdirSync(target);
    writeFileSync(join(dir, 'canary'), 'alive');
    const file = { type: 'file', mode: 0o4755, text: 'x' } as const;
    const link = { type: 'symlink', mode: 0o777, path: 'd/out', linkTarget: '../..' } as const;
    const hostile = [
      archive({ path: '../canary', ...file }),
      archive({ path: 'd/../../canary', ...file }),
      archive(link, { path: 'd/out/canary', ...file }),
      archive(link, { path: 'd/hard', type: 'hardlink', mode: 0o644, linkTarget: 'd/out/canary' }),
    ];
    for (const source of hostile)
      await assert.rejects(extractTree(source, { rootDir: target, keepOwners: false }), {
        code: 'invalid_argument',
      });
    assert.equal(readFileSync(join(dir, 'canary'), 'utf8'), 'alive');
    await extractTree(archive({ path: 'a/b', ...file }), {
      rootDir: target,
      topName: 'renamed',
      keepOwners: false,
    });
    assert.equal(readFileSync(join(target, 'renamed/b'), 'utf8'), 'x');
  }));
