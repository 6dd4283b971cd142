/** `slipway login --device` against a hub: approved on the page's API, refused, and never tried elsewhere. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { ADMIN, startHub, type TestHub } from '../support/hub.ts';
import { startRegistryDouble } from '../support/registry-double.ts';

const PROGRAM = resolve(import.meta.dirname, '../../bin/slipway');
let hub: TestHub;
let dir: string;
let cookie: string;

before(async () => {
  dir = mkdtempSync(join(tmpdir(), 'slipway-device-'));
  hub = await startHub();
  cookie = await hub.signIn(ADMIN.username, ADMIN.password);
});
after(async () => {
  await hub.dispose();
  rmSync(dir, { recursive: true, force: true });
});

interface Login {
  readonly child: ChildProcess;
  readonly said: { stdout: string; stderr: string };
  /** The exit code. */
  readonly end: Promise<number>;
}

function login(host: string): Login {
  const child = spawn(PROGRAM, ['login', '--device', host], {
    env: { PATH: process.env['PATH'] ?? '', HOME: dir, DOCKER_CONFIG: join(dir, 'config') },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = { stdout: '', stderr: '' };
  child.stdout?.on('data', (chunk) => {
    said.stdout += String(chunk);
  });
  child.stderr?.on('data', (chunk) => {
    said.stderr += String(chunk);
  });
  return { child, said, end: once(child, 'close').then(([code]) => Number(code)) };
}

async function codeOf({ child, said }: Login): Promise<string> {
  while (child.exitCode === null) {
    const code = /activate\?code=([A-Z]{4}-[A-Z]{4})/.exec(said.stderr)?.[1];
    if (code !== undefined) return code;
    await new Promise((done) => setTimeout(done, 20));
  }
  throw new Error(`login ended: ${said.stderr}`);
}

const decide = (code: string, approve: boolean, as: string | undefined) =>
  hub.api('POST', '/api/device/decision', {
    body: { code, approve },
    ...(as === undefined ? {} : { cookie: as }),
  });

test('a terminal is signed in when its code is approved, with a token that may push', async () => {
  const running = login(hub.host);
  const code = await codeOf(running);
  assert.equal((await decide(code, true, undefined)).status, 401, 'only who is signed in approves');
  assert.match((await hub.api('GET', `/api/device?code=${code}`, { cookie })).body.client, /^slipway /);
  assert.equal((await decide(code, true, cookie)).status, 200);
  assert.equal(await running.end, 0, running.said.stderr);
  assert.equal(running.said.stdout, 'Login Succeeded\n');
  const config = JSON.parse(readFileSync(join(dir, 'config/config.json'), 'utf8'));
  const basic: string = config.auths[hub.host].auth;
  const [name, secret = ''] = Buffer.from(basic, 'base64').toString().split(':');
  assert.equal(name, ADMIN.username);
  assert.match(secret, /^slp_/);
  assert.equal((running.said.stdout + running.said.stderr).includes(secret), false, 'it is not shown');
  const answer = await hub.api(
    'GET',
    '/token?service=slipway-hub&scope=repository:admin/x:pull,push,delete',
    {
      headers: { authorization: `Basic ${basic}` },
    },
  );
  const claims = JSON.parse(Buffer.from(answer.body.token.split('.')[1], 'base64url').toString());
  assert.deepEqual(claims.access[0].actions.sort(), ['pull', 'push']);
  assert.equal((await hub.api('GET', '/api/guide', { cookie })).body.signedInByClient, true);
});

test('a refused sign-in fails', async () => {
  const running = login(hub.host);
  await decide(await codeOf(running), false, cookie);
  assert.equal(await running.end, 1);
  assert.match(running.said.stderr, /refused on the page/);
});

test('codes cannot be guessed: after some wrong ones nobody is asked any more', async () => {
  const answers = [];
  for (let tries = 0; tries < 12; tries++) answers.push((await decide('BBBB-BBBB', true, cookie)).status);
  assert.deepEqual(answers.slice(0, 10), Array(10).fill(404));
  assert.equal(answers.at(-1), 429);
});

test('another registry gets no code and no question but one', async () => {
  await using double = await startRegistryDouble();
  const running = login(double.host);
  assert.equal(await running.end, 1);
  assert.match(running.said.stderr, /has no sign-in by its page/);
  assert.deepEqual(
    [...new Set(double.seen.map(({ method, url }) => `${method} ${url}`))],
    ['GET /api/session'],
  );
});
