import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { silentLog } from '#base/log/index.ts';
import { createHubServer, type HubServer } from './http-server.ts';

let hub: HubServer;
let url: string;
let isReady = true;

before(async () => {
  hub = createHubServer({
    log: silentLog(),
    registry: (_, response) => void response.end('registry'),
    page: (_, response) => void response.end('page'),
    checkReady: () => (isReady ? Promise.resolve() : Promise.reject(new Error('database is away'))),
  });
  hub.mount('/api', (_, response) => void response.end('api'));
  hub.mount('/broken', () => Promise.reject(new Error('secret detail')));
  url = await hub.listen({ host: '127.0.0.1', port: 0 });
});
after(() => hub.close(100));

/** Sends bytes as they are and returns everything until the connection ends or is quiet. */
function raw(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1', () => socket.write(text));
    let answer = '';
    socket.on('data', (data) => (answer += data.toString('latin1')));
    socket.on('error', reject);
    socket.on('close', () => resolve(answer));
    socket.setTimeout(500, () => socket.destroy());
  });
}

test('the longest prefix answers, on whole segments only', async () => {
  const rows = {
    '/v2/x': 'registry',
    '/v2': 'registry',
    '/v2?a': 'registry',
    '/v22': 'page',
    '/api/x': 'api',
    '/': 'page',
    '/apis': 'page',
  };
  for (const [path, wanted] of Object.entries(rows))
    assert.equal(await (await fetch(url + path)).text(), wanted, path);
});

test('health and readiness', async () => {
  assert.equal((await fetch(`${url}/healthz`)).status, 200);
  assert.equal((await fetch(`${url}/readyz`)).status, 200);
  isReady = false;
  assert.equal((await fetch(`${url}/readyz`)).status, 503);
  isReady = true;
});

test('a handler that fails answers 500 without its text', async () => {
  const answer = await fetch(`${url}/broken`);
  assert.equal(answer.status, 500);
  assert.ok(!(await answer.text()).includes('secret'));
});

describe('framing', () => {
  const HOST = 'Host: 127.0.0.1\r\n';
  const rows: readonly (readonly [string, string])[] = [
    ['two Host headers', `GET /v2/ HTTP/1.1\r\n${HOST}${HOST}\r\n`],
    ['no Host header', 'GET /v2/ HTTP/1.1\r\n\r\n'],
    ['a Host with a path', 'GET /v2/ HTTP/1.1\r\nHost: a/b\r\n\r\n'],
    ['a Host with credentials', 'GET /v2/ HTTP/1.1\r\nHost: a@b\r\n\r\n'],
    ['an absolute target', `GET http://other/v2/ HTTP/1.1\r\n${HOST}\r\n`],
    [
      'Content-Length and chunked',
      `POST /v2/ HTTP/1.1\r\n${HOST}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    ],
    [
      'two Content-Lengths',
      `POST /v2/ HTTP/1.1\r\n${HOST}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd`,
    ],
    ['a folded header', `GET /v2/ HTTP/1.1\r\n${HOST}X: a\r\n b\r\n\r\n`],
    ['a space before the colon', `GET /v2/ HTTP/1.1\r\n${HOST}X : a\r\n\r\n`],
    ['HTTP/0.9', 'GET /v2/\r\n'],
    ['headers beyond 64 KiB', `GET /v2/ HTTP/1.1\r\n${HOST}X: ${'a'.repeat(66_000)}\r\n\r\n`],
  ];
  for (const [name, text] of rows)
    test(`${name}: refused`, async () => {
      const answer = await raw(text);
      assert.match(answer, /^(?:HTTP\/1\.1 4(?:00|31) |$)/);
      assert.ok(!answer.includes('registry'));
    });

  test('headers that do not end are cut off within twelve seconds', { timeout: 20_000 }, async () => {
    const started = performance.now();
    await new Promise<void>((resolve) => {
      const socket = connect(Number(new URL(url).port), '127.0.0.1', () =>
        socket.write('GET /v2/ HTTP/1.1\r\nX: '),
      );
      const drip = setInterval(() => socket.write('a'), 500);
      socket.on('error', () => {});
      socket.on('close', () => {
        clearInterval(drip);
        resolve();
      });
    });
    assert.ok(performance.now() - started < 13_000);
  });
});

test('closing lets a running request end and cuts what does not', async () => {
  const own = createHubServer({
    log: silentLog(),
    registry: async (request, response) => {
      await sleep(request.url === '/v2/slow' ? 60_000 : 200, undefined, { ref: false });
      response.end('done');
    },
    checkReady: () => Promise.resolve(),
  });
  const address = await own.listen({ host: '127.0.0.1', port: 0 });
  const quick = fetch(`${address}/v2/quick`).then((answer) => answer.text());
  const slow = fetch(`${address}/v2/slow`).then(
    () => 'answered',
    () => 'cut',
  );
  await sleep(50);
  const started = performance.now();
  await own.close(500);
  assert.equal(await quick, 'done');
  assert.equal(await slow, 'cut');
  assert.ok(performance.now() - started < 2000);
});
