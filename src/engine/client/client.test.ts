import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError } from '#base/errors/index.ts';
import { createEngineClient, type EngineClient, parseEndpoint, readFrames } from './index.ts';
import { ChunkedDecoder, parseHead } from './parser.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

async function withEngine(handler: Handler, body: (client: EngineClient) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'slipway-engine-'));
  const path = join(dir, 'e.sock');
  const server = createServer(handler);
  server.on('upgrade', (request, socket, head) => {
    assert.equal(request.headers.upgrade, 'tcp');
    socket.write(
      'HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nhello ',
    );
    socket.write(head);
    socket.on('data', (chunk: Buffer) => socket.write(chunk.toString().toUpperCase()));
    socket.on('end', () => socket.end('bye'));
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  try {
    await body(createEngineClient(parseEndpoint(`unix://${path}`)));
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await rm(dir, { recursive: true, force: true });
  }
}

test('a call sends its query and body and gives the document back, chunked or by length', () =>
  withEngine(
    (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const text = JSON.stringify({ url: request.url, body: Buffer.concat(chunks).toString() });
        if (request.method === 'POST') response.writeHead(200, { 'content-length': Buffer.byteLength(text) });
        for (const part of text) response.write(part);
        response.end();
      });
    },
    async (client) => {
      const query = { a: ['x', 'y z'], b: true, c: false, d: undefined };
      assert.deepEqual(await client.call('GET', '/x', { query }), { url: '/x?a=x&a=y+z&b=1', body: '' });
      assert.deepEqual(await client.call('POST', '/x', { json: { k: 'ü' } }), {
        url: '/x',
        body: '{"k":"ü"}',
      });
    },
  ));

test("a failure carries the engine's message, code and help", () =>
  withEngine(
    (_request, response) => {
      response.writeHead(404, { 'content-type': 'application/json' });
      response.end(
        JSON.stringify({ message: 'No such image: x', code: 'not_found', help: { id: 'a/b', fix: ['do'] } }),
      );
    },
    async (client) => {
      await assert.rejects(client.call('GET', '/images/x/json'), (error: unknown) => {
        assert.ok(error instanceof CodedError);
        assert.deepEqual(
          [error.code, error.message, error.help],
          ['not_found', 'No such image: x', { id: 'a/b', fix: ['do'] }],
        );
        return true;
      });
    },
  ));

test('lines are read whatever way the bytes break, and an error line is thrown', () =>
  withEngine(
    async (_request, response) => {
      const text =
        '{"status":"ü"}\r\n{"n":1}\n{"errorDetail":{"message":"no","code":7},"error":"no","help":{"id":"x/y"}}\n';
      for (const byte of Buffer.from(text)) response.write(Buffer.from([byte]));
      await sleep(1);
      response.end();
    },
    async (client) => {
      const seen: unknown[] = [];
      await assert.rejects(
        async () => {
          for await (const line of client.lines('POST', '/x')) seen.push(line);
        },
        (error: unknown) =>
          error instanceof CodedError &&
          error.message === 'no' &&
          error.data?.['exitCode'] === 7 &&
          error.help?.id === 'x/y',
      );
      assert.deepEqual(seen, [{ status: 'ü' }, { n: 1 }]);
    },
  ));

test('a stream is sent chunk by chunk, and an early answer ends it', () =>
  withEngine(
    (request, response) => {
      if (request.url === '/early') {
        response.writeHead(400, { connection: 'close' }).end(JSON.stringify({ message: 'enough' }));
        return;
      }
      let length = 0;
      request.on('data', (chunk: Buffer) => {
        length += chunk.byteLength;
      });
      request.on('end', () => response.end(JSON.stringify({ length })));
    },
    async (client) => {
      let made = 0;
      const stream = async function* (count: number): AsyncGenerator<Uint8Array> {
        for (; made < count; made++) yield Buffer.alloc(65_536);
      };
      assert.deepEqual(await client.call('POST', '/whole', { stream: stream(100) }), { length: 6_553_600 });
      made = 0;
      await assert.rejects(client.call('POST', '/early', { stream: stream(1e9) }), /enough/);
      assert.ok(made < 1000);
      const broken = async function* (): AsyncGenerator<Uint8Array> {
        yield Buffer.from('x');
        throw new CodedError('not_found', 'the file is gone');
      };
      await assert.rejects(
        client.call('POST', '/whole', { stream: broken() }),
        /^CodedError: the file is gone$/,
      );
    },
  ));

