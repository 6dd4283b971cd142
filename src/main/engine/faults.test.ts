import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';

const SERVER = join(import.meta.dirname, 'testdata/faulty-server.ts');

async function withServer(
  args: readonly string[],
  body: (child: ChildProcess, socketPath: string) => Promise<void>,
): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), 'slipway-faults-'));
  const socketPath = join(dir, 's.sock');
  const child = spawn(process.execPath, [SERVER, socketPath, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  child.stderr?.on('data', (chunk) => {
    log += String(chunk);
  });
  try {
    await once(child.stdout as NodeJS.ReadableStream, 'data');
    await body(child, socketPath);
  } finally {
    if (child.exitCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    rmSync(dir, { recursive: true, force: true });
  }
  return log;
}

/** The status, or `closed` when the connection was closed without an answer. */
function statusOf(socketPath: string, path: string): Promise<number | 'closed' | undefined> {
  return new Promise((resolve) => {
    get({ socketPath, path, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode);
    }).on('error', () => resolve('closed'));
  });
}

describe('watchFaults', () => {
  it('closes the connection of the request that has the bug, and goes on', async () => {
    const log = await withServer([], async (_, socketPath) => {
      assert.equal(await statusOf(socketPath, '/late-throw'), 'closed');
      assert.equal(await statusOf(socketPath, '/lost-rejection'), 'closed');
      assert.equal(await statusOf(socketPath, '/ok'), 200);
    });
    assert.match(log, /error uncaught exception in a request.*path=\/late-throw.*a bug in a callback/);
    assert.match(log, /error unhandled rejection in a request.*path=\/lost-rejection/);
  });

  it('ends the daemon when no request is to blame', async () => {
    const log = await withServer(['break'], async (child) => {
      const [code] = (await once(child, 'exit')) as [number];
      assert.equal(code, 7);
    });
    assert.match(log, /uncaught exception outside of a request: the daemon ends.*a bug of the engine itself/);
  });
});
