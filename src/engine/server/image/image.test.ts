import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { parseFilters } from '#engine/protocol/index.ts';
import { digestOf } from '#oci/digest/index.ts';
import { parseReference } from '#oci/reference/index.ts';
import type { Image } from '#store/image/types.ts';
import type { ImageBackend } from './backend.ts';
import { matchesGlob } from './glob.ts';
import { summarizeImages } from './list.ts';
import { joinReference, noLocalTag } from './names.ts';
import { createRegistrySearch } from './search.ts';

function image(
  name: string,
  options: {
    readonly tags?: readonly string[];
    readonly at?: number;
    readonly parent?: Image;
    readonly labels?: Record<string, string>;
  } = {},
): Image {
  const at = new Date(options.at ?? 0);
  return {
    id: digestOf(name),
    config: {
      architecture: 'amd64',
      os: 'linux',
      rootfs: { type: 'layers', diff_ids: [] },
      config: { Labels: options.labels ?? {} },
    },
    configBytes: new Uint8Array(),
    chainId: undefined,
    layers: [],
    sizeBytes: 7,
    createdAt: at,
    taggedAt: at,
    parentId: options.parent?.id,
    references: (options.tags ?? []).map((tag) => parseReference(tag)),
    repoDigests: [],
  };
}

const base = image('base', { at: 1000 });
const named = image('named', {
  at: 2000,
  tags: ['demo:v1', 'demo:v2', 'localhost:5000/team/demo:v1'],
  parent: base,
  labels: { tier: 'front' },
});
const nameless = image('nameless', { at: 3000 });
const IMAGES = [base, named, nameless];

const backend = {
  images: {
    listImages: () => IMAGES,
    listDamagedImages: () => [],
    getImage: (name: string) =>
      IMAGES.find(
        (one) =>
          one.id === name ||
          one.references.some((tag) => `${tag.repository}:${tag.tag}` === `library/${name}`),
      ),
  },
  listUsers: () => [],
} as unknown as ImageBackend;

function list(filters: string, options: { readonly all?: boolean } = {}): readonly string[] {
  const found = summarizeImages(backend, {
    filters: parseFilters(filters),
    all: options.all ?? false,
    sharedSize: false,
    countContainers: false,
  });
  return found
    .map((summary) => IMAGES.find((one) => one.id === summary.Id))
    .map((one) => (one === base ? 'base' : one === named ? 'named' : 'nameless'));
}

describe('summarizeImages', () => {
  const rows: readonly [string, string, boolean, readonly string[]][] = [
    ['shows newest first and leaves out what others are built on', '{}', false, ['nameless', 'named']],
    ['shows everything with all', '{}', true, ['nameless', 'named', 'base']],
    ['dangling', '{"dangling":["true"]}', false, ['nameless']],
    ['not dangling', '{"dangling":["false"]}', false, ['named']],
    ['label', '{"label":["tier=front"]}', false, ['named']],
    ['label of another value', '{"label":["tier=back"]}', false, []],
    ['before', '{"before":["demo:v1"]}', true, ['base']],
    ['since', '{"since":["demo:v1"]}', true, ['nameless']],
    ['until', '{"until":["2.5"]}', true, ['named', 'base']],
    ['reference by pattern', '{"reference":["dem*"]}', false, ['named']],
    ['reference by name and tag', '{"reference":["demo:v2"]}', false, ['named']],
    ['a star stays inside a component', '{"reference":["*:v1x"]}', false, []],
  ];
  for (const [title, filters, all, want] of rows) {
    it(title, () => assert.deepEqual(list(filters, { all }), want));
  }

  it('shows only the names a reference filter asks for', () => {
    const [only] = summarizeImages(backend, {
      filters: parseFilters('{"reference":["localhost:5000/*/demo"]}'),
      all: false,
      sharedSize: false,
      countContainers: false,
    });
    assert.deepEqual(only?.RepoTags, ['localhost:5000/team/demo:v1']);
  });

  it('refuses a filter value that is no boolean', () => {
    assert.throws(() => list('{"dangling":["maybe"]}'), { message: "invalid filter 'dangling=[maybe]'" });
  });
});

