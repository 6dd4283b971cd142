import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { silentLog } from '#base/log/index.ts';
import { createEngineServer, type EngineServer, type Route } from './index.ts';

const dir = mkdtempSync(join(tmpdir(), 'slipway-listen-'));
after(() => rmSync(dir, { recursive: true, force: true }));

const HANGING: Route = {
  method: 'POST',
  path: '/raw',
  hijacks: true,
  summary: '',
  handler: async (context) => {
    const stream = context.hijack();
    stream.write('hello');
    await new Promise((done) => stream.once('close', done));
  },
};

const create = (routes: readonly Route[] = []): EngineServer =>
  createEngineServer({ routes, log: silentLog(), product: 'test' });

describe('listening', () => {
  it('makes a socket of mode 0660, replaces a stale one, refuses one that answers', async () => {
    const path = join(dir, 'api.sock');
    const first = create();
    await first.listen({ kind: 'unix', path });
    assert.equal(statSync(path).mode & 0o777, 0o660);
    await assert.rejects(create().listen({ kind: 'unix', path }), /another daemon answers there/);
    // A socket file whose server ended without removing it.
    const stale = join(dir, 'stale.sock');
    renameSync(path, stale);
    await first.close();
    const second = create();
    assert.equal(await second.listen({ kind: 'unix', path: stale }), stale);
    await second.close();
    const file = join(dir, 'file');
    writeFileSync(file, '');
    await assert.rejects(
      create().listen({ kind: 'unix', path: file }),
      /a file that is no socket is in the way/,
    );
  });

  it('refuses plain TCP that others can reach', async () => {
    await assert.rejects(create().listen({ kind: 'tcp', host: '0.0.0.0', port: 0 }), /needs mutual TLS/);
  });

  it('ends taken-over connections soon when it closes', async () => {
    const server = create([HANGING]);
    const path = join(dir, 'closing.sock');
    await server.listen({ kind: 'unix', path });
    const client = connect({ path, allowHalfOpen: true });
    client.write('POST /raw HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n');
    await new Promise((done) => client.once('data', done));
    const started = performance.now();
    await server.close({ graceMs: 5000 });
    assert.ok(performance.now() - started < 2000);
    client.destroy();
  });
});
