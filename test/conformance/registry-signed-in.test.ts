/**
 * The specification's own suite as its client walks it, signed in to a whole hub; see suite-client.ts.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ADMIN, startHub, type TestHub } from '../support/hub.ts';
import {
  ALGORITHMS,
  type Algorithm,
  type Answer,
  allBlobs,
  blobOf,
  codeOf,
  descriptorOf,
  headerOf,
  locationOf,
  makeImage,
  makeIndex,
  OCTETS,
  pushOrder,
  randomBlob,
  type TestBlob,
  type TestManifest,
  TYPES,
  withDigest,
} from './registry-client.ts';
import { SuiteClient } from './suite-client.ts';

const REPOSITORY = `${ADMIN.username}/repo1`;
const OTHER = `${ADMIN.username}/repo2`;

let hub: TestHub;
let client: SuiteClient;
const newClient = () => new SuiteClient(hub.url, `${ADMIN.username}:${ADMIN.password}`);

before(async () => {
  hub = await startHub();
  client = newClient();
});
after(() => hub.dispose());

const blobPath = (digest: string, repository = REPOSITORY) => `/v2/${repository}/blobs/${digest}`;
const manifestPath = (reference: string) => `/v2/${REPOSITORY}/manifests/${reference}`;
const uploads = (query = '', repository = REPOSITORY) => `/v2/${repository}/blobs/uploads/${query}`;

async function begin(repository = REPOSITORY): Promise<string> {
  const answer = await client.send('POST', uploads('', repository));
  assert.equal(answer.status, 202);
  return locationOf(answer);
}

const PUSHES: readonly (readonly [string, (blob: TestBlob, repository?: string) => Promise<Answer>])[] = [
  [
    'post only',
    (blob, repository) =>
      client.send('POST', uploads(`?digest=${blob.digest}`, repository), {
        headers: OCTETS,
        body: blob.bytes,
      }),
  ],
  [
    'post and put',
    async (blob, repository) =>
      client.send('PUT', withDigest(await begin(repository), blob.digest), {
        headers: OCTETS,
        body: blob.bytes,
      }),
  ],
  [
    'a stream',
    async (blob, repository) => {
      const patched = await client.send('PATCH', await begin(repository), {
        headers: OCTETS,
        body: blob.bytes,
      });
      assert.equal(patched.status, 202);
      return client.send('PUT', withDigest(locationOf(patched), blob.digest), { headers: OCTETS });
    },
  ],
  ['chunks', (blob, repository) => pushChunks(blob, repository, { isLastInPut: false })],
  ['chunks, the last in put', (blob, repository) => pushChunks(blob, repository, { isLastInPut: true })],
];

async function pushChunks(
  blob: TestBlob,
  repository: string | undefined,
  options: { isLastInPut: boolean },
): Promise<Answer> {
  let location = await begin(repository);
  const size = Math.max(1024, Math.floor(blob.bytes.length / 3) + 1);
  for (let start = 0; start < blob.bytes.length; start += size) {
    const end = Math.min(start + size, blob.bytes.length);
    const isPut = options.isLastInPut && end === blob.bytes.length;
    const answer = await client.send(
      isPut ? 'PUT' : 'PATCH',
      isPut ? withDigest(location, blob.digest) : location,
      {
        headers: { ...OCTETS, 'content-range': `${start}-${end - 1}` },
        body: blob.bytes.subarray(start, end),
      },
    );
    if (isPut) return answer;
    assert.equal(answer.status, 202);
    location = locationOf(answer);
  }
  return client.send('PUT', withDigest(location, blob.digest), { headers: OCTETS });
}

async function checkPushedBlob(pushed: Answer, blob: TestBlob): Promise<void> {
  assert.equal(pushed.status, 201, pushed.body.toString());
  assert.equal(headerOf(pushed, 'docker-content-digest'), blob.digest);
  for (const [method, path] of [
    ['GET', locationOf(pushed)],
    ['GET', blobPath(blob.digest)],
    ['HEAD', blobPath(blob.digest)],
  ] as const) {
    const got = await client.send(method, path);
    assert.equal(got.status, 200);
    assert.equal(headerOf(got, 'content-length'), String(blob.bytes.length));
    assert.equal(headerOf(got, 'docker-content-digest'), blob.digest);
    assert.deepEqual(got.body, method === 'GET' ? blob.bytes : Buffer.alloc(0));
  }
}

async function deleteBlob(digest: string, repository = REPOSITORY): Promise<void> {
  assert.equal((await client.send('DELETE', blobPath(digest, repository))).status, 202);
  assert.equal((await client.send('HEAD', blobPath(digest, repository))).status, 404);
}

test('before anything is pushed, tags are none or 404, referrers an empty index, a blob and a manifest 404', async () => {
  assert.equal((await client.send('GET', '/v2/')).status, 200);
  const tags = await client.send('GET', `/v2/${REPOSITORY}/tags/list`);
  assert.ok([200, 404].includes(tags.status));
  const referrers = await client.send('GET', `/v2/${REPOSITORY}/referrers/${randomBlob(9).digest}`);
  assert.equal(referrers.status, 200);
  assert.equal(headerOf(referrers, 'content-type'), TYPES.index);
  assert.deepEqual(JSON.parse(referrers.body.toString()).manifests, []);
  for (const method of ['GET', 'HEAD'])
    assert.equal((await client.send(method, blobPath(randomBlob(9).digest))).status, 404);
  assert.equal((await client.send('GET', manifestPath('missing'))).status, 404);
});

for (const algorithm of ALGORITHMS) {
  describe(`blobs by ${algorithm}, signed in`, () => {
    for (const [name, push] of PUSHES) {
      test(`${name}: pulled from its location, deleted; longer bytes than the digest's are refused`, async () => {
        for (const blob of [
          randomBlob(3 * 1024 - 5, algorithm),
          blobOf(Buffer.alloc(0), algorithm),
          blobOf(Buffer.from('{}'), algorithm),
        ]) {
          await checkPushedBlob(await push(blob), blob);
          await deleteBlob(blob.digest);
        }
        const right = randomBlob(3 * 1024 - 5, algorithm);
        const wrong = { digest: right.digest, bytes: Buffer.concat([right.bytes, Buffer.from('oh no')]) };
        const refused = await push(wrong);
        assert.equal(refused.status, 400);
        assert.equal(codeOf(refused), 'DIGEST_INVALID');
      });
    }

    test('a mount asks for the right to pull from the other repository; a token without it gets a session', async () => {
      const blob = randomBlob(512, algorithm);
      assert.equal((await PUSHES[1]?.[1](blob, OTHER))?.status, 201);
      const mount = uploads(`?mount=${encodeURIComponent(blob.digest)}&from=${encodeURIComponent(OTHER)}`);
      const narrow = await client.send('POST', mount);
      assert.equal(narrow.status, 202);
      const put = await client.send('PUT', withDigest(locationOf(narrow), blob.digest), {
        headers: OCTETS,
        body: blob.bytes,
      });
      await checkPushedBlob(put, blob);
      await deleteBlob(blob.digest);
      // Whoever has no token yet is told both scopes.
      const mounted = await newClient().send('POST', mount);
      assert.equal(mounted.status, 201);
      assert.equal(locationOf(mounted), blobPath(blob.digest));
      await checkPushedBlob(mounted, blob);
      await deleteBlob(blob.digest);
      await deleteBlob(blob.digest, OTHER);
    });

    test('a mount of what is nowhere falls back to a session, which works', async () => {
      const blob = randomBlob(512, algorithm);
      for (const from of [`&from=${OTHER}`, '']) {
        const fallback = await client.send('POST', uploads(`?mount=${blob.digest}${from}`));
        assert.equal(fallback.status, 202);
        assert.ok(locationOf(fallback).startsWith(uploads()));
        const put = await client.send('PUT', withDigest(locationOf(fallback), blob.digest), {
          headers: OCTETS,
          body: blob.bytes,
        });
        await checkPushedBlob(put, blob);
        await deleteBlob(blob.digest);
      }
    });
  });
}

test('a chunk that is sent again to its old location is 416, and that location still tells where to go on', async () => {
  const blob = randomBlob(200);
  const chunk = (at: string, start: number, end: number) =>
    client.send('PATCH', at, {
      headers: { ...OCTETS, 'content-range': `${start}-${end - 1}` },
      body: blob.bytes.subarray(start, end),
    });
  const first = await begin();
  assert.equal((await chunk(first, 100, 200)).status, 416);
  const accepted = await chunk(first, 0, 100);
  assert.equal(accepted.status, 202);
  assert.equal(headerOf(accepted, 'range'), '0-99');
  assert.equal((await chunk(first, 0, 100)).status, 416);
  const state = await client.send('GET', first);
  assert.equal(state.status, 204);
  assert.equal(headerOf(state, 'range'), '0-99');
  const second = await chunk(locationOf(state), 100, 200);
  assert.equal(second.status, 202);
  const put = await client.send('PUT', withDigest(locationOf(second), blob.digest), { headers: OCTETS });
  await checkPushedBlob(put, blob);
});

const ARTIFACT = { configType: TYPES.empty, config: Buffer.from('{}'), layers: 1, layerType: TYPES.example1 };
const large = Object.fromEntries(
  Array.from({ length: 390 }, (_, i) => [`large-annotation-${i}`, 'A'.repeat(10_000)]),
);

interface Content {
  readonly tags: Readonly<Record<string, TestManifest>>;
  readonly all: readonly TestManifest[];
}
const one = (tag: string | undefined, manifest: TestManifest): Content => ({
  tags: tag === undefined ? {} : { [tag]: manifest },
  all: pushOrder(manifest),
});

function withReferrers(subject: TestManifest): Content {
  const annotations = () => ({
    'org.opencontainers.conformance': 'hello',
    [`org.example.${Math.random()}`]: 'x',
  });
  const about = { subject: descriptorOf(subject, subject.mediaType) };
  const referrers = [
    makeImage({ fields: about }),
    ...[TYPES.example1, TYPES.example2].map((artifactType) =>
      makeImage({ ...ARTIFACT, fields: { artifactType, annotations: annotations(), ...about } }),
    ),
    makeIndex([makeImage(ARTIFACT)], { artifactType: TYPES.example1, annotations: annotations(), ...about }),
  ];
  return {
    tags: { image: subject, artifact: referrers[1] as TestManifest },
    all: [subject, ...referrers].flatMap(pushOrder),
  };
}

const CONTENTS: readonly (readonly [string, () => Content])[] = [
  ['an image', () => one('image', makeImage())],
  ['a large manifest', () => one('large', makeImage({ fields: { annotations: large } }))],
  ['an index', () => one('index', makeIndex([makeImage(), makeImage()]))],
  ['a nested index', () => one('nested', makeIndex([makeIndex([makeImage()]), makeIndex([makeImage()])]))],
  ['an empty index', () => one('empty', makeIndex([]))],
  [
    'an artifact',
    () => one('artifact', makeImage({ ...ARTIFACT, fields: { artifactType: TYPES.example1 } })),
  ],
  ['an image with referrers', () => withReferrers(makeImage())],
  ['an index with referrers', () => withReferrers(makeIndex([makeImage()]))],
  ['an index by sha512', () => one(undefined, makeIndex([makeImage({ algorithm: 'sha512' })], {}, 'sha512'))],
];

for (const [name, make] of CONTENTS) {
  test(`${name}: pushed by digest and tag, listed, pulled, referred to, deleted`, async () => {
    const content = make();
    const blobs = new Map(content.all.flatMap(allBlobs).map((blob) => [blob.digest, blob]));
    for (const blob of blobs.values())
      await checkPushedBlob(await (PUSHES[1]?.[1](blob) as Promise<Answer>), blob);
    for (const manifest of content.all) await pushManifest(manifest.digest, manifest);
    for (const [tag, manifest] of Object.entries(content.tags)) await pushManifest(tag, manifest);
    await checkTagList(Object.keys(content.tags));
    for (const [tag, manifest] of Object.entries(content.tags)) await checkPull(tag, manifest);
    for (const manifest of content.all) await checkPull(manifest.digest, manifest);
    await checkReferrers(content.all);
    const references = [...Object.keys(content.tags), ...content.all.map(({ digest }) => digest).reverse()];
    for (const reference of references) {
      assert.equal((await client.send('DELETE', manifestPath(reference))).status, 202);
      assert.equal((await client.send('HEAD', manifestPath(reference))).status, 404);
    }
    for (const digest of blobs.keys()) await deleteBlob(digest);
    const left = await client.send('GET', `/v2/${REPOSITORY}/tags/list`);
    assert.equal(left.status, 200, 'a repository that was emptied still answers');
  });
}

async function pushManifest(reference: string, manifest: TestManifest, query = ''): Promise<Answer> {
  const answer = await client.send('PUT', `${manifestPath(reference)}${query}`, {
    headers: { 'content-type': manifest.mediaType },
    body: manifest.bytes,
  });
  assert.equal(answer.status, 201, answer.body.toString());
  const subject = manifest.value['subject'] as { digest: string } | undefined;
  assert.equal(headerOf(answer, 'oci-subject'), subject?.digest);
  await checkPull(locationOf(answer).replace(manifestPath(''), ''), manifest);
  return answer;
}

async function checkPull(reference: string, manifest: TestManifest): Promise<void> {
  for (const method of ['GET', 'HEAD']) {
    const headers = { accept: `${TYPES.index}, ${TYPES.manifest}` };
    const answer = await client.send(method, manifestPath(reference), { headers });
    assert.equal(answer.status, 200);
    assert.equal(headerOf(answer, 'content-type'), manifest.mediaType);
    assert.equal(headerOf(answer, 'content-length'), String(manifest.bytes.length));
    assert.equal(headerOf(answer, 'docker-content-digest'), manifest.digest);
    assert.deepEqual(answer.body, method === 'GET' ? manifest.bytes : Buffer.alloc(0));
  }
}

async function checkTagList(wanted: readonly string[]): Promise<void> {
  const list = async (query = '') => {
    const answer = await client.send('GET', `/v2/${REPOSITORY}/tags/list${query}`);
    assert.equal(answer.status, 200);
    return (JSON.parse(answer.body.toString()) as { tags: string[] }).tags;
  };
  const tags = await list();
  for (const tag of wanted) assert.ok(tags.includes(tag));
  const half = Math.floor(tags.length / 2);
  if (half === 0) return;
  assert.deepEqual(await list(`?last=${tags[half - 1]}`), tags.slice(half));
  assert.deepEqual(await list(`?n=${half}`), tags.slice(0, half));
}

async function checkReferrers(all: readonly TestManifest[]): Promise<void> {
  const goals = new Map<string, Record<string, unknown>[]>();
  for (const manifest of all) {
    const { subject, annotations, artifactType, config } = manifest.value as {
      subject?: { digest: string };
      annotations?: object;
      artifactType?: string;
      config?: { mediaType: string };
    };
    if (subject === undefined) continue;
    const goal = descriptorOf(manifest, manifest.mediaType, {
      artifactType: artifactType ?? config?.mediaType,
      ...(annotations === undefined ? {} : { annotations }),
    });
    goals.set(subject.digest, [...(goals.get(subject.digest) ?? []), goal]);
  }
  for (const [digest, wanted] of goals)
    for (const type of [undefined, ...new Set(wanted.map((goal) => String(goal['artifactType'])))]) {
      const query = type === undefined ? '' : `?artifactType=${encodeURIComponent(type)}`;
      const answer = await client.send('GET', `/v2/${REPOSITORY}/referrers/${digest}${query}`);
      assert.equal(answer.status, 200);
      assert.equal(headerOf(answer, 'content-type'), TYPES.index);
      assert.equal(headerOf(answer, 'oci-filters-applied'), type === undefined ? undefined : 'artifactType');
      const listed = JSON.parse(answer.body.toString()) as { manifests: Record<string, unknown>[] };
      const byDigest = (a: Record<string, unknown>, b: Record<string, unknown>) =>
        String(a['digest']) < String(b['digest']) ? -1 : 1;
      const expected = wanted.filter((goal) => type === undefined || goal['artifactType'] === type);
      assert.deepEqual([...listed.manifests].sort(byDigest), [...expected].sort(byDigest));
    }
}

for (const algorithm of ALGORITHMS)
  test(`one PUT by ${algorithm} sets tags`, () => checkTagParameters(algorithm));

async function checkTagParameters(algorithm: Algorithm): Promise<void> {
  const index = makeIndex([makeImage({ algorithm })], {}, algorithm);
  for (const blob of allBlobs(index)) await PUSHES[1]?.[1](blob);
  for (const [i, manifest] of pushOrder(index).entries()) {
    const tags = [`${algorithm}-${i}`, `${algorithm}-${i}-again`];
    const answer = await pushManifest(
      manifest.digest,
      manifest,
      `?${tags.map((tag) => `tag=${tag}`).join('&')}`,
    );
    assert.deepEqual(headerOf(answer, 'oci-tag')?.split(', '), tags);
    for (const tag of tags) await checkPull(tag, manifest);
  }
}

test('a blob that a manifest needs may be deleted, and the manifest after it', async () => {
  const image = makeImage({ layers: 1 });
  for (const blob of image.blobs) await PUSHES[1]?.[1](blob);
  await pushManifest('referenced', image);
  for (const blob of image.blobs) {
    const { status } = await client.send('DELETE', blobPath(blob.digest));
    assert.ok(status === 202 || status === 405, String(status));
  }
  assert.equal((await client.send('DELETE', manifestPath(image.digest))).status, 202);
});

test('a manifest that is none, under a digest that is none, is refused with one of the codes', async () => {
  const refused = await client.send('PUT', manifestPath('sha256:totallywrong'), {
    headers: { 'content-type': TYPES.manifest },
    body: Buffer.from('blablabla'),
  });
  assert.equal(refused.status, 400);
  assert.ok(['DIGEST_INVALID', 'MANIFEST_INVALID'].includes(codeOf(refused)));
  assert.ok([400, 404].includes((await client.send('GET', manifestPath('sha256:baddigeststring'))).status));
});
