/**
 * The distribution specification's checks of blobs, at 1.1 and at the draft (marked †), for both digests.
 * Ids are the specification's endpoints; see src/registry/protocol/endpoints.ts.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import {
  ALGORITHMS,
  type Algorithm,
  blobOf,
  codeOf,
  headerOf,
  locationOf,
  OCTETS,
  RawClient,
  randomBlob,
  type TestBlob,
  withDigest,
} from './registry-client.ts';

const REPOSITORY = 'conformance/repo1';
const OTHER = 'conformance/repo2';
let registry: TestRegistry;
let client: RawClient;

before(async () => {
  registry = await startRegistry();
  client = new RawClient(registry.url);
});
after(async () => {
  await registry[Symbol.asyncDispose]();
});

const blobPath = (digest: string, repository = REPOSITORY) => `/v2/${repository}/blobs/${digest}`;

async function checkPullable(blob: TestBlob, location: string): Promise<void> {
  for (const path of [location, blobPath(blob.digest)]) {
    const got = await client.send('GET', path);
    assert.equal(got.status, 200);
    assert.deepEqual(got.body, blob.bytes);
    assert.equal(headerOf(got, 'content-length'), String(blob.bytes.byteLength));
    assert.equal(headerOf(got, 'docker-content-digest'), blob.digest);
  }
  const head = await client.send('HEAD', blobPath(blob.digest));
  assert.equal(head.status, 200);
  assert.equal(head.body.byteLength, 0);
  assert.equal(headerOf(head, 'content-length'), String(blob.bytes.byteLength));
  assert.equal(headerOf(head, 'docker-content-digest'), blob.digest);
}

async function checkDelete(digest: string, repository = REPOSITORY): Promise<void> {
  const deleted = await client.send('DELETE', blobPath(digest, repository));
  assert.equal(deleted.status, 202);
  assert.equal((await client.send('HEAD', blobPath(digest, repository))).status, 404);
  assert.equal((await client.send('DELETE', blobPath(digest, repository))).status, 404);
}

interface ChunkPlan {
  readonly sizes: readonly number[];
  readonly isLastInPut: boolean;
  readonly isOutOfOrder: boolean;
}

/** Pushes in chunks; with `isOutOfOrder`, a wrong chunk first, refused, and recovered from by GET. */
async function pushChunks(blob: TestBlob, plan: ChunkPlan) {
  let location = await client.begin(REPOSITORY);
  let offset = 0;
  for (const [i, size] of plan.sizes.entries()) {
    const end = Math.min(offset + size, blob.bytes.byteLength);
    if (plan.isOutOfOrder) location = await sendWrongChunk(blob, location, offset, size);
    const isPut = plan.isLastInPut && i === plan.sizes.length - 1;
    const answer = await client.send(
      isPut ? 'PUT' : 'PATCH',
      isPut ? withDigest(location, blob.digest) : location,
      {
        headers: { ...OCTETS, 'content-range': `${offset}-${end - 1}` },
        body: blob.bytes.subarray(offset, end),
      },
    );
    if (isPut) return answer;
    assert.equal(answer.status, 202);
    assert.equal(headerOf(answer, 'range'), `0-${end - 1}`);
    location = locationOf(answer);
    offset = end;
  }
  return client.send('PUT', withDigest(location, blob.digest), { headers: OCTETS });
}

async function sendWrongChunk(blob: TestBlob, location: string, offset: number, size: number) {
  const total = blob.bytes.byteLength;
  const start = offset + size < total ? offset + size : 0;
  const end = Math.min(start + size, total);
  if (start === offset) return location;
  const method = end === total ? 'PUT' : 'PATCH';
  const refused = await client.send(method, method === 'PUT' ? withDigest(location, blob.digest) : location, {
    headers: { ...OCTETS, 'content-range': `${start}-${end - 1}` },
    body: blob.bytes.subarray(start, end),
  });
  assert.equal(refused.status, 416);
  assert.equal(codeOf(refused), 'RANGE_INVALID');
  const state = await client.send('GET', location);
  assert.equal(state.status, 204);
  assert.equal(headerOf(state, 'range'), `0-${Math.max(offset - 1, 0)}`);
  return locationOf(state);
}

async function pushStream(blob: TestBlob) {
  const location = await client.begin(REPOSITORY);
  const patched = await client.send('PATCH', location, { headers: OCTETS, body: blob.bytes });
  assert.equal(patched.status, 202);
  return client.send('PUT', withDigest(locationOf(patched), blob.digest), { headers: OCTETS });
}

async function pushPostPut(blob: TestBlob) {
  const location = await client.begin(REPOSITORY);
  return client.send('PUT', withDigest(location, blob.digest), { headers: OCTETS, body: blob.bytes });
}

