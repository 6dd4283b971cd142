import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  decodeJwt,
  decodeProtectedHeader,
  exportJWK,
  generateKeyPair,
  importJWK,
  type JWK,
  SignJWT,
  UnsecuredJWT,
} from 'jose';
import { LoginGuard, parseScopes } from './index.ts';
import { basic, MemoryDirectory, startTokenRegistry, type TokenRegistry } from './testing.ts';

let hub: TokenRegistry;
before(async () => {
  hub = await startTokenRegistry();
});
after(async () => {
  await hub[Symbol.asyncDispose]();
});

const CYNTHIA = basic('cynthia', 'secret-of-cynthia');
const APP = 'repository:cynthia/app:pull,push';

interface TokenAnswer {
  readonly token: string;
  readonly access_token: string;
  readonly expires_in: number;
  readonly issued_at: string;
  readonly refresh_token?: string;
  readonly scope?: string;
}

async function getToken(query: string, headers: Record<string, string> = {}): Promise<TokenAnswer> {
  const answer = await fetch(`${hub.url}/token?service=slipway-hub&${query}`, { headers });
  assert.equal(answer.status, 200);
  return (await answer.json()) as TokenAnswer;
}

function postForm(form: Record<string, string>): Promise<Response> {
  return fetch(`${hub.url}/token`, { method: 'POST', body: new URLSearchParams(form) });
}

const ask = (path: string, token: string, method = 'GET') =>
  fetch(`${hub.url}${path}`, { method, headers: { authorization: `Bearer ${token}` } });

describe('GET /token', () => {
  test('gives what was asked and allowed, in a token of ours', async () => {
    const before = Math.floor(Date.now() / 1000);
    const answer = await getToken(`scope=${APP},delete&scope=repository:bob/app:pull,push`, CYNTHIA);
    assert.equal(answer.token, answer.access_token);
    assert.ok(answer.expires_in >= 60);
    assert.equal(answer.refresh_token, undefined);
    const header = decodeProtectedHeader(answer.token);
    assert.equal(header.alg, 'EdDSA');
    assert.equal(header.typ, 'JWT');
    assert.equal(typeof header.kid, 'string');
    const claims = decodeJwt(answer.token);
    assert.equal(claims.iss, 'slipway-hub');
    assert.equal(claims.sub, 'cynthia');
    assert.equal(claims.aud, 'slipway-hub');
    assert.ok(claims.iat !== undefined && claims.iat >= before && claims.nbf === claims.iat);
    assert.equal(claims.exp, (claims.iat ?? 0) + answer.expires_in);
    assert.equal(typeof claims.jti, 'string');
    assert.deepEqual(claims['access'], [
      { type: 'repository', name: 'cynthia/app', actions: ['pull', 'push', 'delete'] },
    ]);
  });

  test('nobody gets what everybody may have', async () => {
    const { token } = await getToken('scope=repository:library/public:pull,push');
    assert.equal(decodeJwt(token).sub, '');
    assert.deepEqual(decodeJwt(token)['access'], [
      { type: 'repository', name: 'library/public', actions: ['pull'] },
    ]);
  });

  test('a star asks for everything; the catalog is for those who signed in', async () => {
    const { token } = await getToken('scope=repository:cynthia/app:*&scope=registry:catalog:*', CYNTHIA);
    assert.deepEqual(decodeJwt(token)['access'], [
      { type: 'repository', name: 'cynthia/app', actions: ['pull', 'push', 'delete'] },
      { type: 'registry', name: 'catalog', actions: ['*'] },
    ]);
    assert.deepEqual(decodeJwt((await getToken('scope=registry:catalog:*')).token)['access'], []);
  });

  test('wrong credentials are 401 with the same text for every cause', async () => {
    const texts = [];
    for (const headers of [basic('cynthia', 'wrong'), basic('nobody', 'wrong')]) {
      const answer = await fetch(`${hub.url}/token?service=slipway-hub`, { headers });
      assert.equal(answer.status, 401);
      assert.match(answer.headers.get('www-authenticate') ?? '', /^Basic /);
      texts.push(await answer.text());
    }
    assert.equal(texts[0], texts[1]);
    assert.match(texts[0] ?? '', /incorrect username or password/);
  });

  test('another service is refused', async () => {
    assert.equal((await fetch(`${hub.url}/token?service=elsewhere`)).status, 400);
  });
});

