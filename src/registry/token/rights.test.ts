/** Every route × who asks × whose repository: the answers of the one policy function reach every door. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { basic, startTokenRegistry, type TokenRegistry } from './testing.ts';

let hub: TokenRegistry;
const CONTENT = Buffer.from('{}');
const DIGEST = `sha256:${createHash('sha256').update(CONTENT).digest('hex')}`;
const MANIFEST = JSON.stringify({
  schemaVersion: 2,
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: DIGEST, size: 2 },
  layers: [],
});

const WHO: Readonly<Record<string, Record<string, string>>> = {
  nobody: {},
  cynthia: basic('cynthia', 'secret-of-cynthia'),
  bob: basic('bob', 'secret-of-bob'),
};

before(async () => {
  hub = await startTokenRegistry();
});
after(async () => {
  await hub[Symbol.asyncDispose]();
});

type Need = 'pull' | 'push' | 'delete';
interface Route {
  readonly method: string;
  readonly path: string;
  readonly need: Need;
  readonly body?: string;
  /** Status when it is allowed. */
  readonly status: number;
}

const ROUTES: readonly Route[] = [
  { method: 'POST', path: 'blobs/uploads/', need: 'push', status: 202 },
  { method: 'POST', path: `blobs/uploads/?digest=${DIGEST}`, need: 'push', body: '{}', status: 201 },
  { method: 'GET', path: `blobs/uploads/${'0'.repeat(32)}`, need: 'push', status: 404 },
  { method: 'PATCH', path: `blobs/uploads/${'0'.repeat(32)}`, need: 'push', body: 'x', status: 404 },
  {
    method: 'PUT',
    path: `blobs/uploads/${'0'.repeat(32)}?digest=${DIGEST}`,
    need: 'push',
    body: 'x',
    status: 404,
  },
  { method: 'DELETE', path: `blobs/uploads/${'0'.repeat(32)}`, need: 'push', status: 404 },
  { method: 'PUT', path: 'manifests/v1', need: 'push', body: MANIFEST, status: 201 },
  { method: 'GET', path: 'manifests/v1', need: 'pull', status: 200 },
  { method: 'HEAD', path: 'manifests/v1', need: 'pull', status: 200 },
  { method: 'GET', path: `blobs/${DIGEST}`, need: 'pull', status: 200 },
  { method: 'HEAD', path: `blobs/${DIGEST}`, need: 'pull', status: 200 },
  { method: 'GET', path: 'tags/list', need: 'pull', status: 200 },
  { method: 'GET', path: `referrers/${DIGEST}`, need: 'pull', status: 200 },
  { method: 'DELETE', path: 'manifests/v1', need: 'delete', status: 202 },
  { method: 'DELETE', path: `blobs/${DIGEST}`, need: 'delete', status: 202 },
];
/** Who may what where; see `startTokenRegistry`. */
const ALLOWED: Readonly<Record<string, Readonly<Record<string, readonly Need[]>>>> = {
  'cynthia/app': { nobody: [], cynthia: ['pull', 'push', 'delete'], bob: ['pull'] },
  'bob/app': { nobody: [], cynthia: [], bob: ['pull', 'push', 'delete'] },
};

for (const [repository, byWho] of Object.entries(ALLOWED)) {
  for (const route of ROUTES) {
    test(`${route.method} ${repository}/${route.path.slice(0, 30)}`, async () => {
      const owner = repository.split('/')[0] ?? '';
      // Those who may not come first; the owner's success last shows that the thing was there to be refused.
      const order = Object.keys(WHO).sort((a, b) => Number(a === owner) - Number(b === owner));
      for (const who of order) {
        const answer = await fetch(`${hub.url}/v2/${repository}/${route.path}`, {
          method: route.method,
          headers: { ...WHO[who], 'content-type': 'application/vnd.oci.image.manifest.v1+json' },
          body: route.body ?? null,
        });
        const isAllowed = byWho[who]?.includes(route.need) === true;
        const isMissing = who !== owner && route.need === 'pull' && answer.status === 404;
        if (isAllowed) assert.ok(answer.status === route.status || isMissing, `${who}: ${answer.status}`);
        else assert.equal(answer.status, who === 'nobody' ? 401 : 403, who);
        if (route.method !== 'HEAD' && !isAllowed) await checkRefusal(answer, who, repository, route.need);
      }
    });
  }
}

