/**
 * The distribution specification's checks of manifests, tags and referrers, over every kind of content its suite pushes,
 * at 1.1 and at the draft (marked †).
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import {
  ALGORITHMS,
  allBlobs,
  codeOf,
  descriptorOf,
  headerOf,
  locationOf,
  makeImage,
  makeIndex,
  pushOrder,
  RawClient,
  randomBlob,
  type TestManifest,
  TYPES,
} from './registry-client.ts';

const REPOSITORY = 'conformance/repo1';
let strict: TestRegistry;
let sparse: TestRegistry;
let client: RawClient;

before(async () => {
  strict = await startRegistry();
  sparse = await startRegistry({ allowMissingLayers: true });
  client = new RawClient(strict.url);
});
after(async () => {
  await strict[Symbol.asyncDispose]();
  await sparse[Symbol.asyncDispose]();
});

const path = (reference: string) => `/v2/${REPOSITORY}/manifests/${reference}`;

const ARTIFACT = { configType: TYPES.empty, config: Buffer.from('{}'), layers: 1, layerType: TYPES.example1 };
const largeAnnotations = () =>
  Object.fromEntries(Array.from({ length: 390 }, (_, i) => [`large-annotation-${i}`, 'A'.repeat(10_000)]));

/** What the suite pushes; each row is made fresh for each run. */
const CONTENTS: readonly (readonly [string, () => TestManifest])[] = [
  ['an image', () => makeImage()],
  ['an uncompressed image', () => makeImage({ layerType: 'application/vnd.oci.image.layer.v1.tar' })],
  ['an image with a large manifest', () => makeImage({ fields: { annotations: largeAnnotations() } })],
  ['an index', () => makeIndex([makeImage(), makeImage()])],
  ['a nested index', () => makeIndex([makeIndex([makeImage()]), makeIndex([makeImage(), makeImage()])])],
  ['an empty index', () => makeIndex([])],
  ['an artifact', () => makeImage({ ...ARTIFACT, fields: { artifactType: TYPES.example1 } })],
  ['an artifact index', () => makeIndex([makeImage(ARTIFACT)], { artifactType: TYPES.example1 })],
  ['an artifact without layers', () => makeImage({ ...ARTIFACT, layerType: TYPES.empty })],
  ['an image without layers', () => makeImage({ layers: 0 })],
  ['descriptors with data', () => makeImage({ withData: true })],
  [
    'fields nobody knows',
    () => makeIndex([makeImage({ fields: { 'org.example.x': [1, { a: null }] } })], { 'org.example.y': 1 }),
  ],
  ['non-distributable layers', makeForeignImage],
  ['an image by sha512', () => makeIndex([makeImage({ algorithm: 'sha512' })], {}, 'sha512')],
];

function makeForeignImage(): TestManifest {
  const missing = randomBlob(10);
  const layers = ['', '+gzip'].map((suffix) =>
    descriptorOf(missing, `application/vnd.oci.image.layer.nondistributable.v1.tar${suffix}`, {
      urls: ['https://store.example.com/x'],
    }),
  );
  return makeImage({ layers: 0, fields: { layers } });
}

for (const [name, make] of CONTENTS) {
  test(`end-7a end-3 end-9 ${name}: pushed by digest and tag, pulled with the same bytes, deleted`, async () => {
    const content = make();
    await pushAll(client, content);
    const isSha512 = content.digest.startsWith('sha512:');
    if (!isSha512) await checkPushed(await client.pushManifest(REPOSITORY, 'suite', content), content);
    const references = [...pushOrder(content).map((one) => [one.digest, one] as const)];
    if (!isSha512) references.push(['suite', content]);
    for (const [reference, manifest] of references) await checkPull(reference, manifest);
    await deleteAll(content, isSha512 ? [] : ['suite']);
  });
}