describe('POST /token', () => {
  test('password with access_type=offline gives a refresh token that works again and again', async () => {
    const form = {
      grant_type: 'password',
      service: 'slipway-hub',
      client_id: 'test',
      username: 'cynthia',
      password: 'secret-of-cynthia',
      access_type: 'offline',
      scope: `${APP} repository:bob/app:push`,
    };
    const first = (await (await postForm(form)).json()) as TokenAnswer;
    assert.equal(first.scope, 'repository:cynthia/app:pull,push');
    assert.ok(first.refresh_token !== undefined);
    const refresh = {
      grant_type: 'refresh_token',
      service: 'slipway-hub',
      client_id: 'test',
      refresh_token: first.refresh_token,
    };
    for (const scope of [APP, 'repository:bob/app:pull']) {
      const answer = (await (await postForm({ ...refresh, scope })).json()) as TokenAnswer;
      assert.equal(answer.refresh_token, first.refresh_token);
      assert.equal(answer.scope, scope === APP ? APP : '');
      assert.equal(decodeJwt(answer.access_token).sub, 'cynthia');
    }
    assert.ok(
      !readFileSync(join(hub.root, 'hub.db-wal')).includes(first.refresh_token),
      'only its hash is stored',
    );
    await hub.auth.refreshTokens.revokeAll('cynthia');
    assert.equal((await postForm({ ...refresh, scope: APP })).status, 401);
  });

  for (const [name, form, status] of [
    ['no grant type', {}, 400],
    ['an unknown refresh token', { grant_type: 'refresh_token', refresh_token: 'x' }, 401],
    ['a wrong password', { grant_type: 'password', username: 'bob', password: 'x' }, 401],
    ['a form beyond the limit', { grant_type: 'x'.repeat(70_000) }, 413],
  ] as const)
    test(`${name} is ${status}`, async () => {
      assert.equal((await postForm({ service: 'slipway-hub', ...form })).status, status);
    });
});

describe('bearer tokens', () => {
  const path = '/v2/cynthia/app/tags/list';
  const sign = async (
    key: Parameters<SignJWT['sign']>[0],
    kid: string,
    claims: Record<string, unknown> = {},
    alg = 'EdDSA',
  ) =>
    new SignJWT({
      iss: 'slipway-hub',
      sub: 'cynthia',
      aud: 'slipway-hub',
      nbf: 0,
      exp: Math.floor(Date.now() / 1000) + 300,
      access: [{ type: 'repository', name: 'cynthia/app', actions: ['pull'] }],
      ...claims,
    })
      .setProtectedHeader({ alg, kid })
      .sign(key);
  const ownKey = async () => {
    const { keys } = JSON.parse(readFileSync(join(hub.root, 'token-keys.json'), 'utf8')) as { keys: JWK[] };
    const jwk = keys[0] ?? {};
    return { kid: jwk.kid ?? '', key: await importJWK(jwk, 'EdDSA') };
  };

  test('a good one is let in', async () => {
    const { key, kid } = await ownKey();
    assert.equal((await ask(path, await sign(key, kid))).status, 404);
  });

  const forged: readonly (readonly [string, () => Promise<string>])[] = [
    [
      'signed by another key under our id',
      async () => sign((await generateKeyPair('EdDSA')).privateKey, (await ownKey()).kid),
    ],
    [
      'with a key of its own',
      async () => {
        const pair = await generateKeyPair('EdDSA', { extractable: true });
        const jwk = await exportJWK(pair.publicKey);
        return new SignJWT({ sub: 'cynthia', access: [] })
          .setProtectedHeader({ alg: 'EdDSA', jwk })
          .sign(pair.privateKey);
      },
    ],
    [
      'signed by the public key as a shared secret',
      async () => sign(randomBytes(32), (await ownKey()).kid, {}, 'HS256'),
    ],
    ['not signed', async () => Promise.resolve(new UnsecuredJWT({ sub: 'cynthia', access: [] }).encode())],
    ['expired', async () => sign((await ownKey()).key, (await ownKey()).kid, { exp: 1000 })],
    ['not valid yet', async () => sign((await ownKey()).key, (await ownKey()).kid, { nbf: 9_999_999_999 })],
    ['for another audience', async () => sign((await ownKey()).key, (await ownKey()).kid, { aud: 'other' })],
    ['from another issuer', async () => sign((await ownKey()).key, (await ownKey()).kid, { iss: 'other' })],
    ['no token at all', () => Promise.resolve('abc.def')],
  ];
  for (const [name, make] of forged) {
    test(`${name}: refused as invalid`, async () => {
      const answer = await ask(path, await make());
      assert.equal(answer.status, 401);
      assert.match(answer.headers.get('www-authenticate') ?? '', /error="invalid_token"/);
    });
  }

  test('a token covers what it says, and tells what more is needed', async () => {
    const { token } = await getToken('scope=repository:cynthia/app:pull', CYNTHIA);
    const answer = await ask('/v2/cynthia/app/blobs/uploads/', token, 'POST');
    assert.equal(answer.status, 401);
    assert.equal(
      answer.headers.get('www-authenticate'),
      `Bearer realm="${hub.url}/token",service="slipway-hub",scope="repository:cynthia/app:pull,push",error="insufficient_scope"`,
    );
  });

  test('rights that were taken away are gone at once, whatever the token says', async () => {
    hub.directory.grant('bob', 'shared/app', ['pull', 'push']);
    const { token } = await getToken('scope=repository:shared/app:pull,push', basic('bob', 'secret-of-bob'));
    assert.equal((await ask('/v2/shared/app/blobs/uploads/', token, 'POST')).status, 202);
    hub.directory.grant('bob', 'shared/app', ['pull']);
    assert.equal((await ask('/v2/shared/app/blobs/uploads/', token, 'POST')).status, 403);
  });

  test('an access token as the password keeps its limits through bearer and refresh tokens', async () => {
    hub.directory.tokens.set('read-only-secret', { name: 'cynthia', id: 'pat1', readOnly: true });
    const answer = await getToken(`scope=${APP}&offline_token=true`, basic('cynthia', 'read-only-secret'));
    assert.deepEqual(decodeJwt(answer.token)['access'], [
      { type: 'repository', name: 'cynthia/app', actions: ['pull'] },
    ]);
    const form = {
      grant_type: 'refresh_token',
      service: 'slipway-hub',
      refresh_token: answer.refresh_token ?? '',
      scope: APP,
    };
    const refreshed = (await (await postForm(form)).json()) as TokenAnswer;
    assert.equal(refreshed.scope, 'repository:cynthia/app:pull');
    hub.directory.tokens.delete('read-only-secret');
    assert.equal((await ask('/v2/cynthia/app/tags/list', refreshed.access_token)).status, 403);
  });

  test('the keys are readable by us alone and stay the same', () => {
    assert.equal(statSync(join(hub.root, 'token-keys.json')).mode & 0o777, 0o600);
  });
});