describe('matchesGlob', () => {
  const rows: readonly [string, string, boolean][] = [
    ['*', 'debian', true],
    ['*', 'library/debian', false],
    ['*/*', 'library/debian', true],
    ['deb?an:[0-9]*', 'debian:12', true],
    ['deb[^a-z]an', 'debian', false],
    ['a\\*b', 'a*b', true],
    ['a\\*b', 'axb', false],
    ['a**b', 'axyb', true],
    ['', '', true],
    ['a', '', false],
  ];
  for (const [pattern, text, want] of rows) {
    it(`"${pattern}" ${want ? 'fits' : 'does not fit'} "${text}"`, () =>
      assert.equal(matchesGlob(pattern, text), want));
  }

  it('takes linear time on a pattern made to explode', () => {
    const started = performance.now();
    assert.equal(matchesGlob('*a'.repeat(100), 'a'.repeat(400)), true);
    assert.equal(matchesGlob(`${'*a'.repeat(100)}b`, 'a'.repeat(400)), false);
    assert.ok(performance.now() - started < 1000);
  });

  it('refuses an unfinished class', () => {
    assert.throws(() => matchesGlob('[a', 'a'), /syntax error in pattern/);
  });
});

describe('names', () => {
  it('joinReference takes a tag or a digest from its own parameter', () => {
    assert.equal(joinReference('demo', 'v1').tag, 'v1');
    assert.equal(joinReference('demo:old', 'v1').tag, 'v1');
    assert.equal(joinReference('demo', digestOf('x')).digest, digestOf('x'));
    assert.throws(() => joinReference('demo', 'b:d'), { message: 'invalid tag format' });
    assert.throws(() => joinReference('UPPER', 'x'), /must be lowercase/);
  });

  it('noLocalTag names the command that is missing', () => {
    const error = noLocalTag(parseReference('cynthia/demo:v1'), IMAGES, new Date(2000 + 3 * 60_000));
    assert.equal(error.message, 'An image does not exist locally with the tag: cynthia/demo');
    assert.equal(error.help?.id, 'push/no-local-tag');
    assert.match(error.help?.cause ?? '', /^it is here as demo:v1 \(tagged 3 minutes ago, [0-9a-f]{12}\)$/);
    assert.deepEqual(error.help?.fix, ['docker tag demo:v1 cynthia/demo:v1 && docker push cynthia/demo:v1']);
  });

  it('noLocalTag tells a missing tag from a missing repository', () => {
    assert.equal(
      noLocalTag(parseReference('demo:v9'), IMAGES, new Date(0)).message,
      'tag does not exist: demo:v9',
    );
  });
});

describe('createRegistrySearch', () => {
  it('asks the host a term begins with, and tells why it fails', async () => {
    const asked: string[] = [];
    const server = createServer((request, response) => {
      asked.push(request.url ?? '');
      response.statusCode = request.url?.includes('none') ? 404 : 200;
      response.end(
        JSON.stringify({ results: [{ name: 'library/debian', star_count: 3, is_official: true }] }),
      );
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const { port } = server.address() as AddressInfo;
    const search = createRegistrySearch({ userAgent: 'test' });
    const options = { limit: 5, credentials: undefined, signal: new AbortController().signal };
    const hits = await search(`127.0.0.1:${port}/deb`, options);
    assert.deepEqual(hits, [
      { name: 'library/debian', description: '', stars: 3, official: true, automated: false },
    ]);
    assert.deepEqual(asked, ['/v1/search?q=deb&n=5']);
    await assert.rejects(search(`127.0.0.1:${port}/none`, options), /this registry has no search/);
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
    await assert.rejects(search(`127.0.0.1:${port}/x`, options), { code: 'unavailable' });
  });
});
