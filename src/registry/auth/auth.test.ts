import assert from 'node:assert/strict';
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  createAuthorizer,
  createCredentialHelper,
  createCredentialStore,
  credentialsFor,
  decodeRegistryAuth,
  decodeRegistryConfig,
  encodeRegistryAuth,
  encodeRegistryConfig,
  isTrustedRealm,
  normalizeRegistry,
  parseChallenges,
  type TokenSender,
} from './index.ts';

let dir = '';
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'slipway-auth-'));
});
after(() => rm(dir, { recursive: true, force: true }));

test('challenges are read with quoted commas, several in a header, and junk', () => {
  const rows: [string | string[], unknown][] = [
    [
      'Bearer realm="https://a/token",service="s",scope="repository:x:pull,push"',
      [['bearer', { realm: 'https://a/token', service: 's', scope: 'repository:x:pull,push' }]],
    ],
    ['Basic realm="Registry"', [['basic', { realm: 'Registry' }]]],
    [
      'Basic realm="a", Bearer realm="b", error=invalid_token',
      [
        ['basic', { realm: 'a' }],
        ['bearer', { realm: 'b', error: 'invalid_token' }],
      ],
    ],
    [
      ['Basic realm=x', 'Bearer realm = "q\\"z"'],
      [
        ['basic', { realm: 'x' }],
        ['bearer', { realm: 'q"z' }],
      ],
    ],
    ['bearer', [['bearer', {}]]],
    [',,,==="', []],
    ['Bearer realm="unterminated', [['bearer', { realm: 'unterminated' }]]],
  ];
  for (const [header, want] of rows) {
    const got = parseChallenges(header).map(({ scheme, parameters }) => [scheme, { ...parameters }]);
    assert.deepEqual(got, want, String(header));
  }
});

test('a realm is trusted on the same host, the same domain or a known pair, and never without TLS for a TLS registry', () => {
  const rows: [string, string, boolean][] = [
    ['https://auth.docker.io/token', 'https://registry-1.docker.io/', true],
    ['http://auth.docker.io/token', 'https://registry-1.docker.io/', false],
    ['https://gitlab.com/jwt', 'https://registry.gitlab.com/', true],
    ['https://reg.example.com:5001/auth', 'https://reg.example.com:5000/', true],
    ['https://evil.test/token', 'https://reg.example.com/', false],
    ['https://example.com.evil.test/token', 'https://reg.example.com/', false],
    ['https://evil.co.uk/token', 'https://reg.co.uk/', false],
    ['https://evil.github.io/token', 'https://me.github.io/', false],
    ['https://b.azurecr.io/token', 'https://a.azurecr.io/', false],
    ['http://127.0.0.1:5001/token', 'http://127.0.0.1:5000/', true],
    ['http://127.0.0.2:5001/token', 'http://127.0.0.1:5000/', false],
    ['http://localhost:5001/token', 'http://127.0.0.1:5000/', false],
    ['https://user:x@reg.example.com/token', 'https://reg.example.com/', false],
  ];
  for (const [realm, registry, want] of rows)
    assert.equal(isTrustedRealm(new URL(realm), new URL(registry)), want, `${realm} for ${registry}`);
});

test('X-Registry-Auth survives encoding, is read in both alphabets, and refuses junk', () => {
  const credentials = { username: 'ü>?', password: '~~~???>>>' };
  const header = encodeRegistryAuth(credentials, 'docker.io');
  assert.deepEqual(decodeRegistryAuth(header), credentials);
  const standard = Buffer.from(JSON.stringify({ username: 'ü>?', password: '~~~???>>>' })).toString('base64');
  assert.deepEqual(decodeRegistryAuth(standard), credentials);
  assert.deepEqual(decodeRegistryAuth(encodeRegistryAuth({ identityToken: 't' }, 'r:5000')), {
    identityToken: 't',
  });
  assert.equal(decodeRegistryAuth(''), undefined);
  assert.equal(decodeRegistryAuth(Buffer.from('{}').toString('base64url')), undefined);
  for (const bad of [
    '{}',
    '!!',
    Buffer.from('[1]').toString('base64'),
    Buffer.from('hunter2').toString('base64'),
  ]) {
    assert.throws(
      () => decodeRegistryAuth(bad),
      (error: Error) => {
        assert.match(error.message, /cannot read X-Registry-Auth/);
        assert.doesNotMatch(error.message, /hunter2/);
        return true;
      },
    );
  }
});

test('X-Registry-Config maps each of the hub names to docker.io and keeps hosts apart', async () => {
  const map = new Map([
    ['docker.io', { username: 'a', password: 'b' }],
    ['reg:5000', { username: 'c', password: 'd' }],
  ]);
  assert.deepEqual(decodeRegistryConfig(encodeRegistryConfig(map)), map);
  const source = credentialsFor('reg:5000', { username: 'c' });
  assert.deepEqual(await source('reg:5000'), { username: 'c' });
  assert.equal(await source('reg:5001'), undefined);
  assert.equal(normalizeRegistry('https://index.docker.io/v1/'), 'docker.io');
});

