/** Attach and exec over raw connections, in both forms: what Docker's CLI does (101) and what Testcontainers does (200). */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeImageArchive, NEEDS_BUSYBOX } from '../support/busybox.ts';
import { NEEDS_ENGINE, type TestDaemon, withDaemon } from '../support/daemon.ts';

const options = { skip: NEEDS_ENGINE || NEEDS_BUSYBOX };
const FORMS = [
  { name: '101', headers: 'Connection: Upgrade\r\nUpgrade: tcp\r\n', status: /^HTTP\/1\.1 101 UPGRADED\r\n/ },
  { name: '200', headers: '', status: /^HTTP\/1\.1 200 OK\r\n/ },
] as const;

class RawExchange {
  readonly #socket: Socket;
  #received = Buffer.alloc(0);
  readonly ended: Promise<void>;

  constructor(socketPath: string) {
    this.#socket = connect({ path: socketPath, allowHalfOpen: true });
    this.#socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
    });
    this.ended = new Promise((done) => this.#socket.once('end', done));
  }

  post(path: string, headers: string, body = ''): void {
    const type = body === '' ? '' : 'Content-Type: application/json\r\n';
    this.#socket.write(
      `POST ${path} HTTP/1.1\r\nHost: docker\r\n${headers}${type}Content-Length: ${body.length}\r\n\r\n${body}`,
    );
  }

  send(text: string): void {
    this.#socket.write(text);
  }

  endInput(): void {
    this.#socket.end();
  }

  get head(): string {
    return this.#received.toString('latin1').split('\r\n\r\n')[0] ?? '';
  }

  /** What came after the head. */
  get body(): Buffer {
    return this.#received.subarray(this.#received.indexOf('\r\n\r\n') + 4);
  }

  async until(test: () => boolean): Promise<void> {
    for (const end = Date.now() + 10_000; !test(); await sleep(10)) {
      assert.ok(
        Date.now() < end,
        `not in time; received ${JSON.stringify(this.#received.toString('latin1'))}`,
      );
    }
  }

  close(): void {
    this.#socket.destroy();
  }
}

function frame(stream: number, text: string): Buffer {
  const header = Buffer.alloc(8);
  header[0] = stream;
  header.writeUInt32BE(Buffer.byteLength(text), 4);
  return Buffer.concat([header, Buffer.from(text)]);
}

async function createContainer(daemon: TestDaemon, body: object): Promise<string> {
  const { Id } = await daemon.client.call<{ Id: string }>('POST', '/containers/create', { json: body });
  return Id;
}

async function withImage(body: (daemon: TestDaemon) => Promise<void>): Promise<void> {
  await withDaemon(async (daemon) => {
    const { archive } = makeImageArchive({ tags: ['box:v1'] });
    await Array.fromAsync(daemon.client.lines('POST', '/images/load', { stream: Readable.from([archive]) }));
    await body(daemon);
  });
}

describe('raw connections', options, () => {
  for (const form of FORMS) {
    it(`attach (${form.name}) carries input and framed output until the container ends`, async () => {
      await withImage(async (daemon) => {
        const id = await createContainer(daemon, {
          Image: 'box:v1',
          Cmd: ['sh', '-c', 'cat; echo oops >&2; exit 5'],
          OpenStdin: true,
          StdinOnce: true,
          AttachStdin: true,
        });
        const raw = new RawExchange(daemon.socketPath);
        raw.post(`/v1.47/containers/${id}/attach?stream=1&stdin=1&stdout=1&stderr=1`, form.headers);
        await raw.until(() => raw.head.length > 0 && raw.body.length >= 0 && /\r\n/.test(raw.head));
        assert.match(raw.head, form.status);
        assert.match(raw.head, /application\/vnd\.docker\.(multiplexed|raw)-stream/);
        await daemon.client.send('POST', `/containers/${id}/start`);
        raw.send('hello');
        await raw.until(() => raw.body.includes('hello'));
        raw.endInput();
        await raw.ended;
        assert.deepEqual(raw.body, Buffer.concat([frame(1, 'hello'), frame(2, 'oops\n')]));
        const { StatusCode } = await daemon.client.call<{ StatusCode: number }>(
          'POST',
          `/containers/${id}/wait`,
        );
        assert.equal(StatusCode, 5);
        raw.close();
      });
    });

    it(`exec start (${form.name}) answers with the output of the command`, async () => {
      await withImage(async (daemon) => {
        const id = await createContainer(daemon, { Image: 'box:v1', Cmd: ['sleep', '60'] });
        await daemon.client.send('POST', `/containers/${id}/start`);
        const exec = await daemon.client.call<{ Id: string }>('POST', `/containers/${id}/exec`, {
          json: {
            Cmd: ['sh', '-c', 'echo out; cat'],
            AttachStdin: true,
            AttachStdout: true,
            AttachStderr: true,
          },
        });
        const raw = new RawExchange(daemon.socketPath);
        raw.post(`/v1.47/exec/${exec.Id}/start`, form.headers, JSON.stringify({ Detach: false, Tty: false }));
        await raw.until(() => raw.body.includes('out\n'));
        assert.match(raw.head, form.status);
        raw.send('in');
        await raw.until(() => raw.body.length >= frame(1, 'out\n').length + frame(1, 'in').length);
        raw.endInput();
        await raw.ended;
        assert.deepEqual(raw.body, Buffer.concat([frame(1, 'out\n'), frame(1, 'in')]));
        const { ExitCode } = await daemon.client.call<{ ExitCode: number }>('GET', `/exec/${exec.Id}/json`);
        assert.equal(ExitCode, 0);
        raw.close();
      });
    });
  }

  it('a client that vanishes leaves the container running', async () => {
    await withImage(async (daemon) => {
      const id = await createContainer(daemon, {
        Image: 'box:v1',
        Cmd: ['sh', '-c', 'while true; do echo x; done'],
      });
      await daemon.client.send('POST', `/containers/${id}/start`);
      const raw = new RawExchange(daemon.socketPath);
      raw.post(`/v1.47/containers/${id}/attach?stream=1&stdout=1`, FORMS[0].headers);
      await raw.until(() => raw.body.length > 100_000);
      raw.close();
      await sleep(100);
      const { State } = await daemon.client.call<{ State: { Running: boolean } }>(
        'GET',
        `/containers/${id}/json`,
      );
      assert.equal(State.Running, true);
      assert.equal((await daemon.client.send('GET', '/_ping')).status, 200);
    });
  });
});