const one = (isLastInPut: boolean, isOutOfOrder: boolean) => (blob: TestBlob) =>
  pushChunks(blob, { sizes: [1024, 1024, 1024], isLastInPut, isOutOfOrder });

const PUSHES: readonly (readonly [string, (blob: TestBlob) => ReturnType<typeof pushStream>])[] = [
  ['end-4b post only', (blob) => client.pushBlob(REPOSITORY, blob)],
  ['end-4a end-6 post and put', pushPostPut],
  [
    'end-5 one chunk',
    (blob) => pushChunks(blob, { sizes: [1 << 20], isLastInPut: false, isOutOfOrder: false }),
  ],
  ['end-5 chunks', one(false, false)],
  ['end-5 end-6 chunks, last in put', one(true, false)],
  ['end-5 chunks out of order', one(false, true)],
  ['end-5 end-6 chunks out of order, last in put', one(true, true)],
  ['end-5 stream', pushStream],
];
/** Small ones are kept beside their row, large ones in files: both roads are walked. */
const SIZES = [3 * 1024 - 5, 3 * 1024 * 40];

for (const algorithm of ALGORITHMS) {
  describe(`blobs by ${algorithm}`, () => {
    for (const [name, push] of PUSHES) {
      test(`${name}: the blob can be pulled from its location and deleted`, async () => {
        const blob = randomBlob(3 * 1024 - 5, algorithm);
        const pushed = await push(blob);
        assert.equal(pushed.status, 201);
        assert.equal(headerOf(pushed, 'docker-content-digest'), blob.digest);
        await checkPullable(blob, locationOf(pushed));
        await checkDelete(blob.digest);
      });
      test(`${name}: a digest that does not match is refused and nothing is visible`, async () => {
        const blob = randomBlob(3 * 1024 - 5, algorithm);
        const broken = { digest: blob.digest, bytes: Buffer.from(blob.bytes) };
        broken.bytes[100] = (broken.bytes[100] ?? 0) ^ 1;
        const refused = await push(broken);
        assert.equal(refused.status, 400);
        assert.equal(codeOf(refused), 'DIGEST_INVALID');
        assert.equal((await client.send('HEAD', blobPath(blob.digest))).status, 404);
      });
    }

    for (const size of SIZES) {
      test(`end-2 ranges of a blob of ${size} bytes`, () => checkRanges(size, algorithm));
    }

    for (const [name, bytes] of [
      ['empty', ''],
      ['empty json', '{}'],
    ] as const) {
      test(`the ${name} blob works`, async () => {
        const blob = blobOf(Buffer.from(bytes), algorithm);
        for (const [, push] of PUSHES.filter(([id]) => !id.includes('chunk'))) {
          const pushed = await push(blob);
          assert.equal(pushed.status, 201);
          await checkPullable(blob, locationOf(pushed));
          await checkDelete(blob.digest);
        }
      });
    }

    test('end-11 mounts with from, without from, and falls back to a session', async () => {
      const blob = randomBlob(512, algorithm);
      assert.equal((await client.pushBlob(OTHER, blob)).status, 201);
      for (const query of [`?mount=${blob.digest}&from=${OTHER}`, `?mount=${blob.digest}`]) {
        const mounted = await client.send('POST', `/v2/${REPOSITORY}/blobs/uploads/${query}`);
        assert.equal(mounted.status, 201);
        await checkPullable(blob, locationOf(mounted));
        await checkDelete(blob.digest);
      }
      await checkDelete(blob.digest, OTHER);
      const missing = await client.send(
        'POST',
        `/v2/${REPOSITORY}/blobs/uploads/?mount=${blob.digest}&from=${OTHER}`,
      );
      assert.equal(missing.status, 202);
      const put = await client.send('PUT', withDigest(locationOf(missing), blob.digest), {
        headers: OCTETS,
        body: blob.bytes,
      });
      assert.equal(put.status, 201);
      await checkPullable(blob, locationOf(put));
    });

    test('end-4c† a session for this algorithm', async () => {
      const blob = randomBlob(100_000, algorithm);
      const location = await client.begin(REPOSITORY, `?digest-algorithm=${algorithm}`);
      const put = await client.send('PUT', withDigest(location, blob.digest), {
        headers: OCTETS,
        body: blob.bytes,
      });
      assert.equal(put.status, 201);
      await checkPullable(blob, locationOf(put));
    });

    test('end-2 end-10 a blob that is not there', async () => {
      const { digest } = randomBlob(10, algorithm);
      const missing = await client.send('GET', blobPath(digest));
      assert.equal(missing.status, 404);
      assert.equal(codeOf(missing), 'BLOB_UNKNOWN');
      assert.equal((await client.send('HEAD', blobPath(digest))).status, 404);
      assert.equal((await client.send('DELETE', blobPath(digest))).status, 404);
    });
  });
}

