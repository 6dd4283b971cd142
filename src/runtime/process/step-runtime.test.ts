import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { createOciRuntime, createStepRuntime, findProgram } from './index.ts';
import type { StepRuntime, StepSpec } from './types.ts';

const busybox = findProgram('busybox');
const skip =
  process.getuid?.() !== 0
    ? 'needs root'
    : busybox === undefined || findProgram('runc') === undefined
      ? 'needs runc and busybox'
      : false;

describe('StepRuntime', { skip }, () => {
  let base: string;
  let rootfs: string;
  let runtime: StepRuntime;
  let next = 0;

  before(() => {
    base = mkdtempSync(join(tmpdir(), 'slipway-step-'));
    rootfs = join(base, 'rootfs');
    mkdirSync(join(rootfs, 'bin'), { recursive: true });
    mkdirSync(join(rootfs, 'etc'));
    cpSync(busybox as string, join(rootfs, 'bin/busybox'));
    for (const name of ['sh', 'echo', 'cat', 'ls', 'id', 'sleep', 'true', 'grep', 'rm', 'touch']) {
      symlinkSync('busybox', join(rootfs, 'bin', name));
    }
    writeFileSync(
      join(rootfs, 'etc/passwd'),
      'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n',
    );
    writeFileSync(join(rootfs, 'etc/group'), 'root:x:0:\napp:x:1000:\nextra:x:2000:app\n');
    runtime = createStepRuntime({ runtimePath: createOciRuntime().path, stateDir: join(base, 'state') });
  });
  after(() => {
    rmSync(base, { recursive: true, force: true });
  });

  async function run(
    script: string | readonly string[],
    over: Partial<StepSpec> = {},
    signal?: AbortSignal,
  ): Promise<{ code: number; out: string; err: string }> {
    let [out, err] = ['', ''];
    const status = await runtime.run(
      {
        id: `t${process.pid}-${next++}`,
        rootfs,
        args: typeof script === 'string' ? ['/bin/sh', '-c', script] : script,
        env: ['A=b'],
        cwd: '/',
        user: '',
        network: 'none',
        ...over,
      },
      {
        onOutput: (stream, chunk) => {
          if (stream === 'stdout') out += Buffer.from(chunk).toString();
          else err += Buffer.from(chunk).toString();
        },
        ...(signal === undefined ? {} : { signal }),
      },
    );
    return { code: status.exitCode, out, err };
  }

  it('every user reads the names and addresses, whatever umask the daemon has', async () => {
    const before = process.umask(0o077);
    try {
      const { code, out } = await run('cat /etc/resolv.conf /etc/hosts /etc/hostname', {
        user: 'app',
        network: 'host',
      });
      assert.equal(code, 0);
      assert.match(out, /localhost/);
    } finally {
      process.umask(before);
    }
  });

  it('gives output of both streams and the exit code', async () => {
    assert.deepEqual(await run('echo one; echo two >&2; exit 3'), { code: 3, out: 'one\n', err: 'two\n' });
    assert.equal((await run("sh -c 'kill -9 $$'; exit $?")).code, 137);
  });

  it('lets a program open its own /dev/stdout', async () => {
    assert.equal((await run('echo through > /dev/stdout')).out, 'through\n');
  });

  it('leaks no descriptor', async () => {
    const { out } = await run(['/bin/ls', '/proc/self/fd']);
    assert.deepEqual(out.trim().split(/\s+/), ['0', '1', '2', '3']);
  });

  it('sets the environment, user, groups and directory', async () => {
    const { out } = await run('id; pwd; echo $HOME $A $PATH', { user: 'app', cwd: '/work/dir' });
    const [id, cwd, env] = out.split('\n');
    assert.equal(id, 'uid=1000(app) gid=1000(app) groups=1000(app),2000(extra)');
    assert.equal(cwd, '/work/dir');
    assert.equal(env, '/home/app b /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin');
  });

  it('holds the default capabilities, none inheritable, and a seccomp filter', async () => {
    const { out } = await run('grep -E "^(Cap|Seccomp:|NoNewPrivs)" /proc/self/status');
    const fields = Object.fromEntries(
      out
        .trim()
        .split('\n')
        .map((line) => line.split(':\t')),
    );
    assert.equal(fields['CapBnd'], '00000000a80425fb');
    assert.equal(fields['CapEff'], '00000000a80425fb');
    assert.equal(fields['CapInh'], '0000000000000000');
    assert.equal(fields['Seccomp'], '2');
  });

  it('leaves no mount point of its own in the tree', async () => {
    rmSync(join(rootfs, 'proc'), { recursive: true, force: true });
    await run('true');
    for (const name of ['proc', 'sys', 'dev', 'etc/resolv.conf', 'etc/hosts', 'etc/hostname']) {
      assert.equal(existsSync(join(rootfs, name)), false, name);
    }
    await run('rm -f /etc/x; touch /sys-made; mkdir -p /opt/y', {});
    assert.equal(existsSync(join(rootfs, 'sys-made')), true);
  });

  it('names a missing program as Docker does, and its own text does not reach the output', async () => {
    let err = '';
    const failure = runtime.run(
      { id: `t${process.pid}-missing`, rootfs, args: ['nope'], env: [], cwd: '/', user: '', network: 'none' },
      {
        onOutput: (_stream, chunk) => {
          err += Buffer.from(chunk).toString();
        },
      },
    );
    await assert.rejects(failure, {
      code: 'invalid_argument',
      message:
        'failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "nope": executable file not found in $PATH: unknown',
    });
    assert.equal(err, '');
  });

  it('refuses an unknown user with Docker’s text', async () => {
    await assert.rejects(run('true', { user: 'ghost' }), {
      code: 'invalid_argument',
      message: 'unable to find user ghost: no matching entries in passwd file',
    });
  });

  it('kills the whole tree on abort and leaves nothing', async () => {
    const stop = new AbortController();
    const begun = performance.now();
    setTimeout(() => stop.abort(new Error('gone')), 300);
    await assert.rejects(run('sleep 100 & sleep 100', {}, stop.signal), /gone/);
    assert.ok(performance.now() - begun < 5000);
    assert.deepEqual(readdirSync(join(base, 'state/runtime')), []);
    assert.deepEqual(readdirSync(join(base, 'state/bundles')), []);
    assert.equal(readFileSync('/proc/mounts', 'utf8').includes(base), false);
  });

  it('tells an abort that comes while the step is being started', async () => {
    const stop = new AbortController();
    const pending = run('sleep 100', {}, stop.signal);
    setImmediate(() => stop.abort(new Error('at once')));
    await assert.rejects(pending, /at once/);
  });

  it('tells that a step was killed for want of memory, and only then', async () => {
    const base = {
      rootfs,
      env: [],
      cwd: '/',
      user: '',
      network: 'none',
      limits: { memoryBytes: 8 * 1024 ** 2 },
    } as const;
    const io = { onOutput: () => {} };
    const args = ['/bin/sh', '-c', 'x=aaaaaaaa; while true; do x=$x$x; done'];
    assert.deepEqual(await runtime.run({ ...base, id: `t${process.pid}-oom`, args }, io), {
      exitCode: 137,
      oomKilled: true,
    });
    assert.equal(
      (await runtime.run({ ...base, id: `t${process.pid}-ok`, args: ['/bin/true'] }, io)).oomKilled,
      false,
    );
    assert.equal(existsSync(`/sys/fs/cgroup/memory/slipway-build/t${process.pid}-oom`), false);
  });

  it('keeps a fork bomb within its process limit', async () => {
    const { out } = await run('for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1 & done; echo end; wait', {
      limits: { pids: 6 },
    });
    assert.doesNotMatch(out, /end\n.*end/);
  });
});
