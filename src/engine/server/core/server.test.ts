import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError } from '#base/errors/index.ts';
import { silentLog } from '#base/log/index.ts';
import { createEngineServer, type EngineServer, type Route } from './index.ts';

let dir: string;
let socketPath: string;
let server: EngineServer;
let port: number;
const aborted: string[] = [];

const ROUTES: Route[] = [
  {
    method: 'GET',
    path: '/things/json',
    summary: 'list',
    handler: (c) => c.sendJson(200, { all: c.query.all('t'), v: c.apiVersion.minor }),
  },
  { method: 'HEAD', path: '/things/json', summary: 'list', handler: (c) => c.sendJson(200, { all: [] }) },
  {
    method: 'GET',
    path: '/things/:name+/json',
    summary: 'one',
    handler: (c) => c.sendJson(200, { name: c.params['name'] }),
  },
  {
    method: 'GET',
    path: '/things/:name+/new',
    since: '1.45',
    summary: 'new',
    handler: (c) => c.sendStatus(204),
  },
  {
    method: 'POST',
    path: '/echo',
    summary: 'echo',
    handler: async (c) => c.sendJson(200, (await c.readJson({ limitBytes: 1000 })) ?? null),
  },
  {
    method: 'POST',
    path: '/fail',
    summary: 'fail',
    handler: async (c) => {
      await c.streamJson(async (stream) => {
        if (c.query.flag('late')) await stream.write({ status: 'begun' });
        throw new CodedError('not_found', 'No such thing: x', {
          help: { id: 'a/b', fix: ['do it'] },
          data: { n: 1 },
        });
      });
    },
  },
  {
    method: 'GET',
    path: '/bug',
    summary: 'bug',
    handler: () => {
      throw new TypeError('secret detail');
    },
  },
  {
    method: 'POST',
    path: '/raw',
    hijacks: true,
    summary: 'hijack',
    handler: async (c) => {
      const body = c.header('content-type') ? await c.readJson<{ greeting: string }>() : undefined;
      const stream = c.hijack();
      if (body?.greeting) stream.write(body.greeting);
      const parts: Buffer[] = [];
      for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
        parts.push(chunk as Buffer);
        stream.write(`<${String(chunk)}>`);
      }
      stream.end(`got ${Buffer.concat(parts).length}`);
    },
  },
  {
    method: 'GET',
    path: '/wait',
    summary: 'waits for the client to leave',
    handler: async (c) => {
      c.flushHeaders(200, {});
      await new Promise((done) => c.signal.addEventListener('abort', done));
      aborted.push(c.path);
    },
  },
];

before(async () => {
  dir = mkdtempSync(join(tmpdir(), 'slipway-core-'));
  socketPath = join(dir, 'api.sock');
  server = createEngineServer({ routes: ROUTES, log: silentLog(), product: 'Slipway/test (linux)' });
  await server.listen({ kind: 'unix', path: socketPath });
  port = Number((await server.listen({ kind: 'tcp', host: '127.0.0.1', port: 0 })).split(':').at(-1));
});

after(async () => {
  await server.close({ graceMs: 100 });
  rmSync(dir, { recursive: true, force: true });
});

/** Sends text as it is and collects everything until the server closes or `ms` pass. */
async function raw(
  text: string,
  options: { readonly thenSend?: string; readonly half?: boolean; readonly ms?: number } = {},
): Promise<string> {
  const socket: Socket = connect({ path: socketPath, allowHalfOpen: true });
  let answer = '';
  socket.on('data', (chunk) => {
    answer += String(chunk);
  });
  const closed = new Promise<void>((done) => socket.once('end', done).once('error', () => done()));
  socket.write(text);
  if (options.thenSend !== undefined) {
    await waitUntil(() => answer.includes('\r\n\r\n'));
    socket.write(options.thenSend);
  }
  if (options.half) {
    await sleep(30);
    socket.end();
  }
  await Promise.race([closed, sleep(options.ms ?? 2000)]);
  socket.destroy();
  return answer;
}

