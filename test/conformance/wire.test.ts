/** What arrives on the wire of a hub before anybody is asked who they are: framing that two readers read differently, and headers that claim to be the host. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { ADMIN, startHub, type TestHub } from '../support/hub.ts';

let hub: TestHub;
before(async () => {
  hub = await startHub();
});
after(() => hub.dispose());

/** Sends bytes as they are; everything that comes back until the other side closes, or for a moment. */
async function exchange(text: string): Promise<string> {
  const socket = connect(Number(new URL(hub.url).port), '127.0.0.1');
  let answer = '';
  socket.setEncoding('latin1');
  socket.on('data', (chunk) => {
    answer += String(chunk);
  });
  socket.on('error', () => {});
  await once(socket, 'connect');
  socket.write(text, 'latin1');
  const timer = setTimeout(() => socket.destroy(), 1500);
  await once(socket, 'close');
  clearTimeout(timer);
  return answer;
}

const statuses = (answer: string): string[] =>
  [...answer.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, code]) => code ?? '');
const HOST = 'Host: hub.test\r\n';
const INNER = `GET /v2/ HTTP/1.1\r\n${HOST}\r\n`;

describe('framing', () => {
  const refused: readonly (readonly [string, string])[] = [
    [
      'a length and chunks',
      `POST /api/session HTTP/1.1\r\n${HOST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${INNER}`,
    ],
    [
      'two lengths',
      `POST /api/session HTTP/1.1\r\n${HOST}Content-Length: 0\r\nContent-Length: ${INNER.length}\r\n\r\n${INNER}`,
    ],
    ['two lengths in one', `POST /api/session HTTP/1.1\r\n${HOST}Content-Length: 0, 5\r\n\r\nabcde`],
    ['a length with a sign', `POST /api/session HTTP/1.1\r\n${HOST}Content-Length: +5\r\n\r\nabcde`],
    [
      'chunked that is not last',
      `POST /api/session HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n${INNER}`,
    ],
    [
      'chunked in another spelling',
      `POST /api/session HTTP/1.1\r\n${HOST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${INNER}`,
    ],
    ['a blank before the colon', `GET /v2/ HTTP/1.1\r\n${HOST}Content-Length : 5\r\n\r\nabcde`],
    [
      'a header that goes on in the next line',
      `GET /v2/ HTTP/1.1\r\n${HOST}X-A: 1\r\n Content-Length: 5\r\n\r\nabcde`,
    ],
    [
      'a chunk size that is none',
      `POST /api/session HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n0x5\r\nabcde\r\n0\r\n\r\n`,
    ],
    ['a NUL in a header', `GET /v2/ HTTP/1.1\r\n${HOST}X-A: a\0b\r\n\r\n`],
    ['two hosts', `GET /v2/ HTTP/1.1\r\n${HOST}Host: other.test\r\n\r\n`],
    ['no host', 'GET /v2/ HTTP/1.1\r\n\r\n'],
    ['HTTP/0.9', 'GET /v2/\r\n'],
    ['a method of its own', `HELLO /v2/ HTTP/1.1\r\n${HOST}\r\n`],
    ['headers without end', `GET /v2/ HTTP/1.1\r\n${HOST}X-A: ${'a'.repeat(100_000)}\r\n\r\n`],
  ];
  for (const [name, text] of refused)
    test(`${name} is refused, and nothing behind it is taken for a request`, async () => {
      const answer = await exchange(text);
      assert.ok(statuses(answer).length <= 1, answer.slice(0, 300));
      assert.match(statuses(answer)[0] ?? '400', /^4\d\d$/, answer.slice(0, 300));
    });

  test('a length of 0 means 0: what follows is a request of its own', async () => {
    const answer = await exchange(
      `POST /api/session HTTP/1.1\r\n${HOST}Content-Type: application/json\r\nContent-Length: 0\r\n\r\n${INNER.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n')}`,
    );
    assert.equal(statuses(answer).length, 2);
    assert.match(statuses(answer)[0] ?? '', /^4\d\d$/);
    assert.equal(statuses(answer)[1], '401', 'the registry asks who it is');
  });
});

test('no header of the client names the host that upload and sign-in go to', async () => {
  const forged = {
    'x-forwarded-host': 'evil.test',
    'x-forwarded-proto': 'https',
    'x-forwarded-port': '666',
    forwarded: 'host=evil.test;proto=https',
    'x-original-url': 'https://evil.test/',
  };
  const challenge = await fetch(`${hub.url}/v2/`, { headers: forged });
  assert.equal(challenge.status, 401);
  assert.doesNotMatch(challenge.headers.get('www-authenticate') ?? '', /evil|666|https/);
  const scope = encodeURIComponent(`repository:${ADMIN.username}/app:pull,push`);
  const basic = Buffer.from(`${ADMIN.username}:${ADMIN.password}`).toString('base64');
  const token = (await (
    await fetch(`${hub.url}/token?service=slipway-hub&scope=${scope}`, {
      headers: { authorization: `Basic ${basic}` },
    })
  ).json()) as { token: string };
  const begun = await fetch(`${hub.url}/v2/${ADMIN.username}/app/blobs/uploads/`, {
    method: 'POST',
    headers: { ...forged, authorization: `Bearer ${token.token}` },
  });
  assert.equal(begun.status, 202);
  assert.match(begun.headers.get('location') ?? '', new RegExp(`^/v2/${ADMIN.username}/app/blobs/uploads/`));
});