async function pushAll(to: RawClient, content: TestManifest): Promise<void> {
  for (const blob of allBlobs(content)) assert.equal((await to.pushBlob(REPOSITORY, blob)).status, 201);
  for (const manifest of pushOrder(content))
    await checkPushed(await to.pushManifest(REPOSITORY, manifest.digest, manifest), manifest, to);
}

async function checkPushed(
  answer: Awaited<ReturnType<RawClient['send']>>,
  manifest: TestManifest,
  from = client,
): Promise<void> {
  assert.equal(answer.status, 201, answer.body.toString());
  assert.equal(headerOf(answer, 'docker-content-digest'), manifest.digest);
  const subject = manifest.value['subject'] as { digest: string } | undefined;
  assert.equal(headerOf(answer, 'oci-subject'), subject?.digest);
  const pulled = await from.send('GET', locationOf(answer));
  assert.equal(pulled.status, 200);
  assert.deepEqual(pulled.body, manifest.bytes);
}

async function checkPull(reference: string, manifest: TestManifest): Promise<void> {
  for (const method of ['GET', 'HEAD']) {
    const accept = { accept: `${TYPES.index}, ${TYPES.manifest}` };
    const answer = await client.send(method, path(reference), { headers: accept });
    assert.equal(answer.status, 200);
    assert.equal(headerOf(answer, 'content-type'), manifest.mediaType);
    assert.equal(headerOf(answer, 'content-length'), String(manifest.bytes.byteLength));
    assert.equal(headerOf(answer, 'docker-content-digest'), manifest.digest);
    assert.equal(answer.body.byteLength, method === 'GET' ? manifest.bytes.byteLength : 0);
    if (method === 'GET') assert.deepEqual(answer.body, manifest.bytes);
  }
}

async function deleteAll(content: TestManifest, tags: readonly string[]): Promise<void> {
  const references = [...tags, ...[...pushOrder(content)].reverse().map((manifest) => manifest.digest)];
  for (const reference of references) {
    assert.equal((await client.send('DELETE', path(reference))).status, 202);
    assert.equal((await client.send('HEAD', path(reference))).status, 404);
    assert.equal(codeOf(await client.send('DELETE', path(reference))), 'MANIFEST_UNKNOWN');
  }
  for (const digest of new Set(allBlobs(content).map((blob) => blob.digest)))
    assert.equal((await client.send('DELETE', `/v2/${REPOSITORY}/blobs/${digest}`)).status, 202);
}

test('sparse: an index may name manifests that are not here; an image its layers only when allowed', async () => {
  const present = makeImage();
  const index = makeIndex([present, makeImage()]);
  const image = makeImage();
  for (const [registry, status] of [
    [client, 404],
    [new RawClient(sparse.url), 201],
  ] as const) {
    await pushAll(registry, present);
    assert.equal((await registry.pushManifest(REPOSITORY, 'sparse-index', index)).status, 201);
    for (const blob of image.blobs.slice(1)) await registry.pushBlob(REPOSITORY, blob);
    const pushed = await registry.pushManifest(REPOSITORY, 'sparse-image', image);
    assert.equal(pushed.status, status);
    if (status === 404) assert.equal(codeOf(pushed), 'MANIFEST_BLOB_UNKNOWN');
  }
});

for (const algorithm of ALGORITHMS) {
  test(`end-7b† one PUT by ${algorithm} sets many tags`, async () => {
    const content = makeIndex([makeImage({ algorithm })], {}, algorithm);
    await pushAll(client, content);
    const tags = Array.from({ length: 12 }, (_, i) => `${algorithm}-tag-${i}`);
    const answer = await client.pushManifest(
      REPOSITORY,
      content.digest,
      content,
      `?${tags.map((tag) => `tag=${tag}`).join('&')}`,
    );
    await checkPushed(answer, content);
    assert.deepEqual(headerOf(answer, 'oci-tag')?.split(', '), tags);
    for (const tag of tags) await checkPull(tag, content);
    // Deleting by digest takes the tags along; deleting a tag only that one.
    assert.equal((await client.send('DELETE', path(tags[0] ?? ''))).status, 202);
    await checkPull(tags[1] ?? '', content);
    await checkPull(content.digest, content);
    await deleteAll(content, []);
    for (const tag of tags) assert.equal((await client.send('HEAD', path(tag))).status, 404);
  });
}