test('parseScopes keeps a port in a name and leaves out what it cannot read', () => {
  assert.deepEqual(
    parseScopes([
      'repository:host:5000/a:pull,push repository(plugin):b:pull',
      'x',
      ':a:pull',
      `repository:${'a'.repeat(700)}:pull`,
    ]),
    [
      { type: 'repository', name: 'host:5000/a', actions: ['pull', 'push'] },
      { type: 'repository', name: 'b', actions: ['pull'] },
    ],
  );
});

describe('LoginGuard', () => {
  const make = () => {
    const directory = new MemoryDirectory();
    directory.passwords.set('cynthia', 'right');
    let now = 0;
    const guard = new LoginGuard(directory, { windowMs: 60_000, perAccount: 10, perAddress: 15 }, () => now);
    return { guard, advance: (ms: number) => (now += ms) };
  };

  test('ten wrong passwords a minute, then not even the right one; a minute later it is let in', async () => {
    const { guard, advance } = make();
    for (let i = 0; i < 10; i++)
      await assert.rejects(guard.verify('cynthia', 'x', `address${i}`), { code: 'unauthenticated' });
    await assert.rejects(guard.verify('cynthia', 'right', 'another'), { code: 'resource_exhausted' });
    advance(60_001);
    assert.deepEqual(await guard.verify('cynthia', 'right', 'another'), { name: 'cynthia' });
  });

  test('an address that guesses many names is stopped too, also when it asks all at once', async () => {
    const { guard } = make();
    const tries = Array.from({ length: 40 }, (_, i) =>
      guard.verify(`name${i}`, 'x', 'same').catch((error: { code: string }) => error.code),
    );
    const codes = await Promise.all(tries);
    assert.equal(codes.filter((code) => code === 'unauthenticated').length, 15);
    assert.equal(codes.filter((code) => code === 'resource_exhausted').length, 25);
  });

  test('right passwords do not count', async () => {
    const { guard } = make();
    for (let i = 0; i < 100; i++) await guard.verify('cynthia', 'right', 'same');
  });
});
