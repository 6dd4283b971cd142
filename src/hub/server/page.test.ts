import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { createPage } from './page.ts';

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

type Get = (path: string, options?: { method?: string; headers?: Record<string, string> }) => Promise<Answer>;

const SCRIPT = 'console.log("a script");\n'.repeat(100);

async function withPage(body: (get: Get) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'slipway-page-'));
  mkdirSync(join(dir, 'assets'));
  writeFileSync(join(dir, 'index.html'), '<!doctype html><title>entry</title>');
  writeFileSync(join(dir, 'assets/app-1.js'), SCRIPT);
  writeFileSync(join(dir, 'assets/pixel.png'), 'not really');
  const page = createPage(dir);
  assert.ok(page);
  const server = createServer(page);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const get: Get = (path, { method = 'GET', headers = {} } = {}) =>
    new Promise((resolve, reject) => {
      const sent = request({ host: '127.0.0.1', port, path, method, headers, agent: false }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(chunks),
          }),
        );
      });
      sent.on('error', reject);
      sent.end();
    });
  try {
    await body(get);
  } finally {
    await new Promise((resolve) => server.close(resolve));
    rmSync(dir, { recursive: true, force: true });
  }
}

test('a view of the page gets the entry document, an asset that is not there is missing', () =>
  withPage(async (get) => {
    for (const path of ['/', '/r/a/b?tab=tags', '/activate?code=X', '/../../etc/passwd', '/%2e%2e/x']) {
      const answer = await get(path);
      assert.deepEqual(
        [answer.status, answer.body.toString()],
        [200, '<!doctype html><title>entry</title>'],
        path,
      );
      assert.equal(answer.headers['cache-control'], 'no-cache');
    }
    const missing = await get('/assets/old-0.js');
    assert.equal(missing.status, 404);
    assert.match(String(missing.headers['content-security-policy']), /default-src 'none'/);
  }));

test('assets are kept for ever, packed for who takes it, and not sent twice', () =>
  withPage(async (get) => {
    const plain = await get('/assets/app-1.js');
    assert.deepEqual([plain.body.toString(), plain.headers['content-encoding']], [SCRIPT, undefined]);
    assert.match(String(plain.headers['cache-control']), /immutable/);
    const packed = await get('/assets/app-1.js', { headers: { 'accept-encoding': 'br, gzip' } });
    assert.equal(packed.headers['content-encoding'], 'gzip');
    assert.equal(gunzipSync(packed.body).toString(), SCRIPT);
    assert.equal(packed.headers['vary'], 'accept-encoding');
    const image = await get('/assets/pixel.png', { headers: { 'accept-encoding': 'gzip' } });
    assert.deepEqual(
      [image.headers['content-encoding'], image.headers['content-type']],
      [undefined, 'image/png'],
    );
    const again = await get('/assets/app-1.js', {
      headers: { 'if-none-match': String(plain.headers['etag']) },
    });
    assert.deepEqual([again.status, again.body.length], [304, 0]);
    const changed = await get('/assets/app-1.js', { headers: { 'if-none-match': '"other"' } });
    assert.equal(changed.status, 200);
  }));

test('HEAD has the headers of GET and no body; nothing else is allowed', () =>
  withPage(async (get) => {
    const head = await get('/assets/app-1.js', { method: 'HEAD' });
    assert.deepEqual(
      [head.status, head.headers['content-length'], head.body.length],
      [200, String(SCRIPT.length), 0],
    );
    const post = await get('/', { method: 'POST' });
    assert.deepEqual([post.status, post.headers['allow']], [405, 'GET, HEAD']);
  }));

test('without a built page there is none', () => {
  assert.equal(createPage('/nonexistent'), undefined);
});