describe('end-12 referrers', () => {
  const at = (digest: string, query = '') => `/v2/${REPOSITORY}/referrers/${digest}${query}`;
  const list = async (url: string) => {
    const answer = await client.send('GET', url);
    assert.equal(answer.status, 200);
    assert.equal(headerOf(answer, 'content-type'), TYPES.index);
    const body = JSON.parse(answer.body.toString()) as {
      schemaVersion: number;
      mediaType: string;
      manifests: { digest: string }[];
    };
    assert.equal(body.schemaVersion, 2);
    assert.equal(body.mediaType, TYPES.index);
    return { answer, manifests: body.manifests };
  };

  test('an unknown digest or repository has none, which is no error; a malformed one is 400', async () => {
    assert.deepEqual((await list(at(randomBlob(3).digest))).manifests, []);
    const elsewhere = await client.send('GET', `/v2/nobody/knows/referrers/${randomBlob(3).digest}`);
    assert.equal(elsewhere.status, 200);
    assert.equal((await client.send('GET', at('sha256:zz'))).status, 400);
  });

  test('images, artifacts and indexes with a subject, filtered, annotated, paged, and before their subject', async () => {
    const subject = makeImage();
    const fields = {
      subject: descriptorOf(subject, subject.mediaType),
      annotations: { 'org.example.a': 'hello' },
    };
    const referrers: readonly (readonly [TestManifest, string | undefined])[] = [
      [makeImage({ fields }), TYPES.config],
      [makeImage({ ...ARTIFACT, fields: { ...fields, artifactType: TYPES.example1 } }), TYPES.example1],
      [makeImage({ ...ARTIFACT, fields: { ...fields, artifactType: TYPES.example2 } }), TYPES.example2],
      [makeIndex([], { ...fields, artifactType: TYPES.example1 }), TYPES.example1],
      [makeIndex([], fields), undefined],
    ];
    // A missing subject is accepted, and its referrers are known before it comes.
    for (const [manifest] of referrers) await pushAll(client, manifest);
    await pushAll(client, subject);
    const wanted = referrers.map(([manifest, artifactType]) =>
      descriptorOf(manifest, manifest.mediaType, {
        ...(artifactType === undefined ? {} : { artifactType }),
        annotations: fields.annotations,
      }),
    );
    const sorted = wanted.sort((a, b) => (String(a['digest']) < String(b['digest']) ? -1 : 1));
    assert.deepEqual((await list(at(subject.digest))).manifests, sorted);
    for (const type of [TYPES.config, TYPES.example1, TYPES.example2]) {
      const { answer, manifests } = await list(
        at(subject.digest, `?artifactType=${encodeURIComponent(type)}`),
      );
      assert.equal(headerOf(answer, 'oci-filters-applied'), 'artifactType');
      assert.deepEqual(
        manifests,
        sorted.filter((descriptor) => descriptor['artifactType'] === type),
      );
    }
    const paged: unknown[] = [];
    for (let url: string | undefined = at(subject.digest, '?n=2'); url !== undefined; ) {
      const { answer, manifests } = await list(url);
      assert.ok(manifests.length <= 2);
      paged.push(...manifests);
      url = /<([^>]+)>; rel="next"/.exec(headerOf(answer, 'link') ?? '')?.[1];
    }
    assert.deepEqual(paged, sorted);
  });

  test('a referrer pushed by a client that also keeps the tag schema is listed once', async () => {
    const subject = makeImage();
    const signature = makeImage({
      ...ARTIFACT,
      fields: { subject: descriptorOf(subject, subject.mediaType) },
    });
    await pushAll(client, signature);
    const tagged = makeIndex([signature]);
    assert.equal(
      (await client.pushManifest(REPOSITORY, subject.digest.replace(':', '-'), tagged)).status,
      201,
    );
    const { manifests } = await list(at(subject.digest));
    assert.deepEqual(
      manifests.map((descriptor) => descriptor.digest),
      [signature.digest],
    );
  });
});

