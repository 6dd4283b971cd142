/** The hub's JSON API over HTTP: accounts, rights, tokens, repositories. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ADMIN, startHub, type TestHub } from '../support/hub.ts';

let hub: TestHub;
let admin: string;
let cynthia: string;
let mallory: string;

before(async () => {
  hub = await startHub();
  admin = await hub.signIn(ADMIN.username, ADMIN.password);
  for (const username of ['cynthia', 'mallory']) {
    const answer = await hub.api('POST', '/api/signup', {
      body: { username, email: `${username}@example.org`, password: 'a long password' },
    });
    assert.equal(answer.status, 201);
    assert.equal(answer.body.isAdmin, false, 'only the first account is an administrator');
  }
  cynthia = await hub.signIn('cynthia', 'a long password');
  mallory = await hub.signIn('mallory@example.org', 'a long password');
});

after(() => hub.dispose());

const bearer = async (scope: string, user?: string, secret?: string): Promise<readonly string[]> => {
  const headers: Record<string, string> =
    user === undefined
      ? {}
      : { authorization: `Basic ${Buffer.from(`${user}:${secret}`).toString('base64')}` };
  const answer = await hub.api('GET', `/token?service=slipway-hub&scope=${encodeURIComponent(scope)}`, {
    headers,
  });
  if (answer.status !== 200) return [`status ${answer.status}`];
  const payload = JSON.parse(
    Buffer.from(String(answer.body.token).split('.')[1] ?? '', 'base64url').toString(),
  ) as { access: { actions: string[] }[] };
  return (payload.access[0]?.actions ?? []).sort();
};

test('a wrong form is refused with the field at fault', async () => {
  const rows: readonly [object, string, number][] = [
    [{ username: 'A!', email: 'a@example.org', password: 'a long password' }, 'username', 422],
    [{ username: 'library', email: 'a@example.org', password: 'a long password' }, 'username', 422],
    [{ username: 'dora', email: 'nonsense', password: 'a long password' }, 'email', 422],
    [{ username: 'dora', email: 'd@example.org', password: 'short' }, 'password', 422],
    [{ username: 'cynthia', email: 'other@example.org', password: 'a long password' }, 'username', 409],
    [{ username: 'dora', email: 'CYNTHIA@example.org', password: 'a long password' }, 'email', 409],
  ];
  for (const [body, field, status] of rows) {
    const answer = await hub.api('POST', '/api/signup', { body });
    assert.deepEqual([answer.status, answer.body.error.field], [status, field], JSON.stringify(body));
  }
});

test('a sign-up cannot make itself administrator', async () => {
  const body = {
    username: 'eve',
    email: 'eve@example.org',
    password: 'a long password',
    isAdmin: true,
    is_admin: 1,
  };
  assert.equal((await hub.api('POST', '/api/signup', { body })).body.isAdmin, false);
});

test('a wrong password and an unknown name get the same answer', async () => {
  const wrong = await hub.api('POST', '/api/session', {
    body: { login: 'cynthia', password: 'nope nope nope' },
  });
  const unknown = await hub.api('POST', '/api/session', {
    body: { login: 'nobody', password: 'nope nope nope' },
  });
  assert.deepEqual([wrong.status, wrong.body], [unknown.status, unknown.body]);
  assert.equal(wrong.status, 401);
});

test('what another site sends is refused, and so is a body that is not JSON', async () => {
  const headers = { origin: 'http://evil.example' };
  assert.equal(
    (await hub.api('POST', '/api/repositories', { cookie: cynthia, headers, body: { name: 'x1' } })).status,
    403,
  );
  const text = await fetch(`${hub.url}/api/repositories`, {
    method: 'POST',
    headers: { cookie: cynthia, 'content-type': 'text/plain' },
    body: '{"name":"x1"}',
  });
  assert.equal(text.status, 422);
});

test('a private repository does not exist for others, a public one is pulled by everybody', async () => {
  for (const visibility of ['private', 'public']) {
    const body = { namespace: 'cynthia', name: `${visibility}-one`, description: '', visibility };
    assert.equal((await hub.api('POST', '/api/repositories', { cookie: cynthia, body })).status, 201);
  }
  assert.equal(
    (await hub.api('GET', '/api/repositories/cynthia/private-one', { cookie: mallory })).status,
    404,
  );
  assert.equal(
    (await hub.api('GET', '/api/repositories/cynthia/private-one', { cookie: admin })).status,
    200,
  );
  const seen = (await hub.api('GET', '/api/repositories')).body.map(
    (repository: { name: string }) => repository.name,
  );
  assert.deepEqual(seen, ['public-one']);
  assert.deepEqual(await bearer('repository:cynthia/private-one:pull,push'), []);
  assert.deepEqual(await bearer('repository:cynthia/public-one:pull,push'), ['pull']);
  assert.deepEqual(await bearer('repository:cynthia/private-one:pull,push', 'cynthia', 'a long password'), [
    'pull',
    'push',
  ]);
  assert.deepEqual(
    await bearer('repository:cynthia/private-one:pull,push', 'mallory', 'a long password'),
    [],
  );
});

test('nobody creates repositories in a foreign namespace, and names are checked', async () => {
  const create = (body: object, cookie: string) =>
    hub.api('POST', '/api/repositories', {
      cookie,
      body: { description: '', visibility: 'private', ...body },
    });
  assert.equal((await create({ namespace: 'cynthia', name: 'stolen' }, mallory)).status, 403);
  assert.equal((await create({ namespace: 'library', name: 'debian' }, cynthia)).status, 403);
  assert.equal((await create({ namespace: 'library', name: 'debian' }, admin)).status, 201);
  for (const name of ['', 'X', 'a', 'a b', '../x', 'a/b', 'UPPER']) {
    assert.equal((await create({ namespace: 'cynthia', name }, cynthia)).body.error.field, 'name', name);
  }
  assert.equal((await create({ namespace: 'cynthia', name: 'public-one' }, cynthia)).status, 409);
});

test('visibility changes and deletion need the typed name', async () => {
  const path = '/api/repositories/cynthia/private-one';
  assert.equal(
    (await hub.api('PATCH', path, { cookie: cynthia, body: { visibility: 'public' } })).body.error.field,
    'confirm',
  );
  const changed = await hub.api('PATCH', path, {
    cookie: cynthia,
    body: { visibility: 'public', confirm: 'cynthia/private-one' },
  });
  assert.equal(changed.body.visibility, 'public');
  assert.equal(
    (await hub.api('PATCH', path, { cookie: mallory, body: { description: 'mine' } })).status,
    403,
  );
  assert.equal(
    (await hub.api('DELETE', path, { cookie: cynthia, body: { confirm: 'x' } })).body.error.field,
    'confirm',
  );
  assert.equal(
    (await hub.api('DELETE', path, { cookie: cynthia, body: { confirm: 'cynthia/private-one' } })).status,
    200,
  );
  assert.equal((await hub.api('GET', path, { cookie: cynthia })).status, 404);
});

test('a token is limited to its scope and repositories, and ends at once when it is switched off', async () => {
  const body = { description: 'CI', scope: 'read', repositories: ['cynthia/public-one'], expiresInDays: 30 };
  const { token, secret } = (await hub.api('POST', '/api/tokens', { cookie: cynthia, body })).body;
  assert.match(secret, /^slp_/);
  assert.deepEqual(await bearer('repository:cynthia/public-one:pull,push', 'cynthia', secret), ['pull']);
  assert.deepEqual(await bearer('repository:cynthia/other:pull,push', 'cynthia', secret), []);
  assert.deepEqual(await bearer('repository:cynthia/public-one:pull', 'mallory', secret), ['status 401']);
  const listed = (await hub.api('GET', '/api/tokens', { cookie: cynthia })).body;
  assert.equal(JSON.stringify(listed).includes(secret), false, 'the secret is shown once');
  assert.equal(listed[0].lastUsedAt > 0, true);
  assert.deepEqual((await hub.api('GET', '/api/tokens', { cookie: mallory })).body, []);
  assert.equal((await hub.api('DELETE', `/api/tokens/${token.id}`, { cookie: mallory })).status, 404);
  await hub.api('PATCH', `/api/tokens/${token.id}`, { cookie: cynthia, body: { isActive: false } });
  assert.deepEqual(await bearer('repository:cynthia/public-one:pull', 'cynthia', secret), ['status 401']);
});

test('a token’s end and repositories are checked', async () => {
  const create = async (more: object) =>
    (
      await hub.api('POST', '/api/tokens', {
        cookie: cynthia,
        body: { description: 'x', scope: 'read', ...more },
      })
    ).body;
  const tomorrow = Date.now() + 24 * 3600_000;
  assert.equal((await create({ expiresAt: tomorrow })).token.expiresAt, tomorrow);
  assert.equal((await create({})).token.expiresAt, null);
  const { token } = await create({ repositories: ['cynthia/to-come', 'cynthia/to-come'] });
  assert.deepEqual(token.repositories, ['cynthia/to-come']);
  for (const [wrong, field] of [
    [{ expiresAt: Date.now() - 1 }, 'expiresAt'],
    [{ expiresAt: Date.now() + 4000 * 24 * 3600_000 }, 'expiresAt'],
    [{ expiresInDays: 0 }, 'expiresInDays'],
    [{ repositories: ['no namespace'] }, 'repositories'],
    [{ repositories: ['single'] }, 'repositories'],
    [{ repositories: Array.from({ length: 101 }, (_, i) => `cynthia/r${i}`) }, 'repositories'],
  ] as const)
    assert.equal((await create(wrong)).error?.field, field, JSON.stringify(wrong).slice(0, 80));
});

test('signing out ends the session on the server', async () => {
  const cookie = await hub.signIn('mallory', 'a long password');
  assert.equal((await hub.api('GET', '/api/session', { cookie })).body.account.username, 'mallory');
  await hub.api('DELETE', '/api/session', { cookie });
  assert.equal((await hub.api('GET', '/api/session', { cookie })).body.account, null);
});

test('the page sends no inline script and lets nobody frame it', async () => {
  const response = await fetch(hub.url);
  const policy = response.headers.get('content-security-policy') ?? '';
  assert.match(policy, /script-src 'self';/);
  assert.match(policy, /frame-ancestors 'none'/);
  assert.equal(response.headers.get('x-content-type-options'), 'nosniff');
});
