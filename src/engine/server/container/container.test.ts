import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { findProgram } from '#runtime/process/index.ts';

const busybox = findProgram('busybox');
const skip =
  process.getuid?.() !== 0
    ? 'needs root'
    : busybox === undefined || findProgram('runc') === undefined || findProgram('nft') === undefined
      ? 'needs runc, nft and busybox'
      : false;

interface Answer {
  readonly status: number;
  readonly body: Buffer;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  json<T>(): T;
}

/** The whole engine as a process, and containers in it. */
describe('containers over the API', { skip }, () => {
  let dir: string;
  let daemon: ChildProcess;

  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'slipway-api-'));
    await startDaemon();
    const root = join(dir, 'image');
    for (const name of ['bin', 'etc', 'tmp', 'proc', 'sys', 'dev'])
      mkdirSync(join(root, name), { recursive: true });
    cpSync(busybox as string, join(root, 'bin/busybox'));
    for (const name of ['sh', 'cat', 'echo', 'sleep', 'true', 'ls', 'rm', 'mkdir', 'touch', 'id'])
      symlinkSync('busybox', join(root, 'bin', name));
    const tar = execFileSync('tar', ['-C', root, '-c', '.'], { maxBuffer: 64 * 1024 * 1024 });
    assert.equal(
      (await call('POST', '/images/create?fromSrc=-&repo=bb', tar, 'application/x-tar')).status,
      200,
    );
  });
  after(async () => {
    for (const { Id } of (await call('GET', '/containers/json?all=1')).json<{ Id: string }[]>()) {
      await call('DELETE', `/containers/${Id}?force=1&v=1`);
    }
    daemon.kill('SIGTERM');
    await once(daemon, 'exit');
    for (const line of readFileSync('/proc/mounts', 'utf8').split('\n').reverse())
      assert.equal(line.includes(dir), false, line);
    rmSync(dir, { recursive: true, force: true });
  });

  async function startDaemon(): Promise<void> {
    daemon = spawn(
      process.execPath,
      [
        join(import.meta.dirname, '../../../main/daemon.ts'),
        '--root',
        join(dir, 'root'),
        '--exec-root',
        join(dir, 'run'),
        '-H',
        `unix://${dir}/d.sock`,
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    let text = '';
    daemon.stderr?.on('data', (chunk) => {
      text += String(chunk);
    });
    while (!text.includes('API listen') && daemon.exitCode === null) await delay(10);
    assert.match(text, /API listen/);
  }

  function call(
    method: string,
    path: string,
    body?: object | Buffer,
    type = 'application/json',
  ): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const bytes =
      body === undefined ? undefined : Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
    const request = httpRequest(
      {
        socketPath: join(dir, 'd.sock'),
        method,
        path: `/v1.47${path}`,
        headers: bytes === undefined ? {} : { 'Content-Type': type, 'Content-Length': bytes.length },
      },
      async (response) => {
        const chunks: Buffer[] = [];
        for await (const chunk of response) chunks.push(chunk as Buffer);
        const all = Buffer.concat(chunks);
        resolve({
          status: response.statusCode ?? 0,
          body: all,
          headers: response.headers,
          json: () => JSON.parse(all.toString()),
        });
      },
    );
    request.on('error', reject);
    request.end(bytes);
    return promise;
  }

  async function create(cmd: readonly string[], more: object = {}, name = ''): Promise<string> {
    const answer = await call('POST', `/containers/create?name=${name}`, {
      Image: 'bb',
      Cmd: cmd,
      HostConfig: { NetworkMode: 'none' },
      ...more,
    });
    assert.equal(answer.status, 201, answer.body.toString());
    return answer.json<{ Id: string }>().Id;
  }

  async function runToEnd(cmd: readonly string[], more: object = {}): Promise<{ id: string; code: number }> {
    const id = await create(cmd, more);
    const ended = call('POST', `/containers/${id}/wait?condition=next-exit`);
    await delay(20);
    assert.equal((await call('POST', `/containers/${id}/start`)).status, 204);
    return { id, code: (await ended).json<{ StatusCode: number }>().StatusCode };
  }

  it('runs a container to its end and keeps its log', async () => {
    const { id, code } = await runToEnd(['sh', '-c', 'echo out; echo err >&2; exit 6']);
    assert.equal(code, 6);
    const log = await call('GET', `/containers/${id}/logs?stdout=1&tail=5`);
    assert.deepEqual(log.body, Buffer.from('\x01\0\0\0\0\0\0\x04out\n', 'latin1'));
    const { State } = (await call('GET', `/containers/${id}/json`)).json<{
      State: { Status: string; ExitCode: number };
    }>();
    assert.deepEqual([State.Status, State.ExitCode], ['exited', 6]);
  });

  it('attaches by both forms of taking the connection over, and closes stdin on half-close', async () => {
    for (const head of ['Connection: Upgrade\r\nUpgrade: tcp\r\n', '']) {
      const id = await create(['cat'], { OpenStdin: true, StdinOnce: true, AttachStdin: true });
      const socket = connect({ path: join(dir, 'd.sock'), allowHalfOpen: true });
      socket.write(
        `POST /v1.47/containers/${id}/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: x\r\n${head}Content-Length: 0\r\n\r\n`,
      );
      let text = '';
      socket.on('data', (chunk) => {
        text += chunk.toString('latin1');
      });
      while (!text.includes('\r\n\r\n')) await delay(5);
      assert.match(text, head === '' ? /^HTTP\/1.1 200/ : /^HTTP\/1.1 101/);
      assert.equal((await call('POST', `/containers/${id}/start`)).status, 204);
      socket.end('hello\n');
      await once(socket, 'end');
      assert.ok(text.endsWith('\x01\0\0\0\0\0\0\x06hello\n'), JSON.stringify(text));
    }
  });

  it('answers a name that is taken, an unknown container and a missing program in Docker’s words', async () => {
    const id = await create(['true'], {}, 'taken');
    const again = await call('POST', '/containers/create?name=taken', { Image: 'bb', Cmd: ['true'] });
    assert.equal(again.status, 409);
    assert.equal(
      again.json<{ message: string }>().message,
      `Conflict. The container name "/taken" is already in use by container "${id}". You have to remove (or rename) that container to be able to reuse that name.`,
    );
    assert.equal(
      (await call('GET', '/containers/nobody/json')).json<{ message: string }>().message,
      'No such container: nobody',
    );
    const missing = await create(['nope'], { HostConfig: { NetworkMode: 'none', AutoRemove: true } });
    const removed = call('POST', `/containers/${missing}/wait?condition=removed`);
    await delay(20);
    const failed = await call('POST', `/containers/${missing}/start`);
    assert.equal(failed.status, 400);
    assert.match(
      failed.json<{ message: string }>().message,
      /^failed to create task for container: .*exec: "nope": executable file not found in \$PATH: unknown$/,
    );
    assert.equal((await removed).json<{ StatusCode: number }>().StatusCode, 127);
    assert.equal((await call('GET', `/containers/${missing}/json`)).status, 404);
  });

  it('runs further processes with their exit codes; one that is missing gives 127', async () => {
    const id = await create(['sleep', '100']);
    await call('POST', `/containers/${id}/start`);
    for (const [cmd, wanted, output] of [
      [['sh', '-c', 'echo in; exit 4'], 4, 'in\n'],
      [['nope'], 127, 'executable file not found'],
    ] as const) {
      const { Id: exec } = (
        await call('POST', `/containers/${id}/exec`, { Cmd: cmd, AttachStdout: true, AttachStderr: true })
      ).json<{ Id: string }>();
      const { body } = await call('POST', `/exec/${exec}/start`, { Detach: false });
      assert.ok(body.toString().includes(output), body.toString());
      const state = (await call('GET', `/exec/${exec}/json`)).json<{ ExitCode: number; Running: boolean }>();
      assert.deepEqual([state.Running, state.ExitCode], [false, wanted]);
    }
    assert.equal((await call('DELETE', `/containers/${id}`)).status, 409);
    assert.equal((await call('POST', `/containers/${id}/stop?t=0`)).status, 204);
    assert.equal((await call('POST', `/containers/${id}/stop`)).status, 304);
    assert.equal((await call('POST', `/containers/${id}/exec`, { Cmd: ['true'] })).status, 409);
  });

  it('copies files out and in, tells what changed, and makes an image of it', async () => {
    const { id } = await runToEnd(['sh', '-c', 'mkdir /made; echo text > /made/file; rm /bin/id']);
    const changed = (await call('GET', `/containers/${id}/changes`)).json<{ Path: string; Kind: number }[]>();
    assert.deepEqual(changed, [
      { Path: '/bin', Kind: 0 },
      { Path: '/bin/id', Kind: 2 },
      { Path: '/made', Kind: 1 },
      { Path: '/made/file', Kind: 1 },
    ]);
    const archive = await call('GET', `/containers/${id}/archive?path=/made`);
    const names = execFileSync('tar', ['-t'], { input: archive.body, encoding: 'utf8' });
    assert.equal(names, 'made/\nmade/file\n');
    const put = await call('PUT', `/containers/${id}/archive?path=/tmp`, archive.body, 'application/x-tar');
    assert.equal(put.status, 200, put.body.toString());
    assert.equal((await call('HEAD', `/containers/${id}/archive?path=/tmp/made/file`)).status, 200);
    assert.equal((await call('HEAD', `/containers/${id}/archive?path=/nothing`)).status, 404);
    const committed = await call(
      'POST',
      `/commit?container=${id}&repo=kept&changes=${encodeURIComponent('CMD ["cat","/made/file"]')}`,
    );
    assert.equal(committed.status, 201, committed.body.toString());
    const again = await runToEnd([], { Image: 'kept' });
    const log = await call('GET', `/containers/${again.id}/logs?stdout=1`);
    assert.ok(log.body.toString().endsWith('text\n'), log.body.toString());
  });

  it('restarts what failed as often as it was told', async () => {
    const id = await create(['sh', '-c', 'exit 3'], {
      HostConfig: { NetworkMode: 'none', RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 2 } },
    });
    await call('POST', `/containers/${id}/start`);
    const state = async () =>
      (await call('GET', `/containers/${id}/json`)).json<{
        RestartCount: number;
        State: { Status: string };
      }>();
    while ((await state()).State.Status !== 'exited') await delay(50);
    assert.equal((await state()).RestartCount, 2);
  });

  it('loses nothing when the daemon is killed: containers, logs and exit codes go on', async () => {
    const busy = await create([
      'sh',
      '-c',
      'i=0; while [ $i -lt 30 ]; do echo line$i; i=$((i+1)); sleep 0.1; done; exit 8',
    ]);
    const short = await create(['sh', '-c', 'sleep 0.5; exit 9']);
    for (const id of [busy, short]) await call('POST', `/containers/${id}/start`);
    daemon.kill('SIGKILL');
    await once(daemon, 'exit');
    await delay(1000);
    await startDaemon();
    const after = (await call('GET', `/containers/${short}/json`)).json<{
      State: { Status: string; ExitCode: number };
    }>();
    assert.deepEqual([after.State.Status, after.State.ExitCode], ['exited', 9]);
    const ended = await call('POST', `/containers/${busy}/wait`);
    assert.equal(ended.json<{ StatusCode: number }>().StatusCode, 8);
    const log = (await call('GET', `/containers/${busy}/logs?stdout=1`)).body.toString('latin1');
    assert.equal(log.match(/line\d+/g)?.length, 30);
  });
});
