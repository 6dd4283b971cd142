import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
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
import type { Duplex } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createOciRuntime, findProgram } from '#runtime/process/index.ts';
import { buildSpec } from '#runtime/spec/index.ts';
import { connectKeeper, type ExitRecord, ensureKeeper, type Keeper, type StreamOptions } from './index.ts';

const busybox = findProgram('busybox');
const skip =
  process.getuid?.() !== 0
    ? 'needs root'
    : busybox === undefined || findProgram('runc') === undefined
      ? 'needs runc and busybox'
      : false;
const PIPES: StreamOptions = { tty: false, openStdin: false, stdinOnce: false };
const OUTPUT = { stdin: false, stdout: true, stderr: true, framed: false };

describe('keeper', { skip }, () => {
  let base: string;
  let keeper: Keeper;
  let socketPath: string;
  let runtime: { path: string; root: string };
  let next = 0;
  const command = [process.execPath, join(import.meta.dirname, '../../main/keeper.ts')] as const;

  before(async () => {
    base = mkdtempSync(join(tmpdir(), 'slipway-keeper-'));
    const rootfs = join(base, 'rootfs');
    mkdirSync(join(rootfs, 'bin'), { recursive: true });
    for (const name of ['proc', 'sys', 'dev', 'etc', 'tmp']) mkdirSync(join(rootfs, name));
    cpSync(busybox as string, join(rootfs, 'bin/busybox'));
    for (const name of ['sh', 'echo', 'cat', 'ls', 'sleep', 'stty', 'yes', 'head', 'true', 'wc'])
      symlinkSync('busybox', join(rootfs, 'bin', name));
    socketPath = join(base, 'run/keeper.sock');
    runtime = { path: createOciRuntime().path, root: join(base, 'runtime') };
    keeper = await ensureKeeper({ socketPath, command });
  });
  after(async () => {
    for (const kept of await keeper.list())
      if (kept.exit === undefined) await keeper.signal(kept.id, 9).catch(() => {});
    await delay(300);
    await keeper.shutdown();
    rmSync(base, { recursive: true, force: true });
  });

  function prepare(
    script: string,
    streams: StreamOptions,
  ): { id: string; dir: string; start: () => ReturnType<Keeper['start']>; exit: Promise<ExitRecord> } {
    const id = `k${process.pid}x${next++}`;
    const dir = join(base, id);
    mkdirSync(dir);
    const cgroupsPath = `/slipway-test/${id}`;
    writeFileSync(
      join(dir, 'config.json'),
      JSON.stringify(
        buildSpec({
          rootfs: join(base, 'rootfs'),
          args: ['/bin/sh', '-c', script],
          env: ['PATH=/bin'],
          cwd: '/',
          user: { uid: 0, gid: 0, additionalGids: [0], home: '/' },
          hostname: id,
          cgroupsPath,
          terminal: streams.tty,
          ...(streams.size === undefined
            ? {}
            : { consoleSize: { height: streams.size.rows, width: streams.size.columns } }),
          namespaces: { network: 'private' },
        }),
      ),
    );
    const { promise, resolve } = Promise.withResolvers<ExitRecord>();
    const stop = keeper.subscribe((event) => {
      if (event.exit.id !== id) return;
      stop();
      resolve(event.exit);
    });
    const start = () =>
      keeper.start({
        id,
        runtime,
        bundle: dir,
        cgroupsPath,
        streams,
        log: { path: join(dir, 'log'), maxBytes: 200_000, maxFiles: 3 },
        exitFile: join(dir, 'exit.json'),
      });
    return { id, dir, start, exit: promise };
  }

  async function textOf(stream: Duplex): Promise<string> {
    let text = '';
    for await (const chunk of stream) text += Buffer.from(chunk as Uint8Array).toString();
    return text;
  }

  it('gives output to those attached before the start, writes the log, tells the exit', async () => {
    const container = prepare('echo out; echo err >&2; printf partial; exit 7', PIPES);
    const attached = await keeper.attach(container.id, { ...OUTPUT, framed: true });
    const seen = textOf(attached);
    await container.start();
    const record = await container.exit;
    assert.equal(record.exitCode, 7);
    assert.deepEqual(JSON.parse(readFileSync(join(container.dir, 'exit.json'), 'utf8')), record);
    const framed = await seen;
    assert.ok(
      framed.includes('\x01\0\0\0\0\0\0\x04out\n') || framed.includes('\x01\0\0\0\0\0\0\x0bout\npartial'),
      JSON.stringify(framed),
    );
    assert.ok(framed.includes('\x02\0\0\0\0\0\0\x04err\n'));
    const lines = readFileSync(join(container.dir, 'log'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { log: string; stream: string; time: string });
    assert.deepEqual(lines.map(({ log, stream }) => [log, stream]).toSorted(), [
      ['err\n', 'stderr'],
      ['out\n', 'stdout'],
      ['partial', 'stdout'],
    ]);
    assert.match(lines[0]?.time ?? '', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/);
    assert.deepEqual(readdirSync(runtime.root), []);
    assert.equal(existsSync(`/sys/fs/cgroup/memory/slipway-test/${container.id}`), false);
  });

  it('says a process was started before anything it wrote', async () => {
    for (let round = 0; round < 3; round++) {
      const { dir, start, exit } = prepare('echo early', PIPES);
      const { startedAt } = await start();
      await exit;
      const [line = ''] = readFileSync(join(dir, 'log'), 'utf8').split('\n');
      const { time } = JSON.parse(line) as { readonly time: string };
      assert.ok(Date.parse(time) >= startedAt, `${time} is before ${new Date(startedAt).toISOString()}`);
    }
  });

  it('has made the log when the start is answered, for those who follow it', async () => {
    const { id, dir, start, exit } = prepare('sleep 9', PIPES);
    await start();
    assert.equal(readFileSync(join(dir, 'log'), 'utf8'), '');
    await keeper.signal(id, 9);
    await exit;
  });

  it('passes stdin on and closes it when its one client half-closes', async () => {
    const container = prepare('cat; echo end', { tty: false, openStdin: true, stdinOnce: true });
    const attached = await keeper.attach(container.id, { ...OUTPUT, stdin: true });
    attached.end('from the client\n');
    const seen = textOf(attached);
    await container.start();
    assert.equal(await seen, 'from the client\nend\n');
    assert.equal((await container.exit).exitCode, 0);
  });

  it('gives a terminal its size, resizes it, and merges its output', async () => {
    const container = prepare('stty size; read line; stty size; echo "got $line"', {
      tty: true,
      openStdin: true,
      stdinOnce: true,
      size: { rows: 30, columns: 100 },
    });
    const attached = await keeper.attach(container.id, { ...OUTPUT, stdin: true });
    let text = '';
    attached.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    attached.resume();
    await container.start();
    while (!text.includes('30 100')) await delay(10);
    await keeper.resize(container.id, { rows: 41, columns: 141 });
    attached.write('hello\n');
    await once(attached, 'end');
    attached.end();
    assert.match(text, /41 141\r\n/);
    assert.match(text, /got hello\r\n/);
    await container.exit;
  });

  it('tells what the runtime says of a program that is missing, and leaves nothing', async () => {
    const container = prepare('true', PIPES);
    const config = JSON.parse(readFileSync(join(container.dir, 'config.json'), 'utf8')) as {
      process: { args: string[] };
    };
    config.process.args = ['nope'];
    writeFileSync(join(container.dir, 'config.json'), JSON.stringify(config));
    await assert.rejects(container.start(), {
      code: 'invalid_argument',
      message: 'unable to start container process: exec: "nope": executable file not found in $PATH',
    });
    assert.deepEqual(readdirSync(runtime.root), []);
    assert.deepEqual(
      (await keeper.list()).filter(({ id }) => id === container.id),
      [],
    );
  });

  it('runs further processes in a container and tells their exit codes', async () => {
    const container = prepare('sleep 100', PIPES);
    await container.start();
    const id = `${container.id}-exec`;
    const processFile = join(container.dir, 'exec.json');
    writeFileSync(
      processFile,
      JSON.stringify({
        args: ['/bin/sh', '-c', 'ls /proc/self/fd; exit 5'],
        cwd: '/',
        env: ['PATH=/bin'],
        user: { uid: 0, gid: 0 },
      }),
    );
    const ended = Promise.withResolvers<ExitRecord>();
    const stop = keeper.subscribe((event) => {
      if (event.exit.id === id) ended.resolve(event.exit);
    });
    const seen = textOf(await keeper.attach(id, OUTPUT));
    await keeper.exec({ id, containerId: container.id, runtime, processFile, streams: PIPES });
    assert.equal((await ended.promise).exitCode, 5);
    assert.deepEqual((await seen).trim().split(/\s+/), ['0', '1', '2', '3']);
    stop();
    await keeper.signal(container.id, 9);
    assert.equal((await container.exit).exitCode, 137);
  });

  it('kills an exec with its whole group when its time is over', async () => {
    const container = prepare('sleep 60', PIPES);
    const { pid: inside } = await container.start();
    const id = `${container.id}-exec`;
    const processFile = join(container.dir, 'exec.json');
    const { process: own } = JSON.parse(readFileSync(join(container.dir, 'config.json'), 'utf8'));
    writeFileSync(
      processFile,
      JSON.stringify({ ...own, args: ['/bin/sh', '-c', 'sleep 7777 & sleep 7777; true'] }),
    );
    const ended = Promise.withResolvers<ExitRecord>();
    const stop = keeper.subscribe(({ exit }) => exit.id === id && ended.resolve(exit));
    const limits = { streams: PIPES, killAfterMs: 300 };
    await keeper.exec({ id, containerId: container.id, runtime, processFile, ...limits });
    assert.equal((await ended.promise).exitCode, 137);
    await delay(50);
    const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
    const left = pids.filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8') === 'sleep\u00007777\u0000';
      } catch {
        return false;
      }
    });
    assert.deepEqual(left, [], 'what it started went with it');
    assert.ok(existsSync(`/proc/${inside}`), 'its container goes on');
    stop();
    await keeper.signal(container.id, 9);
    await container.exit;
  });

  it('loses nothing of a fast writer, rotates its log, and slows it for a slow client', async () => {
    const container = prepare('yes 0123456789abcdef | head -c 3400000', PIPES);
    const attached = await keeper.attach(container.id, OUTPUT);
    await container.start();
    await delay(200);
    let bytes = 0;
    for await (const chunk of attached) bytes += (chunk as Buffer).length;
    assert.equal(bytes, 3_400_000);
    await container.exit;
    const files = readdirSync(container.dir).filter((name) => name.startsWith('log'));
    assert.deepEqual(files.toSorted(), ['log', 'log.1', 'log.2']);
    for (const name of files) {
      const text = readFileSync(join(container.dir, name), 'utf8');
      assert.ok(text.length <= 200_000);
      for (const line of text.trimEnd().split('\n'))
        assert.equal((JSON.parse(line) as { log: string }).log, '0123456789abcdef\n');
    }
  });

  it('outlives the process that started it: containers, logs and exit codes go on', async () => {
    const other = join(base, 'run2/keeper.sock');
    const script = `import { ensureKeeper } from ${JSON.stringify(join(import.meta.dirname, 'index.ts'))};
      const keeper = await ensureKeeper({ socketPath: ${JSON.stringify(other)}, command: ${JSON.stringify(command)} });
      const request = JSON.parse(process.argv[1]);
      await keeper.start(request);
      console.log('started');
      setInterval(() => {}, 1000);`;
    const container = prepare('sleep 0.5; echo late; exit 9', PIPES);
    const request = {
      id: container.id,
      runtime,
      bundle: container.dir,
      cgroupsPath: `/slipway-test/${container.id}`,
      streams: PIPES,
      log: { path: join(container.dir, 'log'), maxBytes: 0, maxFiles: 1 },
      exitFile: join(container.dir, 'exit.json'),
    };
    const daemon = spawn(process.execPath, ['--input-type=module', '-e', script, JSON.stringify(request)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(daemon.stdout, 'data');
    daemon.kill('SIGKILL');
    await once(daemon, 'exit');
    const again = await connectKeeper(other);
    const [kept] = await again.list();
    assert.equal(kept?.id, container.id);
    while ((await again.list())[0]?.exit === undefined) await delay(20);
    assert.equal((await again.list())[0]?.exit?.exitCode, 9);
    assert.match(readFileSync(join(container.dir, 'log'), 'utf8'), /"log":"late\\n"/);
    await again.shutdown();
  });
});