test('credentials are stored in config.json as docker does, mode 0600, keeping keys we do not know', async () => {
  const path = join(dir, 'store', 'config.json');
  const store = createCredentialStore(path);
  assert.equal(await store.find('docker.io'), undefined);
  assert.deepEqual(await store.store('docker.io', { username: 'u', password: 'p:q' }), { path });
  const written = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
  assert.deepEqual(written, {
    auths: { 'https://index.docker.io/v1/': { auth: Buffer.from('u:p:q').toString('base64') } },
  });
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  await writeFile(path, JSON.stringify({ ...written, HttpHeaders: { X: 'y' } }));
  await store.store('https://Reg.example:5000/v2/', { username: 'x', identityToken: 'tok' });
  assert.deepEqual(await store.find('reg.example:5000'), { username: 'x', identityToken: 'tok' });
  assert.deepEqual(
    [...(await store.list())],
    [
      ['docker.io', 'u'],
      ['reg.example:5000', 'x'],
    ],
  );
  assert.equal(await store.erase('index.docker.io'), true);
  assert.equal(await store.erase('index.docker.io'), false);
  assert.equal(await store.find('docker.io'), undefined);
  assert.match(await readFile(path, 'utf8'), /HttpHeaders/);
});

test('a credential helper is asked over stdin; when it breaks nothing else is used', async (t) => {
  const helper = join(dir, 'docker-credential-testing');
  await writeFile(
    helper,
    `#!/bin/sh
read server
case "$1:$server" in
  get:good:5000) echo '{"ServerURL":"good:5000","Username":"u","Secret":"s"}';;
  get:token:5000) echo '{"ServerURL":"token:5000","Username":"<token>","Secret":"idt"}';;
  get:none:5000) echo 'credentials not found in native keychain'; exit 1;;
  *) echo 'keychain is locked'; exit 1;;
esac
`,
  );
  await chmod(helper, 0o755);
  const path = process.env['PATH'] ?? '';
  process.env['PATH'] = `${dir}${delimiter}${path}`;
  t.after(() => {
    process.env['PATH'] = path;
  });
  const found = createCredentialHelper('testing');
  assert.deepEqual(await found.find('good:5000'), { username: 'u', password: 's' });
  assert.deepEqual(await found.find('token:5000'), { identityToken: 'idt' });
  assert.equal(await found.find('none:5000'), undefined);
  const config = join(dir, 'helper.json');
  const auth = Buffer.from('file:secret').toString('base64');
  await writeFile(config, JSON.stringify({ credsStore: 'testing', auths: { 'locked:5000': { auth } } }));
  await assert.rejects(createCredentialStore(config).find('locked:5000'), /keychain is locked/);
  await writeFile(config, JSON.stringify({ credsStore: 'absent', auths: { 'locked:5000': { auth } } }));
  await assert.rejects(createCredentialStore(config).find('locked:5000'), /executable file not found/);
});

test('a helper name that is a path or an option is refused', () => {
  for (const name of ['../x', 'a/b', '-x', '', 'a b', 'x;y', '.hidden'])
    assert.throws(() => createCredentialHelper(name), /it is no file name/, name);
});

test('many waiters for one scope cause one token request; an expired token is fetched anew', async () => {
  let clock = 0;
  let requests = 0;
  const send: TokenSender = async ({ url, headers }) => {
    requests++;
    assert.equal(url.searchParams.get('scope'), 'repository:x:pull');
    assert.equal(headers['authorization'], `Basic ${Buffer.from('u:p').toString('base64')}`);
    return { status: 200, body: JSON.stringify({ token: `t${requests}`, expires_in: 300 }) };
  };
  const authorizer = createAuthorizer({
    registry: new URL('https://reg.test'),
    credentials: { username: 'u', password: 'p' },
    send,
    now: () => clock,
  });
  const scopes = ['repository:x:pull'];
  assert.equal(await authorizer.authorize(scopes), undefined);
  assert.equal(
    authorizer.learn('Bearer realm="https://reg.test/token",service="s"', scopes, undefined),
    true,
  );
  const tokens = await Promise.all(Array.from({ length: 20 }, () => authorizer.authorize(scopes)));
  assert.deepEqual([...new Set(tokens)], ['Bearer t1']);
  clock = 296_000;
  assert.equal(await authorizer.authorize(scopes), 'Bearer t2');
  assert.equal(requests, 2);
});

test('an identity token is exchanged by POST, and a foreign realm sees neither it nor a password', async () => {
  const sent: { method: string; body: string | undefined; authorization: string | undefined }[] = [];
  const send: TokenSender = async ({ method, body, headers }) => {
    sent.push({ method, body, authorization: headers['authorization'] });
    return { status: 200, body: JSON.stringify({ access_token: 'a' }) };
  };
  const registry = new URL('https://reg.test');
  const home = createAuthorizer({ registry, credentials: { identityToken: 'idt' }, send });
  home.learn('Bearer realm="https://auth.reg.test/token",service="s"', [], undefined);
  assert.equal(await home.authorize(['repository:x:pull']), 'Bearer a');
  assert.equal(sent[0]?.method, 'POST');
  assert.match(sent[0]?.body ?? '', /grant_type=refresh_token&refresh_token=idt/);
  for (const credentials of [{ identityToken: 'idt' }, { username: 'u', password: 'p' }]) {
    const foreign = createAuthorizer({ registry, credentials, send });
    foreign.learn('Bearer realm="https://evil.test/token",service="s"', [], undefined);
    await foreign.authorize(['repository:x:pull']);
    assert.deepEqual(sent.at(-1), { method: 'GET', body: undefined, authorization: undefined });
    assert.match(foreign.withheld ?? '', /evil\.test/);
  }
});