test('end-14† a cancelled session is gone', async () => {
  const location = await client.begin(REPOSITORY);
  await client.send('PATCH', location, { headers: OCTETS, body: Buffer.from('some') });
  assert.equal((await client.send('DELETE', location)).status, 204);
  for (const method of ['GET', 'PATCH', 'DELETE']) {
    const gone = await client.send(method, location, method === 'PATCH' ? { body: Buffer.from('more') } : {});
    assert.equal(gone.status, 404);
    assert.equal(codeOf(gone), 'BLOB_UPLOAD_UNKNOWN');
  }
});

const REFUSALS: readonly (readonly [string, string, string, number, string])[] = [
  ['an unsupported algorithm', 'POST', '/blobs/uploads/?digest-algorithm=md5', 400, 'DIGEST_INVALID'],
  ['a malformed digest', 'POST', '/blobs/uploads/?digest=sha256:abc', 400, 'DIGEST_INVALID'],
  ['a digest in capitals', 'GET', `/blobs/sha256:${'A'.repeat(64)}`, 400, 'DIGEST_INVALID'],
  ['an unknown session', 'GET', `/blobs/uploads/${'0'.repeat(32)}`, 404, 'BLOB_UPLOAD_UNKNOWN'],
  ['a session that is no id', 'GET', '/blobs/uploads/..%2f..%2fetc', 404, 'BLOB_UPLOAD_UNKNOWN'],
  ['a method that is not served', 'PUT', `/blobs/sha256:${'a'.repeat(64)}`, 405, 'UNSUPPORTED'],
];
for (const [name, method, path, status, code] of REFUSALS) {
  test(`${name} is refused`, async () => {
    const answer = await client.send(method, `/v2/${REPOSITORY}${path}`);
    assert.equal(answer.status, status);
    assert.equal(codeOf(answer), code);
  });
}

test('end-5 a malformed Content-Range is 416 and leaves the session', async () => {
  const location = await client.begin(REPOSITORY);
  for (const range of ['x', '5-1', '0-', 'bytes=0-3', '0-99999999999999999999']) {
    const refused = await client.send('PATCH', location, {
      headers: { 'content-range': range },
      body: Buffer.from('abcd'),
    });
    assert.equal(refused.status, 416, range);
  }
  assert.equal((await client.send('GET', location)).status, 204);
});

test('end-5 a body of another length than its Content-Range is refused and not kept', async () => {
  const location = await client.begin(REPOSITORY);
  const refused = await client.send('PATCH', location, {
    headers: { 'content-range': '0-9' },
    body: Buffer.from('abcd'),
  });
  assert.equal(refused.status, 400);
  assert.equal(codeOf(refused), 'SIZE_INVALID');
  assert.equal(headerOf(await client.send('GET', location), 'range'), '0-0');
});

async function checkRanges(size: number, algorithm: Algorithm): Promise<void> {
  const blob = randomBlob(size, algorithm);
  assert.equal((await client.pushBlob(REPOSITORY, blob)).status, 201);
  const rows: readonly (readonly [string, number, number])[] = [
    ['bytes=500-1499', 500, 1500],
    ['bytes=500-', 500, size],
    ['bytes=-500', size - 500, size],
    [`bytes=2000-${size + 5000}`, 2000, size],
    ['bytes=0-0', 0, 1],
    [`bytes=-${size + 5}`, 0, size],
  ];
  for (const [range, start, end] of rows) {
    const got = await client.send('GET', blobPath(blob.digest), { headers: { range } });
    assert.equal(got.status, 206, range);
    assert.deepEqual(got.body, blob.bytes.subarray(start, end), range);
    assert.equal(headerOf(got, 'content-length'), String(end - start));
    assert.equal(headerOf(got, 'content-range'), `bytes ${start}-${end - 1}/${size}`);
  }
  for (const range of ['bytes=500-0', `bytes=${size}-`, `bytes=${size + 5}-${size + 9}`, 'bytes=-0']) {
    const refused = await client.send('GET', blobPath(blob.digest), { headers: { range } });
    assert.equal(refused.status, 416, range);
    assert.equal(headerOf(refused, 'content-range'), `bytes */${size}`);
  }
  for (const range of ['lines=1-2', 'bytes=1-2,5-6', 'bytes=-']) {
    const whole = await client.send('GET', blobPath(blob.digest), { headers: { range } });
    assert.equal(whole.status, 200, range);
    assert.deepEqual(whole.body, blob.bytes);
  }
  await checkDelete(blob.digest);
}