describe('end-8 tags and the catalog', () => {
  const repository = 'conformance/tags';
  const names = ['A', 'Z.1', '_x', 'a', 'a-1', 'b', 'latest', 'v1.10', 'v1.2', 'v1.9'];

  test('tags are sorted by bytes, paged by n and last, and linked', async () => {
    const image = makeImage();
    for (const blob of image.blobs) await client.pushBlob(repository, blob);
    for (const tag of [...names].reverse())
      assert.equal((await client.pushManifest(repository, tag, image)).status, 201);
    const list = async (query: string) => {
      const answer = await client.send('GET', `/v2/${repository}/tags/list${query}`);
      assert.equal(answer.status, 200);
      const body = JSON.parse(answer.body.toString()) as { name: string; tags: string[] };
      assert.equal(body.name, repository);
      return { tags: body.tags, link: headerOf(answer, 'link') };
    };
    assert.deepEqual(await list(''), { tags: names, link: undefined });
    assert.deepEqual((await list('?last=a')).tags, names.slice(4));
    assert.deepEqual((await list('?last=a0')).tags, names.slice(5));
    assert.deepEqual(await list('?n=0'), { tags: [], link: undefined });
    assert.deepEqual((await list(`?n=${names.length}`)).link, undefined);
    const first = await list('?n=4');
    assert.deepEqual(first.tags, names.slice(0, 4));
    const next = /<([^>]+)>; rel="next"/.exec(first.link ?? '')?.[1] ?? '';
    assert.deepEqual((await list(next.slice(next.indexOf('?')))).tags, names.slice(4, 8));
  });

  for (const n of ['-1', 'x', '1e3', '99999999999999999999', '']) {
    test(`n="${n}" is refused`, async () => {
      const answer = await client.send('GET', `/v2/${repository}/tags/list?n=${n}`);
      assert.equal(answer.status, 400);
      assert.equal(codeOf(answer), 'PAGINATION_NUMBER_INVALID');
    });
  }

  test('the catalog is sorted and paged', async () => {
    const seen: string[] = [];
    for (let url: string | undefined = '/v2/_catalog?n=1'; url !== undefined; ) {
      const answer = await client.send('GET', url);
      seen.push(...(JSON.parse(answer.body.toString()) as { repositories: string[] }).repositories);
      url = /<([^>]+)>; rel="next"/.exec(headerOf(answer, 'link') ?? '')?.[1];
    }
    assert.ok(seen.includes(repository) && seen.includes(REPOSITORY));
    assert.deepEqual(seen, [...new Set(seen)].sort());
  });

  test('an unknown repository has no tags', async () => {
    const answer = await client.send('GET', '/v2/nobody/knows/tags/list');
    assert.equal(answer.status, 404);
    assert.equal(codeOf(answer), 'NAME_UNKNOWN');
  });
});