async function waitUntil(test: () => boolean, ms = 3000): Promise<void> {
  for (const end = Date.now() + ms; !test(); await sleep(5))
    assert.ok(Date.now() < end, 'it did not happen in time');
}

const get = (path: string, extra = ''): string =>
  `GET ${path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n${extra}\r\n`;
const post = (path: string, body: string, type = 'application/json'): string =>
  `POST ${path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\nContent-Type: ${type}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

describe('routing and versions', () => {
  it('serves a path with and without a version prefix and keeps repeated query keys', async () => {
    assert.match(await raw(get('/things/json?t=a&t=b')), /{"all":\["a","b"\],"v":47}/);
    assert.match(await raw(get('/v1.30/things/json?t=a')), /"v":30/);
  });

  it('refuses versions it does not serve with the texts of Docker', async () => {
    const tooNew = await raw(get('/v1.99/things/json'));
    assert.match(tooNew, /^HTTP\/1.1 400 /);
    assert.match(tooNew, /"client version 1.99 is too new. Maximum supported API version is 1.47"/);
    const tooOld = await raw(get('/v1.12/things/json'));
    assert.match(
      tooOld,
      /"client version 1.12 is too old. Minimum supported API version is 1.24, please upgrade/,
    );
  });

  it('keeps slashes in a name and prefers a fixed path over a name', async () => {
    assert.match(
      await raw(get('/v1.47/things/localhost:5000/a/b:v1/json')),
      /{"name":"localhost:5000\/a\/b:v1"}/,
    );
    assert.match(await raw(get('/things/a%2Fb/json')), /{"name":"a\/b"}/);
    assert.match(await raw(get('/things/json/json')), /{"name":"json"}/);
  });

  it('answers an unknown path, a wrong method and a newer operation with 404', async () => {
    for (const path of ['/nothing', '/v1.44/things/a/new', '/things/']) {
      const answer = await raw(get(path));
      assert.match(answer, /^HTTP\/1.1 404 /, path);
      assert.match(answer, /{"message":"page not found"/);
    }
    assert.match(await raw(post('/things/json', '{}')), /^HTTP\/1.1 404 /);
    assert.match(await raw(get('/v1.45/things/a/new')), /^HTTP\/1.1 204 /);
  });

  it('redirects an unclean path and refuses a badly encoded one', async () => {
    assert.match(
      await raw(get('/v1.47/things//json?x=1')),
      /^HTTP\/1.1 301 [\s\S]*Location: \/v1.47\/things\/json\?x=1/,
    );
    assert.match(await raw(get('/things/%zz/json')), /^HTTP\/1.1 400 /);
  });

  it('answers HEAD with headers only', async () => {
    const answer = await raw(`HEAD /things/json HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n`);
    assert.match(answer, /^HTTP\/1.1 200 [\s\S]*Api-Version: 1.47\r\n/);
    assert.ok(answer.endsWith('\r\n\r\n'));
  });
});

describe('bodies', () => {
  it('reads JSON, and nothing where there is none', async () => {
    assert.match(await raw(post('/echo', '{"a":1}')), /{"a":1}/);
    assert.match(await raw(`POST /echo HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n`), /\r\n\r\nnull/);
  });

  it('refuses what is no JSON with the texts of Docker', async () => {
    assert.match(await raw(post('/echo', '{"a":')), /^HTTP\/1.1 400 [\s\S]*"invalid JSON: /);
    assert.match(await raw(post('/echo', '[1]')), /^HTTP\/1.1 400 /);
    assert.match(
      await raw(post('/echo', '{}', 'text/plain')),
      /unsupported Content-Type header \(text\/plain\): must be/,
    );
    assert.match(await raw(post('/echo', '{}', '')), /malformed Content-Type header \(\)/);
  });

  it('drops __proto__ keys, plain and escaped', async () => {
    assert.match(
      await raw(post('/echo', '{"__proto__":{"x":1},"a":{"\\u005f_proto__":1}}')),
      /\r\n\r\n{"a":{}}/,
    );
  });

  it('stops at the body limit', async () => {
    assert.match(await raw(post('/echo', JSON.stringify({ a: 'x'.repeat(2000) }))), /^HTTP\/1.1 413 /);
  });
});

describe('errors', () => {
  it('carry the message of Docker and our fields beside it', async () => {
    const answer = await raw(post('/fail', ''));
    assert.match(answer, /^HTTP\/1.1 404 /);
    const body = JSON.parse(answer.split('\r\n\r\n')[1] ?? '') as object;
    assert.deepEqual(body, {
      message: 'No such thing: x',
      code: 'not_found',
      help: { id: 'a/b', fix: ['do it'] },
      data: { n: 1 },
    });
  });

  it('become a line when the stream has begun', async () => {
    const answer = await raw(post('/fail?late=1', ''));
    assert.match(answer, /^HTTP\/1.1 200 /);
    assert.match(answer, /{"status":"begun"}\r\n/);
    assert.match(
      answer,
      /{"errorDetail":{"message":"No such thing: x"},"error":"No such thing: x","help":{"id":"a\/b"/,
    );
  });

  it('reach a client that is still uploading', async () => {
    const error = await new Promise<string>((resolve, reject) => {
      const upload = httpRequest({ socketPath, path: '/fail', method: 'POST' }, (response) => {
        let body = '';
        response.on('data', (chunk) => {
          body += String(chunk);
        });
        response.on('end', () => resolve(`${response.statusCode} ${body}`));
      });
      upload.on('error', reject);
      for (let i = 0; i < 64; i++) upload.write(Buffer.alloc(256 * 1024));
      upload.end();
    });
    assert.match(error, /^404 {"message":"No such thing: x"/);
  });

  it('reach a client that closes after its request and is still uploading', async () => {
    const head = (path: string): string =>
      `POST ${path} HTTP/1.1\r\nHost: d\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n`;
    const chunk = `1000\r\n${'x'.repeat(0x1000)}\r\n`;
    for (const path of ['/fail', '/fail?late=1']) {
      const socket = connect({ path: socketPath, allowHalfOpen: true });
      let [answer, isBroken, isClosed] = ['', false, false];
      socket.on('data', (data) => {
        answer += String(data);
      });
      socket.on('error', () => {
        isBroken = true;
      });
      socket.on('end', () => {
        isClosed = true;
      });
      socket.write(head(path));
      await waitUntil(() => answer.includes('No such thing'));
      for (let i = 0; i < 100; i++) socket.write(chunk);
      await sleep(50);
      assert.equal(isBroken, false, 'the connection takes what the client still has to say');
      socket.write('0\r\n\r\n');
      await waitUntil(() => isClosed);
      socket.destroy();
    }
  });

  it('hide the text of a bug', async () => {
    const answer = await raw(get('/bug'));
    assert.match(answer, /^HTTP\/1.1 500 /);
    assert.doesNotMatch(answer, /secret detail/);
  });
});

describe('hijack', () => {
  const upgrade = (body = ''): string =>
    `POST /v1.47/raw HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const plain = (body = ''): string =>
    `POST /v1.47/raw HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

  it('answers 101 to Upgrade: tcp and streams both ways until the client closes its side', async () => {
    const answer = await raw(upgrade(), { thenSend: 'hello', half: true });
    assert.match(
      answer,
      /^HTTP\/1.1 101 UPGRADED\r\nContent-Type: application\/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n<hello>got 5$/,
    );
  });

  it('answers a raw 200 to a plain request, and reads what follows as input', async () => {
    const answer = await raw(plain('{"greeting":"hi"}'), { thenSend: 'GET / HTTP/1.1\r\n\r\n', half: true });
    assert.match(
      answer,
      /^HTTP\/1.1 200 OK\r\nContent-Type: application\/vnd.docker.raw-stream\r\n\r\nhi<GET \/ HTTP\/1.1\r\n\r\n>got 18$/,
    );
  });

  for (const [form, head] of [
    ['101', upgrade],
    ['200', plain],
  ] as const) {
    it(`takes input that came in the same packet as the head (${form})`, async () => {
      const answer = await raw(`${head('{"greeting":"hi"}')}early`, { half: true });
      assert.match(answer, /hi<early>got 5$/);
    });
  }

  for (const [form, head] of [
    ['101', upgrade],
    ['200', plain],
  ] as const) {
    it(`reads a body that comes in parts, then input (${form})`, async () => {
      const socket = connect({ path: socketPath, allowHalfOpen: true });
      let answer = '';
      socket.on('data', (chunk) => {
        answer += String(chunk);
      });
      const whole = head('{"greeting":"hi"}');
      for (const part of [whole.slice(0, 40), whole.slice(40, -9), whole.slice(-9, -1), whole.slice(-1)]) {
        socket.write(part);
        await sleep(15);
      }
      await waitUntil(() => answer.endsWith('hi'));
      socket.write('one');
      await waitUntil(() => answer.endsWith('<one>'));
      socket.end('two');
      await waitUntil(() => answer.endsWith('<two>got 6'));
      socket.destroy();
    });
  }

  it('takes chunked input with a raw answer', async () => {
    const answer = await raw(
      'POST /raw HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
    );
    assert.match(answer, /^HTTP\/1.1 200 OK\r\nContent-Type: [^\r]*\r\n\r\n<hello>got 5$/);
  });

  it('answers errors before the takeover as ordinary HTTP', async () => {
    const answer = await raw(
      'POST /v1.47/none HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n',
    );
    assert.match(answer, /^HTTP\/1.1 404 [\s\S]*page not found/);
  });

  it('ignores offers of h2c on ordinary operations', async () => {
    assert.match(
      await raw('GET /things/json HTTP/1.1\r\nHost: d\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n'),
      /^HTTP\/1.1 200 /,
    );
  });

  it('aborts when the client goes away, fully or by closing its side', async () => {
    const leaving = connect(socketPath);
    leaving.write(get('/wait'));
    await sleep(50);
    leaving.destroy();
    await waitUntil(() => aborted.length === 1);
    await raw(get('/wait'), { half: true });
    await waitUntil(() => aborted.length === 2);
  });
});

describe('wire', () => {
  it('refuses two Host headers, a bad Host and an HTTP/0.9 line', async () => {
    assert.match(await raw('GET /things/json HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'), /^HTTP\/1.1 400 /);
    assert.match(await raw('GET /things/json HTTP/1.1\r\nHost: a b\r\n\r\n'), /^HTTP\/1.1 400 /);
    assert.match(await raw('GET /things/json\r\n\r\n'), /^HTTP\/1.1 400 /);
    assert.match(await raw('GET /things/json HTTP/1.1\r\n\r\n'), /^HTTP\/1.1 400 /);
  });

  it('answers 431 to a huge header and takes one of 40 KiB', async () => {
    assert.match(await raw(get('/things/json', `X: ${'a'.repeat(70_000)}\r\n`)), /^HTTP\/1.1 431 /);
    assert.match(await raw(get('/things/json', `X: ${'a'.repeat(40_000)}\r\n`)), /^HTTP\/1.1 200 /);
  });

  it('refuses foreign Host names on TCP and cross-site changes', async () => {
    const status = (
      headers: Record<string, string>,
      method = 'GET',
      path = '/things/json',
    ): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        httpRequest({ host: '127.0.0.1', port, path, method, headers }, (response) => {
          response.resume();
          resolve(response.statusCode);
        })
          .on('error', reject)
          .end();
      });
    assert.equal(await status({}), 200);
    assert.equal(await status({ Host: `localhost:${port}` }), 200);
    assert.equal(await status({ Host: 'evil.example' }), 403);
    assert.equal(await status({ Origin: 'http://evil.example' }, 'POST', '/echo'), 403);
    assert.equal(await status({ 'Sec-Fetch-Site': 'cross-site' }, 'POST', '/echo'), 403);
    assert.equal(await status({}, 'POST', '/echo'), 200);
  });
});