async function checkRefusal(answer: Response, who: string, repository: string, need: Need): Promise<void> {
  const { errors } = (await answer.json()) as {
    errors: { code: string; message: string; detail?: { id: string } }[];
  };
  if (who === 'nobody') {
    assert.equal(errors[0]?.code, 'UNAUTHORIZED');
    const action = need === 'push' ? 'pull,push' : need;
    assert.match(
      answer.headers.get('www-authenticate') ?? '',
      new RegExp(`scope="repository:${repository}:${action}"$`),
    );
    return;
  }
  assert.equal(errors[0]?.code, 'DENIED');
  assert.equal(errors[0]?.message, 'requested access to the resource is denied');
  assert.equal(errors[0]?.detail?.id, need === 'pull' ? 'pull/forbidden' : 'push/not-your-namespace');
}

test('a mount needs the right to pull from the source, and refusing says nothing about it', async () => {
  const push = (who: string, repository: string) =>
    fetch(`${hub.url}/v2/${repository}/blobs/uploads/?digest=${DIGEST}`, {
      method: 'POST',
      headers: WHO[who] ?? {},
      body: '{}',
    });
  assert.equal((await push('bob', 'bob/app')).status, 201);
  const mount = (query: string) =>
    fetch(`${hub.url}/v2/cynthia/app/blobs/uploads/?mount=${query}`, {
      method: 'POST',
      headers: WHO['cynthia'] ?? {},
    });
  for (const query of [`${DIGEST}&from=bob/app`, `${DIGEST}&from=nobody/knows`, DIGEST])
    assert.equal((await mount(query)).status, 202);
  assert.equal(
    (
      await fetch(`${hub.url}/v2/cynthia/app/blobs/${DIGEST}`, {
        method: 'HEAD',
        headers: WHO['cynthia'] ?? {},
      })
    ).status,
    404,
  );
});

test('the catalog shows what one may pull', async () => {
  const list = async (who: string) => {
    const answer = await fetch(`${hub.url}/v2/_catalog`, { headers: WHO[who] ?? {} });
    return answer.status === 200
      ? ((await answer.json()) as { repositories: string[] }).repositories
      : answer.status;
  };
  assert.deepEqual(await list('nobody'), 401);
  assert.deepEqual(await list('cynthia'), ['cynthia/app']);
  assert.deepEqual(await list('bob'), ['bob/app', 'cynthia/app']);
});

test('a tag is not moved without the right to overwrite', async () => {
  hub.directory.grant('bob', 'frozen/app', ['pull', 'push']);
  const put = (body: string) =>
    fetch(`${hub.url}/v2/frozen/app/manifests/v1`, {
      method: 'PUT',
      headers: { ...WHO['bob'], 'content-type': 'application/vnd.oci.image.index.v1+json' },
      body,
    });
  const index = (label: string) =>
    JSON.stringify({ schemaVersion: 2, manifests: [], annotations: { label } });
  assert.equal((await put(index('1'))).status, 201);
  assert.equal((await put(index('1'))).status, 201);
  const refused = await put(index('2'));
  assert.equal(refused.status, 409);
  assert.match(await refused.text(), /push\/immutable-tag/);
});

test('another subject cannot see, continue, finish or cancel a session', async () => {
  hub.directory.grant('bob', 'cynthia/app', ['pull', 'push']);
  const begun = await fetch(`${hub.url}/v2/cynthia/app/blobs/uploads/`, {
    method: 'POST',
    headers: WHO['cynthia'] ?? {},
  });
  const location = begun.headers.get('location') ?? '';
  assert.match(location, /^\/v2\/cynthia\/app\/blobs\/uploads\/[0-9a-f]{32}$/);
  const elsewhere = location.replace('cynthia/app', 'bob/app');
  for (const path of [location, elsewhere])
    for (const method of ['GET', 'PATCH', 'DELETE'])
      assert.equal((await fetch(`${hub.url}${path}`, { method, headers: WHO['bob'] ?? {} })).status, 404);
  const put = await fetch(`${hub.url}${location}?digest=${DIGEST}`, {
    method: 'PUT',
    headers: WHO['bob'] ?? {},
    body: '{}',
  });
  assert.equal(put.status, 404);
  assert.equal((await fetch(`${hub.url}${location}`, { headers: WHO['cynthia'] ?? {} })).status, 204);
});