describe('manifests that are refused', () => {
  const image = makeImage({ layers: 1 });
  const document = (fields: Record<string, unknown>) =>
    Buffer.from(JSON.stringify({ ...image.value, ...fields }));
  const doubled = Buffer.from(image.bytes.toString().replace('{', '{"mediaType":"x",'));
  const rows: readonly (readonly [string, string, Buffer, string, number, string])[] = [
    ['a malformed digest', 'sha256:baddigeststring', image.bytes, TYPES.manifest, 400, 'DIGEST_INVALID'],
    ['another digest', `sha256:${'0'.repeat(64)}`, image.bytes, TYPES.manifest, 400, 'DIGEST_INVALID'],
    [
      'bytes after the document',
      image.digest,
      Buffer.concat([image.bytes, Buffer.from('  ')]),
      TYPES.manifest,
      400,
      'DIGEST_INVALID',
    ],
    ['a tag that is none', '-x', image.bytes, TYPES.manifest, 400, 'TAG_INVALID'],
    ['a tag of 129 letters', 'a'.repeat(129), image.bytes, TYPES.manifest, 400, 'TAG_INVALID'],
    ['text', 't', Buffer.from('hello'), TYPES.manifest, 400, 'MANIFEST_INVALID'],
    ['another Content-Type', 't', image.bytes, TYPES.index, 400, 'MANIFEST_INVALID'],
    ['both kinds at once', 't', document({ manifests: [] }), TYPES.manifest, 400, 'MANIFEST_INVALID'],
    ['a key twice', 't', doubled, TYPES.manifest, 400, 'MANIFEST_INVALID'],
    ['a case twin of a key', 't', document({ Layers: [] }), TYPES.manifest, 400, 'MANIFEST_INVALID'],
    [
      'a size that is wrong',
      't',
      document({ config: { ...(image.value['config'] as object), size: 1 } }),
      TYPES.manifest,
      400,
      'SIZE_INVALID',
    ],
    [
      'annotations that are no texts',
      't',
      document({ annotations: { a: 1 } }),
      TYPES.manifest,
      400,
      'MANIFEST_INVALID',
    ],
    ['more than 4 MiB', 't', Buffer.alloc(4 * 1024 * 1024 + 1, ' '), TYPES.manifest, 413, 'MANIFEST_INVALID'],
  ];
  before(async () => {
    for (const blob of image.blobs) await client.pushBlob(REPOSITORY, blob);
  });
  for (const [name, reference, body, type, status, code] of rows) {
    test(name, async () => {
      const answer = await client.send('PUT', path(reference), { headers: { 'content-type': type }, body });
      assert.equal(answer.status, status, answer.body.toString());
      assert.equal(codeOf(answer), code);
    });
  }

  test('parameters of the Content-Type are ignored', async () => {
    const headers = { 'content-type': `${TYPES.manifest}; charset=utf-8` };
    assert.equal((await client.send('PUT', path('parameters'), { headers, body: image.bytes })).status, 201);
    assert.equal(headerOf(await client.send('HEAD', path('parameters')), 'content-type'), TYPES.manifest);
  });

  for (const reference of ['missing', randomBlob(1).digest]) {
    test(`end-3 ${reference} is not there`, async () => {
      const answer = await client.send('GET', path(reference));
      assert.equal(answer.status, 404);
      assert.equal(codeOf(answer), 'MANIFEST_UNKNOWN');
    });
  }

  for (const name of ['UPPER/case', '..', 'a//b', '-a', 'a%2f..%2fb', 'a'.repeat(256), 'a/b_-c']) {
    test(`the name "${name.slice(0, 20)}" is refused`, async () => {
      const answer = await client.send('GET', `/v2/${name}/tags/list`);
      assert.equal(answer.status, name === '..' ? 404 : 400);
    });
  }
});

test('end-1 the version answers, and every answer names the API and forbids sniffing', async () => {
  const answer = await client.send('GET', '/v2/');
  assert.equal(answer.status, 200);
  assert.equal(headerOf(answer, 'docker-distribution-api-version'), 'registry/2.0');
  assert.equal(headerOf(answer, 'x-content-type-options'), 'nosniff');
});

test('a manifest that is known to the client is not sent again', async () => {
  const image = makeImage();
  await pushAll(client, image);
  const answer = await client.send('GET', path(image.digest), {
    headers: { 'if-none-match': `"${image.digest}"` },
  });
  assert.equal(answer.status, 304);
});
