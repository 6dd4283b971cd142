import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Network, NetworkStore } from '#runtime/network/types.ts';
import type { VolumeStore } from '#runtime/volume/types.ts';
import { openDatabase } from '#store/metadata/index.ts';
import { startExitCode } from './lifecycle.ts';
import { readLog } from './logs.ts';
import { resolveMounts } from './mounts.ts';
import { checkName, makeName } from './names.ts';
import { checkEndpoints } from './networking.ts';
import { ContainerRecords } from './records.ts';
import { baseName, goMode } from './rooted-tree.ts';
import { commandOf, completeHostSettings, completeSettings, parseSignal, parseSize } from './settings.ts';
import { DetachScanner, parseDetachKeys } from './streams.ts';
import type { ContainerRecord, LogQuery } from './types.ts';

const ALL: Omit<LogQuery, 'signal'> = {
  stdout: true,
  stderr: true,
  follow: false,
  tail: undefined,
  since: undefined,
  until: undefined,
};

describe('completeSettings', () => {
  const image = {
    Entrypoint: ['/entry'],
    Cmd: ['a', 'b'],
    Env: ['A=1', 'B=2'],
    Labels: { x: '1' },
    WorkingDir: '/w',
    User: 'u',
  };

  it('takes what the client did not say from the image', () => {
    const done = completeSettings({}, image, 'f'.repeat(64));
    assert.deepEqual(commandOf(done), ['/entry', 'a', 'b']);
    assert.deepEqual([done.Hostname, done.User, done.WorkingDir], ['f'.repeat(12), 'u', '/w']);
  });

  it('keeps the entrypoint with a new command, and drops the command with a new entrypoint', () => {
    assert.deepEqual(commandOf(completeSettings({ Cmd: ['x'] }, image, '')), ['/entry', 'x']);
    assert.deepEqual(commandOf(completeSettings({ Entrypoint: ['sh'] }, image, '')), ['sh']);
    assert.deepEqual(commandOf(completeSettings({ Entrypoint: [''], Cmd: ['x'] }, image, '')), ['x']);
  });

  it('merges environment and labels by name', () => {
    const done = completeSettings({ Env: ['A=9', 'C'], Labels: { y: '2' } }, image, '');
    assert.deepEqual(done.Env, ['A=9', 'B=2']);
    assert.deepEqual(done.Labels, { x: '1', y: '2' });
  });

  it('refuses a container without a command', () => {
    assert.throws(() => completeSettings({}, {}, ''), {
      code: 'invalid_argument',
      message: 'no command specified',
    });
  });
});