test('a hijacked stream goes both ways and ends one way at a time', () =>
  withEngine(
    () => undefined,
    async (client) => {
      const { socket, head, isRaw } = await client.hijack('POST', '/containers/x/attach');
      assert.equal(isRaw, true);
      socket.end('abc');
      let text = head.toString();
      for await (const chunk of socket) text += String(chunk);
      assert.equal(text, 'hello ABCbye');
    },
  ));

test('an engine that is not there, hangs up or is cancelled is told in plain words', async () => {
  const gone = createEngineClient(parseEndpoint('unix:///nonexistent/e.sock'));
  await assert.rejects(gone.call('GET', '/_ping'), (error: unknown) => {
    assert.ok(error instanceof CodedError);
    assert.equal(
      error.message,
      'Cannot connect to the Docker daemon at unix:///nonexistent/e.sock. Is the docker daemon running?',
    );
    return true;
  });
  await withEngine(
    (request, response) => {
      if (request.url === '/cut')
        response.writeHead(200, { 'content-length': 100 }).write('half', () => response.destroy());
      else if (request.url === '/drop') request.socket.destroy();
    },
    async (client) => {
      await assert.rejects(client.call('GET', '/cut'), /went away in the middle of its answer/);
      await assert.rejects(client.call('GET', '/drop'), /closed the connection without an answer/);
      const reason = new Error('stop');
      const controller = new AbortController();
      setTimeout(() => controller.abort(reason), 20);
      await assert.rejects(
        client.call('GET', '/hang', { signal: controller.signal }),
        (error) => error === reason,
      );
    },
  );
});

test('frames are taken apart wherever they break', async () => {
  const frame = (stream: number, text: string): Buffer => {
    const header = Buffer.from([stream, 0, 0, 0, 0, 0, 0, 0]);
    header.writeUInt32BE(Buffer.byteLength(text), 4);
    return Buffer.concat([header, Buffer.from(text)]);
  };
  const bytes = Buffer.concat([frame(1, 'out'), frame(2, ''), frame(2, 'err'), frame(1, 'more')]);
  for (const size of [1, 3, 9, 100]) {
    const pieces = async function* (): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < bytes.byteLength; at += size) yield bytes.subarray(at, at + size);
    };
    const text = { stdin: '', stdout: '', stderr: '' };
    for await (const piece of readFrames(pieces())) text[piece.stream] += piece.bytes.toString();
    assert.deepEqual(text, { stdin: '', stdout: 'outmore', stderr: 'err' });
  }
  const wrong = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.from('plain text that is no frame');
  };
  await assert.rejects(Array.fromAsync(readFrames(wrong())), /unrecognized input header: 112/);
});

test('hosts are read as docker reads them', () => {
  const rows: [string, string][] = [
    ['unix:///run/x.sock', 'unix /run/x.sock'],
    ['tcp://h:1234', 'tcp h 1234'],
    ['h:1234', 'tcp h 1234'],
    ['tcp://[::1]:5', 'tcp ::1 5'],
    ['tcp://h', 'tcp h 2375'],
  ];
  for (const [text, want] of rows) {
    const endpoint = parseEndpoint(text);
    assert.equal(
      endpoint.kind === 'unix' ? `unix ${endpoint.path}` : `tcp ${endpoint.host} ${endpoint.port}`,
      want,
    );
  }
  for (const bad of ['', 'unix://', 'tcp://a b', ':::'])
    assert.throws(() => parseEndpoint(bad), /unable to parse docker host/);
  assert.throws(() => parseEndpoint('ssh://host'), /ssh:\/\/ is not supported/);
});

test('what is no HTTP is refused, not waited for', () => {
  assert.throws(() => parseHead(Buffer.from('SSH-2.0-OpenSSH\r\n\r\n')), /malformed HTTP response/);
  assert.equal(parseHead(Buffer.from('HTTP/1.1 200 OK\r\nA: b\r\n')), undefined);
  const decoder = new ChunkedDecoder();
  assert.throws(() => decoder.decode(Buffer.from('xyz\r\n')), /a chunk has no size/);
});
