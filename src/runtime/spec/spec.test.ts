import assert from 'node:assert/strict';
import { existsSync, lstatSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import {
  buildSpec,
  capabilitiesFor,
  defaultSeccomp,
  ensureDirInRoot,
  makeMountPoints,
  readFileInRoot,
  resolveInRoot,
  resolveUser,
  type SpecOptions,
} from './index.ts';

function inTemp<T>(body: (root: string) => T): T {
  const root = mkdtempSync(join(tmpdir(), 'slipway-spec-'));
  try {
    return body(root);
  } finally {
    rmSync(root, { recursive: true });
  }
}

const OPTIONS: SpecOptions = {
  rootfs: '/root-of-it',
  args: ['true'],
  env: [],
  cwd: '/',
  user: { uid: 0, gid: 0, additionalGids: [0], home: '/' },
  hostname: 'h',
  cgroupsPath: '/slipway/x',
  namespaces: { network: 'private' },
};

describe('resolveUser', () => {
  const files: Readonly<Record<string, string>> = {
    '/etc/passwd':
      'root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n1234:x:5:5::/odd:/bin/sh\n',
    '/etc/group': 'root:x:0:\nwheel:x:10:app\nvideo:x:44:app,root\n',
  };
  const rows: readonly [string, number, number, readonly number[], string][] = [
    ['', 0, 0, [0, 44], '/root'],
    ['app', 1000, 1001, [1001, 10, 44], '/home/app'],
    ['1000', 1000, 1001, [1001, 10, 44], '/home/app'],
    ['app:wheel', 1000, 10, [10], '/home/app'],
    ['4000:5000', 4000, 5000, [5000], '/'],
    [':wheel', 0, 10, [10], '/root'],
    ['1234', 1234, 0, [0], '/'],
  ];
  for (const [user, uid, gid, additionalGids, home] of rows) {
    it(`reads ${JSON.stringify(user)}`, () => {
      assert.deepEqual(
        resolveUser(user, (path) => files[path]),
        { uid, gid, additionalGids, home },
      );
    });
  }
  for (const [user, message] of [
    ['ghost', 'unable to find user ghost: no matching entries in passwd file'],
    ['app:ghosts', 'unable to find group ghosts: no matching entries in group file'],
    ['4294967296', 'uids and gids must be in range 0-2147483647'],
    ['-1', 'uids and gids must be in range 0-2147483647'],
  ] as const) {
    it(`refuses ${user}`, () => {
      assert.throws(() => resolveUser(user, (path) => files[path]), { code: 'invalid_argument', message });
    });
  }
});

describe('paths in a root', () => {
  it('never leave it, whatever links and dots they hold', () =>
    inTemp((root) => {
      mkdirSync(join(root, 'a/b'), { recursive: true });
      symlinkSync('/etc', join(root, 'abs'));
      symlinkSync('../../../../..', join(root, 'a/up'));
      symlinkSync('loop', join(root, 'loop'));
      assert.equal(resolveInRoot(root, '/abs/passwd').hostPath, join(root, 'etc/passwd'));
      assert.equal(resolveInRoot(root, '/a/up/a/b').inRoot, '/a/b');
      assert.equal(resolveInRoot(root, '../../x').hostPath, join(root, 'x'));
      assert.deepEqual(resolveInRoot(root, '/a/new/deep').missing, ['new', 'deep']);
      assert.throws(() => resolveInRoot(root, '/loop'), { code: 'invalid_argument' });
      ensureDirInRoot(root, '/abs/made');
      assert.equal(lstatSync(join(root, 'etc/made')).mode & 0o777, 0o755);
    }));

  it('that lead to no regular file, or to one that is too large, are not read', () =>
    inTemp((root) => {
      mkdirSync(join(root, 'etc'));
      writeFileSync(join(root, 'etc/passwd'), 'x'.repeat(100));
      symlinkSync('/etc', join(root, 'etc/group'));
      assert.equal(readFileInRoot(root, '/etc/group', 10), undefined);
      assert.equal(readFileInRoot(root, '/etc/shadow', 10), undefined);
      assert.throws(() => readFileInRoot(root, '/etc/passwd', 99), { code: 'resource_exhausted' });
    }));
});

describe('mount points', () => {
  const file = { destination: '/etc/hosts', type: 'bind', source: '/etc/hosts', options: [] };

  it('are made where they are missing, and only they are removed again', () =>
    inTemp((root) => {
      mkdirSync(join(root, 'etc'));
      const stubs = makeMountPoints(root, [file, { ...file, destination: '/data/in', source: '/tmp' }]);
      assert.deepEqual(
        stubs.made.map(({ path, directory }) => [path, directory]),
        [
          ['/etc/hosts', false],
          ['/data', true],
          ['/data/in', true],
        ],
      );
      writeFileSync(join(root, 'data/kept'), '');
      stubs.remove();
      assert.deepEqual(
        [
          existsSync(join(root, 'etc/hosts')),
          existsSync(join(root, 'data/in')),
          existsSync(join(root, 'data/kept')),
        ],
        [false, false, true],
      );
    }));

  it('that were replaced meanwhile are left alone, also behind a link to the host', () =>
    inTemp((root) =>
      inTemp((victim) => {
        mkdirSync(join(root, 'etc'));
        const stubs = makeMountPoints(root, [file]);
        writeFileSync(join(victim, 'hosts'), '');
        rmSync(join(root, 'etc'), { recursive: true });
        symlinkSync(victim, join(root, 'etc'));
        stubs.remove();
        assert.equal(existsSync(join(victim, 'hosts')), true);
      }),
    ));

  it('are refused in an image whose /dev, /proc or /sys is a link', () =>
    inTemp((root) => {
      symlinkSync('/tmp', join(root, 'dev'));
      assert.throws(() => makeMountPoints(root, []), { code: 'invalid_argument' });
    }));
});

describe('buildSpec', () => {
  it('gives Docker’s defaults', () => {
    const spec = buildSpec(OPTIONS);
    assert.equal(spec.process.capabilities.bounding.length, 14);
    assert.deepEqual(spec.process.capabilities.inheritable, []);
    assert.deepEqual(
      spec.linux.namespaces.map(({ type }) => type),
      ['mount', 'network', 'pid', 'ipc', 'uts'],
    );
    assert.equal(spec.linux.seccomp?.defaultAction, 'SCMP_ACT_ERRNO');
    assert.ok(spec.linux.maskedPaths?.includes('/proc/kcore'));
    assert.equal(spec.process.oomScoreAdj, 0);
  });

  it('gives a user without root no effective capability', () => {
    const { capabilities } = buildSpec({ ...OPTIONS, user: { ...OPTIONS.user, uid: 1000 } }).process;
    assert.deepEqual(
      [capabilities.effective, capabilities.permitted, capabilities.bounding.length],
      [[], [], 14],
    );
  });

  it('refuses mounts over the root, /proc and /sys', () => {
    for (const target of ['/', '/proc/self', '/sys/kernel', '/a/../b', 'rel']) {
      const mounts = [{ type: 'bind', source: '/tmp', target, readonly: true }] as const;
      assert.throws(() => buildSpec({ ...OPTIONS, mounts }), { code: 'invalid_argument' }, target);
    }
  });

  it('opens everything for a privileged container', () => {
    const spec = buildSpec({ ...OPTIONS, privileged: true });
    assert.equal(spec.linux.seccomp, undefined);
    assert.deepEqual(spec.linux.maskedPaths, []);
    assert.ok(spec.process.capabilities.effective.includes('CAP_SYS_ADMIN'));
  });
});

describe('capabilities and seccomp', () => {
  it('are added and dropped by name, with or without CAP_', () => {
    assert.ok(capabilitiesFor({ privileged: false, add: ['net_admin'] }).includes('CAP_NET_ADMIN'));
    assert.deepEqual(capabilitiesFor({ privileged: false, drop: ['ALL'], add: ['CHOWN'] }), ['CAP_CHOWN']);
    assert.equal(
      capabilitiesFor({ privileged: false, add: ['ALL'], drop: ['SYS_ADMIN'] }).includes('CAP_SYS_ADMIN'),
      false,
    );
    assert.throws(() => capabilitiesFor({ privileged: false, add: ['FLY'] }), {
      message: 'invalid CapAdd: unknown capability: "CAP_FLY"',
    });
  });

  it('open calls with their capability only', () => {
    const names = (held: readonly string[]): readonly string[] =>
      defaultSeccomp(held, 'x64')?.syscalls[0]?.names ?? [];
    assert.equal(names([]).includes('mount'), false);
    assert.equal(names(['CAP_SYS_ADMIN']).includes('mount'), true);
    for (const call of ['io_uring_setup', 'bpf', 'keyctl', 'kexec_load', 'unshare'])
      assert.equal(names([]).includes(call), false, call);
    assert.equal(defaultSeccomp([], 'unknown'), undefined);
  });
});