describe('completeHostSettings', () => {
  const bad: readonly [object, RegExp][] = [
    [{ RestartPolicy: { Name: 'sometimes' } }, /unknown policy 'sometimes'/],
    [{ AutoRemove: true, RestartPolicy: { Name: 'always' } }, /can't create 'AutoRemove' container/],
    [{ RestartPolicy: { Name: 'always', MaximumRetryCount: 2 } }, /maximum retry count/],
    [{ Memory: 1024 }, /Minimum memory limit allowed is 6MB/],
    [{ MemorySwap: 1024 ** 3 }, /You should always set the Memory limit/],
    [{ LogConfig: { Type: 'smoke' } }, /plugin "smoke" not found/],
    [{ OomScoreAdj: 2000 }, /range for oom score adj/],
  ];
  for (const [settings, message] of bad) {
    it(`refuses ${JSON.stringify(settings)}`, () => {
      assert.throws(() => completeHostSettings(settings), { code: 'invalid_argument', message });
    });
  }

  it('names the default network and gives as much swap as memory', () => {
    const done = completeHostSettings({ NetworkMode: 'default', Memory: 10 * 1024 ** 2 });
    assert.deepEqual([done.NetworkMode, done.MemorySwap], ['bridge', 20 * 1024 ** 2]);
  });
});

describe('checkEndpoints', () => {
  const shared = { driver: 'bridge', internal: false, ipv6: false, bridgeName: 'x', options: {}, labels: {} };
  const makeNetwork = (name: string, more: Partial<Network>): Network => ({
    ...{
      ...shared,
      id: name.repeat(8),
      name,
      subnet: '10.9.0.0/24',
      gateway: '10.9.0.1',
      createdAt: new Date(0),
    },
    ...(more as object),
    driver: 'bridge',
  });
  const known = [makeNetwork('fixed', {}), makeNetwork('free', { isSubnetChosen: true })];
  const networks = { listNetworks: () => known } as unknown as NetworkStore;
  const address = (IPv4Address: string): object => ({ IPAMConfig: { IPv4Address } });
  const rows: readonly [string, object, string | undefined][] = [
    ['bridge', address('172.17.0.9'), 'user specified IP address is supported on user defined networks only'],
    [
      'default',
      address('172.17.0.9'),
      'user specified IP address is supported on user defined networks only',
    ],
    ['bridge', { Aliases: ['a'] }, 'network-scoped aliases are only supported for user-defined networks'],
    ['fixed', address('10.9.1.1'), 'no configured subnet or ip-range contain the IP address 10.9.1.1'],
    ['fixed', address('10.9.0'), 'invalid IPv4 address: 10.9.0'],
    [
      'free',
      address('10.9.0.7'),
      'user specified IP address is supported only when connecting to networks with user configured subnets',
    ],
    ['fixed', address('10.9.0.7'), undefined],
    ['later', address('10.9.0.7'), undefined],
    ['bridge', {}, undefined],
  ];
  for (const [name, request, problem] of rows) {
    it(`${problem === undefined ? 'takes' : 'refuses'} ${JSON.stringify(request)} on "${name}"`, () => {
      const check = (): void => checkEndpoints({ NetworkMode: 'bridge' }, { [name]: request }, networks);
      if (problem === undefined) check();
      else {
        const shown = name === 'default' ? 'bridge' : name;
        assert.throws(check, {
          code: 'invalid_argument',
          message: `invalid config for network ${shown}: invalid endpoint settings:\n${problem}`,
        });
      }
    });
  }
});

describe('names, signals, sizes', () => {
  it('reads names with and without a slash, and refuses others with Docker’s text', () => {
    assert.equal(checkName('/web_1'), 'web_1');
    for (const name of ['-x', 'a/b', 'é', 'a', '.x', 'a b']) {
      assert.throws(() => checkName(name), {
        message: `Invalid container name (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`,
      });
    }
  });

  it('makes up a name even when the first ones are taken', () => {
    let asked = 0;
    assert.match(
      makeName(() => ++asked <= 7),
      /^[a-z]+_[a-z]+\d+$/,
    );
  });

  it('reads signals by name and number', () => {
    const rows: readonly [string, number][] = [
      ['KILL', 9],
      ['SIGTERM', 15],
      ['sigint', 2],
      ['10', 10],
      ['RTMIN+1', 35],
      ['SIGRTMAX', 64],
    ];
    for (const [text, want] of rows) assert.equal(parseSignal(text), want, text);
    for (const text of ['0', '65', 'NOPE', '', 'RTMIN+40'])
      assert.throws(() => parseSignal(text), { message: `invalid signal: ${text}` });
  });

  it('reads sizes', () => {
    assert.deepEqual(['10m', '1g', '512', '-1', '1.5k'].map(parseSize), [
      10 * 1024 ** 2,
      1024 ** 3,
      512,
      -1,
      1536,
    ]);
    assert.throws(() => parseSize('many'), { code: 'invalid_argument' });
  });

  it('gives the exit codes of starts that failed', () => {
    assert.equal(startExitCode('exec: "x": executable file not found in $PATH'), 127);
    assert.equal(startExitCode('exec: "/etc": permission denied'), 126);
    assert.equal(startExitCode('something else'), 128);
  });

  it('names what is copied, and turns modes into Go’s', () => {
    assert.deepEqual(['/a/b', '/a/b/', '/a/.', '/'].map(baseName), ['b', 'b', '.', '.']);
    assert.equal(goMode(0o040755), 2 ** 31 + 0o755);
    assert.equal(goMode(0o104755), 2 ** 23 + 0o755);
    assert.equal(goMode(0o120777), 2 ** 27 + 0o777);
  });
});

describe('detach keys', () => {
  it('are found when they come in pieces, and what only looked like them is passed on', () => {
    const scanner = new DetachScanner(parseDetachKeys(''));
    assert.deepEqual(scanner.scan(Buffer.from('ab\x10')), { pass: Buffer.from('ab'), detached: false });
    assert.deepEqual(scanner.scan(Buffer.from('c')), { pass: Buffer.from('\x10c'), detached: false });
    assert.equal(scanner.scan(Buffer.from('\x10')).pass.length, 0);
    assert.equal(scanner.scan(Buffer.from('\x11')).detached, true);
  });

  it('that make no sense are refused', () => {
    assert.deepEqual([...parseDetachKeys('ctrl-a,x')], [1, 120]);
    assert.throws(() => parseDetachKeys('ctrl-p,nope'), {
      message: 'Invalid detach keys (ctrl-p,nope) provided',
    });
  });
});

describe('mounts', () => {
  const volumes = {
    ensureVolume: async ({ name }: { name?: string }) => ({
      name: name ?? 'anon',
      mountpoint: `/v/${name ?? 'anon'}`,
      driver: 'local',
    }),
  } as unknown as VolumeStore;
  const resolve = (host: object, config: object = {}) =>
    resolveMounts({ config, host }, volumes, () => {
      throw new Error('no container is asked for');
    });

  it('come from -v, --mount, --tmpfs and the image, each target once', async () => {
    const made = await resolve(
      {
        Binds: ['/src:/a:ro', 'named:/b', '/c'],
        Tmpfs: { '/t': 'size=1m' },
        Mounts: [{ Type: 'bind', Source: '/tmp', Target: '/m' }],
      },
      { Volumes: { '/b': {}, '/d': {} } },
    );
    assert.deepEqual(
      made.map(({ type, source, destination, readonly, anonymous }) => [
        type,
        source,
        destination,
        readonly,
        anonymous === true,
      ]),
      [
        ['bind', '/src', '/a', true, false],
        ['volume', '/v/named', '/b', false, false],
        ['volume', '/v/anon', '/c', false, true],
        ['bind', '/tmp', '/m', false, false],
        ['tmpfs', '', '/t', false, false],
        ['volume', '/v/anon', '/d', false, true],
      ],
    );
  });

  const bad: readonly [object, RegExp][] = [
    [{ Binds: ['/a:/x', '/b:/x'] }, /^Duplicate mount point: \/x$/],
    [{ Binds: ['/a:x'] }, /mount path must be absolute/],
    [{ Binds: ['/a:/'] }, /destination can't be '\/'/],
    [{ Binds: ['/a:/x:ro,rw'] }, /^invalid mode: ro,rw$/],
    [{ Binds: ['vol:/x:shared'] }, /field BindOptions must not be specified$/],
    [{ Binds: ['/a:/x:sideways'] }, /^invalid mode: sideways$/],
    [
      { Mounts: [{ Type: 'bind', Source: '/not/here', Target: '/x' }] },
      /^invalid mount config for type "bind": bind source path does not exist: \/not\/here$/,
    ],
    [
      { Mounts: [{ Type: 'tape', Target: '/x' }] },
      /^invalid mount config for type "tape": mount type unknown$/,
    ],
    [{ Tmpfs: { '/x': 'evil=1' } }, /^invalid tmpfs option "evil=1"$/],
  ];
  for (const [host, message] of bad) {
    it(`refuse ${JSON.stringify(host)}`, () => assert.rejects(resolve(host), { message }));
  }
});

describe('readLog', () => {
  const lines = (from: number, to: number): string =>
    Array.from(
      { length: to - from },
      (_, i) =>
        `${JSON.stringify({ log: `l${from + i}\n`, stream: (from + i) % 2 ? 'stderr' : 'stdout', time: `2026-01-01T00:00:${String(from + i).padStart(2, '0')}.000000001Z` })}\n`,
    ).join('');

  async function read(path: string, query: Partial<LogQuery>, ended = () => true): Promise<string> {
    let text = '';
    const signal = query.signal ?? new AbortController().signal;
    for await (const entry of readLog(path, { ...ALL, ...query, signal }, ended))
      text += entry.text.replace('\n', ' ');
    return text.trim();
  }

  it('reads rotated files in order, the last lines only, one stream, or a time', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'slipway-logs-'));
    const path = join(dir, 'log');
    try {
      writeFileSync(`${path}.2`, lines(0, 3));
      writeFileSync(`${path}.1`, lines(3, 6));
      writeFileSync(path, `${lines(6, 8)}not json\n`);
      assert.equal(await read(path, {}), 'l0 l1 l2 l3 l4 l5 l6 l7');
      assert.equal(await read(path, { tail: 0 }), '');
      assert.equal(await read(path, { tail: 5 }), 'l4 l5 l6 l7');
      assert.equal(await read(path, { tail: 2, stderr: false }), 'l4 l6');
      assert.equal(await read(path, { tail: 100 }), 'l0 l1 l2 l3 l4 l5 l6 l7');
      const base = BigInt(Date.parse('2026-01-01T00:00:02Z')) * 1_000_000n;
      assert.equal(await read(path, { since: base, until: base + 2_000_000_000n }), 'l2 l3');
      assert.equal(await read(join(dir, 'none'), {}), '');
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it('follows what is appended, over a rotation, until the container has ended', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'slipway-logs-'));
    const path = join(dir, 'log');
    try {
      let ended = false;
      const reading = read(path, { follow: true }, () => ended);
      writeFileSync(path, lines(0, 2));
      setTimeout(() => {
        writeFileSync(path, lines(2, 3), { flag: 'a' });
        setTimeout(() => {
          ended = true;
        }, 100);
      }, 100);
      assert.equal(await reading, 'l0 l1 l2');
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});

describe('ContainerRecords', () => {
  it('finds by id, name and unique prefix, keeps names apart, and survives a restart and a broken row', () => {
    const dir = mkdtempSync(join(tmpdir(), 'slipway-records-'));
    const path = join(dir, 'state.db');
    try {
      const db = openDatabase(path);
      const records = new ContainerRecords(db);
      const make = (id: string, name: string) =>
        ({ id, name, createdAt: 1, imageId: 'sha256:x' }) as unknown as ContainerRecord;
      records.add(make('aa11', 'one'));
      records.add(make('aa22', 'two'));
      assert.equal(records.get('/one').id, 'aa11');
      assert.equal(records.get('aa2').name, 'two');
      assert.throws(() => records.get('aa'), { message: 'multiple IDs found with provided prefix: aa' });
      assert.throws(() => records.get('zz'), { code: 'not_found', message: 'No such container: zz' });
      assert.throws(() => records.add(make('bb', 'one')), { code: 'conflict' });
      assert.throws(() => records.change('aa22', { name: 'one' }), { code: 'conflict' });
      records.change('aa22', { name: 'three' });
      db.run("INSERT INTO containers (id, name, created_at, document) VALUES ('bad', 'bad', 0, '{')");
      db.close();
      const again = openDatabase(path);
      const reread = new ContainerRecords(again);
      assert.deepEqual(
        reread.list().map(({ name }) => name),
        ['one', 'three'],
      );
      assert.deepEqual(
        reread.broken.map(({ id }) => id),
        ['bad'],
      );
      again.close();
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});
