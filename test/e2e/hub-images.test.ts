/** What the hub says about images of every kind that were pushed to it. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { digestOf } from '#oci/digest/index.ts';
import { makeRootfsTar, NEEDS_BUSYBOX } from '../support/busybox.ts';
import { ADMIN, startHub, type TestHub } from '../support/hub.ts';
import { HubPusher } from '../support/hub-push.ts';
import { file, folder, tarOf } from '../support/layer-tar.ts';

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const skip = NEEDS_BUSYBOX;
let hub: TestHub;
let pusher: HubPusher;
let cookie: string;

before(async () => {
  hub = await startHub();
  cookie = await hub.signIn(ADMIN.username, ADMIN.password);
  pusher = new HubPusher(hub.url, ADMIN.username, ADMIN.password);
});
after(() => hub.dispose());

const get = async (path: string) => {
  const answer = await hub.api('GET', path, { cookie });
  assert.equal(answer.status, 200, path);
  return answer.body;
};

test('an index shows its platforms and not its attestations', {
  skip,
}, async () => {
  const layers = [makeRootfsTar()];
  const amd = await pusher.pushImage('admin/multi', undefined, { layers });
  const arm = await pusher.pushImage('admin/multi', undefined, { layers, architecture: 'arm64' });
  const proof = await pusher.pushImage('admin/multi', undefined, { layers, architecture: 'unknown' });
  await pusher.pushIndex('admin/multi', 'v1', [
    { ...amd, platform: { os: 'linux', architecture: 'amd64' } },
    { ...arm, platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } },
    { ...proof, platform: { os: 'unknown', architecture: 'unknown' } },
  ]);
  const image = await get('/api/image/admin/multi?reference=v1');
  const platforms = image.images.map((each: { platform: string }) => each.platform);
  assert.equal(platforms.length, 2);
  assert.match(platforms[0], /^linux\/amd64/);
  assert.match(platforms[1], /^linux\/arm64/);
  const [tag] = (await get('/api/tags/admin/multi')).tags;
  assert.deepEqual([tag.name, tag.platforms, tag.pushedBy], ['v1', platforms, 'admin']);
});

test('layers stand beside the instructions that made them; a history that does not fit is not guessed at', {
  skip,
}, async () => {
  const layers = [makeRootfsTar(), makeRootfsTar({ 'etc/x': 'x' })];
  const history = [
    { created_by: 'ADD one' },
    { created_by: 'ENV A=1', empty_layer: true },
    { created_by: 'RUN two' },
  ];
  await pusher.pushImage('admin/history', 'full', {
    layers,
    history,
    config: { Env: ['A=1'] },
    author: 'me',
  });
  await pusher.pushImage('admin/history', 'short', { layers, history: history.slice(0, 2) });
  await pusher.pushImage('admin/history', 'none', { layers });
  const full = (await get('/api/image/admin/history?reference=full')).images[0];
  const shown = (image: { layers: { command: string; digest: string | null }[] }) =>
    image.layers.map(({ command, digest }) => [command, digest !== null]);
  assert.deepEqual(shown(full), [
    ['ADD one', true],
    ['ENV A=1', false],
    ['RUN two', true],
  ]);
  assert.deepEqual([full.artifactType, full.author, full.config.env], [null, 'me', ['A=1']]);
  for (const tag of ['short', 'none'])
    assert.deepEqual(shown((await get(`/api/image/admin/history?reference=${tag}`)).images[0]), [
      ['', true],
      ['', true],
    ]);
});

test('an artifact is shown as what it says it is, and what refers to an image is listed', {
  skip,
}, async () => {
  const image = await pusher.pushImage('admin/artifacts', 'v1', { layers: [makeRootfsTar()] });
  const config = await pusher.pushBlob(
    'admin/artifacts',
    Buffer.from('{}'),
    'application/vnd.cncf.helm.config.v1+json',
  );
  const layer = { ...config, annotations: { 'org.opencontainers.image.title': 'chart.tgz' } };
  const manifest = { schemaVersion: 2, mediaType: MANIFEST, config, layers: [layer] };
  await pusher.pushManifest('admin/artifacts', 'chart', manifest);
  await pusher.pushManifest('admin/artifacts', undefined, {
    ...manifest,
    artifactType: 'application/x-proof',
    subject: image,
  });
  const [chart] = (await get('/api/image/admin/artifacts?reference=chart')).images;
  assert.deepEqual(
    [chart.artifactType, chart.platform, chart.layers[0].title],
    [config.mediaType, '', 'chart.tgz'],
  );
  const { referrers } = await get('/api/image/admin/artifacts?reference=v1');
  assert.deepEqual(
    referrers.map((each: { artifactType: string }) => each.artifactType),
    ['application/x-proof'],
  );
});

test('tags are found by part of their name', { skip }, async () => {
  const layers = [makeRootfsTar()];
  for (const tag of ['v1', 'v2', 'latest']) await pusher.pushImage('admin/files', tag, { layers });
  const list = async (text: string) => {
    const { tags } = await get(`/api/tags/admin/files?q=${text}`);
    return tags.map((tag: { name: string }) => tag.name).sort();
  };
  assert.deepEqual(await list('v'), ['v1', 'v2']);
  assert.deepEqual(await list('%25'), [], 'no patterns');
  assert.equal((await hub.api('GET', '/api/image/admin/files?reference=nosuch', { cookie })).status, 404);
});

/** Asks until the layers have been read. */
async function getRead(path: string) {
  for (let tries = 0; tries < 100; tries++) {
    const answer = await get(path);
    if (answer.state !== 'indexing') return answer;
    await sleep(100);
  }
  return assert.fail('the layers were not read in time');
}

const base = tarOf(folder('etc'), file('etc/os', 'base\n'), file('cache/big', 'x'.repeat(5000)));
const app = tarOf(
  file('cache/.wh.big', ''),
  file('app/main.py', 'print(1)\n', { uid: 1000, gid: 1000, mode: 0o640 }),
);

test('files are shown merged and by layer, found, and read; what is no layer of the image is not', async () => {
  const { digest } = await pusher.pushImage('admin/tree', 'v1', { layers: [base, app] });
  const at = (query: string) => getRead(`/api/tree/admin/tree?image=${digest}${query}`);
  const lines = (listing: { entries: { path: string; type: string; layer: number }[] }) =>
    listing.entries.map(({ path, type, layer }) => `${path} ${type} ${layer}`);
  assert.deepEqual(lines(await at('')), ['app d 1', 'cache d 0', 'etc d 0']);
  assert.deepEqual(lines(await at('&path=cache')), []);
  assert.deepEqual(lines(await at('&path=cache&layer=0')), ['cache/big f 0']);
  assert.deepEqual(lines(await at('&path=cache&layer=1')), ['cache/big w 1']);
  assert.deepEqual(lines(await at('&q=MAIN')), ['app/main.py f 1']);
  const [main] = (await at('&path=app')).entries;
  assert.deepEqual([main.mode, main.uid, main.gid, main.sizeBytes], [0o640, 1000, 1000, 9]);
  const { text } = await get(`/api/file/admin/tree?image=${digest}&path=app/main.py`);
  assert.equal(text, 'print(1)\n');
  const waste = await getRead(`/api/waste/admin/tree?image=${digest}`);
  assert.deepEqual([waste.wastedBytes, waste.layers[0].paths[0].path], [5000, 'cache/big']);
  const status = async (path: string) => (await hub.api('GET', path, { cookie })).status;
  for (const [path, wanted] of [
    [`/api/tree/admin/tree?image=${digest}&path=nosuch`, 404],
    [`/api/tree/admin/tree?image=${digest}&layer=9`, 404],
    [`/api/tree/admin/tree?image=${digest}&layer=../1`, 422],
    ['/api/tree/admin/tree?image=latest', 422],
    [`/api/tree/admin/tree?image=${digest.replace(/.{4}$/, '0000')}`, 404],
    [`/api/file/admin/tree?image=${digest}&path=cache/big`, 404],
    [`/api/file/admin/tree?image=${digest}&path=../../../etc/passwd`, 404],
    [`/api/file/admin/tree?image=${digest}&path=etc`, 422],
    [`/api/document/admin/tree?digest=${digest.replace(/.{4}$/, '0000')}`, 404],
  ] as const)
    assert.equal(await status(path), wanted, path);
});

test('a private repository shows nothing of its images to strangers and guests', async () => {
  const { digest } = await pusher.pushImage('admin/secret', 'v1', { layers: [base, app] });
  await getRead(`/api/tree/admin/secret?image=${digest}`);
  await get(`/api/file/admin/secret?image=${digest}&path=app/main.py`);
  const body = { username: 'mallory', email: 'm@example.org', password: 'a long password' };
  await hub.api('POST', '/api/signup', { body });
  const stranger = await hub.signIn('mallory', body.password);
  const paths = [
    `/api/image/admin/secret?reference=v1`,
    `/api/tree/admin/secret?image=${digest}`,
    `/api/tree/admin/secret?image=${digest}&q=main`,
    `/api/file/admin/secret?image=${digest}&path=app/main.py`,
    `/api/waste/admin/secret?image=${digest}`,
    `/api/dockerfile/admin/secret?image=${digest}`,
    `/api/attached/admin/secret?image=${digest}`,
    `/api/document/admin/secret?digest=${digest}`,
    `/api/family/admin/secret?image=${digest}`,
  ];
  for (const path of paths) {
    for (const headers of [{}, { cookie: stranger }]) {
      const answer = await hub.api('GET', path, headers);
      assert.deepEqual([answer.status, answer.body.error.code], [404, 'page/no-repository'], path);
    }
  }
  const settings = { visibility: 'public', confirm: 'admin/secret' };
  await hub.api('PATCH', '/api/repositories/admin/secret', { cookie, body: settings });
  for (const path of paths)
    assert.equal((await hub.api('GET', path)).status, 200, `${path}, once it is public`);
  await hub.api('PATCH', '/api/repositories/admin/secret', {
    cookie,
    body: { ...settings, visibility: 'private' },
  });
  assert.equal(
    (await hub.api('GET', paths[3] ?? '')).status,
    404,
    'what was read before is not kept for guests',
  );
  // Who has a digest has not got what is under it: the manifest is not in the stranger's own repository.
  const own = new HubPusher(hub.url, 'mallory', body.password);
  await own.pushImage('mallory/own', 'v1', { layers: [tarOf(file('x'))] });
  const answer = await hub.api('GET', `/api/tree/mallory/own?image=${digest}`, { cookie: stranger });
  assert.equal(answer.status, 404);
});

test('an image names what it builds on and what builds on it, as far as the viewer may see it', async () => {
  const publish = (name: string) =>
    hub.api('PATCH', `/api/repositories/admin/${name}`, {
      cookie,
      body: { visibility: 'public', confirm: `admin/${name}` },
    });
  const other = (name: string) => tarOf(file(name, name));
  const root = tarOf(file('root', 'of the family'));
  const layers = [root, other('middle')];
  await pusher.pushImage('library/root', 'slim', { layers: [root] });
  const middle = await pusher.pushImage('admin/middle', 'v1', { layers });
  await pusher.pushImage('admin/open-child', 'v1', { layers: [...layers, other('open')] });
  await pusher.pushImage('admin/secret-child', 'v1', { layers: [...layers, other('secret')] });
  await pusher.pushImage('admin/unrelated', 'v1', { layers: [other('middle'), root] });
  await pusher.pushImage('admin/twin', 'v1', { layers, config: { Env: ['A=1'] } });
  for (const name of ['middle', 'open-child']) assert.equal((await publish(name)).status, 200, name);
  type Related = { repository: string; tags: string[]; sharedLayers: number };
  const short = (list: Related[]) => list.map(({ repository, tags }) => `${repository}:${tags}`).sort();
  const path = `/api/family/admin/middle?image=${middle.digest}`;
  const mine = await get(path);
  assert.deepEqual(short(mine.uses), ['library/root:slim']);
  assert.deepEqual(short(mine.usedBy), ['admin/open-child:v1', 'admin/secret-child:v1']);
  assert.deepEqual(short(mine.twins), ['admin/twin:v1']);
  const guest = (await hub.api('GET', path)).body;
  assert.deepEqual([short(guest.usedBy), guest.twins], [['admin/open-child:v1'], []]);
  assert.doesNotMatch(JSON.stringify(guest), /secret-child|admin\/twin/);
  // The base of a reconstructed Dockerfile is a leak like any other.
  const hidden = await pusher.pushImage('admin/hidden-base', 'v1', { layers: [other('hidden')] });
  const shown = await pusher.pushImage('admin/on-hidden', 'v1', {
    layers: [other('hidden'), other('y')],
    history: [{ created_by: 'ADD hidden' }, { created_by: 'RUN /bin/sh -c make # buildkit' }],
  });
  assert.equal((await publish('on-hidden')).status, 200);
  const dockerfile = `/api/dockerfile/admin/on-hidden?image=${shown.digest}`;
  const text = (answer: { lines: { text: string }[] }) => answer.lines.map((line) => line.text);
  assert.deepEqual(text(await get(dockerfile)), [`FROM ${hub.host}/admin/hidden-base:v1`, 'RUN make']);
  const seen = (await hub.api('GET', dockerfile)).body;
  assert.deepEqual(text(seen), ['FROM scratch', 'ADD hidden', 'RUN make']);
  assert.equal(seen.kind, 'reconstructed');
  // What is deleted is no relative any more.
  const gone = await hub.api('DELETE', '/api/repositories/admin/hidden-base', {
    cookie,
    body: { confirm: 'admin/hidden-base' },
  });
  assert.equal(gone.status, 200, hidden.digest);
  assert.deepEqual(text(await get(dockerfile)), ['FROM scratch', 'ADD hidden', 'RUN make']);
});

test('the Dockerfile that came with an image is told from one that was read off its history', async () => {
  const layers = [tarOf(file('d', 'dockerfile'))];
  const history = [{ created_by: `/bin/sh -c #(nop) ADD file:${'0a'.repeat(32)} in / ` }];
  const read = async (repository: string, digest: string, index = '') => {
    const query = `image=${digest}&index=${index}`;
    const { kind, source, lines, gaps } = await get(`/api/dockerfile/${repository}?${query}`);
    return { kind, source, gaps, text: lines.map((line: { text: string }) => line.text).join('\n') };
  };
  const plain = await pusher.pushImage('admin/docker', 'plain', { layers, history });
  const first = await read('admin/docker', plain.digest);
  assert.deepEqual([first.kind, first.text], ['reconstructed', 'FROM scratch\nADD file:0a0a0a0a0a0a /']);
  assert.equal(first.gaps.length, 2);

  const none = await pusher.pushImage('admin/docker', 'none', { layers });
  assert.equal((await read('admin/docker', none.digest)).kind, 'none');

  const label = 'FROM scratch\nADD rootfs.tar /\n';
  const labelled = await pusher.pushImage('admin/docker', 'label', {
    layers,
    history,
    config: { Labels: { 'slipway.dockerfile': label } },
  });
  const second = await read('admin/docker', labelled.digest);
  assert.deepEqual([second.kind, `${second.text}\n`], ['carried', label]);
  assert.match(second.source, /label slipway\.dockerfile/);

  const blob = await pusher.pushBlob('admin/docker', Buffer.from('FROM attached\n'), 'text/plain');
  const config = await pusher.pushBlob(
    'admin/docker',
    Buffer.from('{}'),
    'application/vnd.oci.empty.v1+json',
  );
  await pusher.pushManifest('admin/docker', undefined, {
    schemaVersion: 2,
    mediaType: MANIFEST,
    artifactType: 'application/x-source',
    config,
    layers: [{ ...blob, annotations: { 'org.opencontainers.image.title': 'Dockerfile' } }],
    subject: plain,
  });
  assert.equal((await read('admin/docker', plain.digest)).text, 'FROM attached');

  const data = Buffer.from('FROM provenance\n').toString('base64');
  const statement = {
    predicateType: 'https://slsa.dev/provenance/v0.2',
    predicate: {
      metadata: {
        'https://mobyproject.org/buildkit@v1#metadata': {
          source: { infos: [{ filename: 'Dockerfile', data }] },
        },
      },
    },
  };
  const proof = await pusher.pushBlob(
    'admin/docker',
    Buffer.from(JSON.stringify(statement)),
    'application/vnd.in-toto+json',
  );
  const annotations = { 'in-toto.io/predicate-type': statement.predicateType };
  const attestation = await pusher.pushManifest('admin/docker', undefined, {
    schemaVersion: 2,
    mediaType: MANIFEST,
    config,
    layers: [{ ...proof, annotations }],
  });
  const index = await pusher.pushIndex('admin/docker', 'multi', [
    { ...none, platform: { os: 'linux', architecture: 'amd64' } },
    {
      ...attestation,
      platform: { os: 'unknown', architecture: 'unknown' },
      annotations: {
        'vnd.docker.reference.type': 'attestation-manifest',
        'vnd.docker.reference.digest': none.digest,
      },
    },
  ]);
  assert.equal((await read('admin/docker', none.digest, index.digest)).text, 'FROM provenance');
  const [beside] = await get(`/api/attached/admin/docker?image=${none.digest}&index=${index.digest}`);
  assert.deepEqual([beside.via, beside.kind, beside.blobs[0].kind], ['index', 'provenance', 'provenance']);
  const document = await get(`/api/document/admin/docker?digest=${proof.digest}`);
  assert.deepEqual(JSON.parse(document.text), statement);
});

test('what is attached to an image is listed with its kind, and shown as text', async () => {
  const image = await pusher.pushImage('admin/attached', 'v1', { layers: [tarOf(file('a', 'attached'))] });
  const config = await pusher.pushBlob(
    'admin/attached',
    Buffer.from('{}'),
    'application/vnd.oci.empty.v1+json',
  );
  const attach = async (artifactType: string, content: Buffer, mediaType: string) => {
    const blob = await pusher.pushBlob('admin/attached', content, mediaType);
    const manifest = {
      schemaVersion: 2,
      mediaType: MANIFEST,
      artifactType,
      config,
      layers: [blob],
      subject: image,
    };
    await pusher.pushManifest('admin/attached', undefined, manifest);
    return blob;
  };
  assert.deepEqual(await get(`/api/attached/admin/attached?image=${image.digest}`), []);
  const payload = Buffer.from('{"predicateType":"https://slsa.dev/provenance/v1"}').toString('base64');
  const signed = await attach(
    'application/vnd.dev.sigstore.bundle.v0.3+json',
    Buffer.from(JSON.stringify({ payload, signatures: [] })),
    'application/vnd.dsse.envelope.v1+json',
  );
  const binary = await attach('application/x-thing', Buffer.from([0, 1, 2]), 'application/octet-stream');
  await attach('application/spdx+json', Buffer.from('{"spdxVersion":"2"}'), 'application/spdx+json');
  const list = await get(`/api/attached/admin/attached?image=${image.digest}`);
  assert.deepEqual(list.map((each: { kind: string }) => each.kind).sort(), ['other', 'sbom', 'signature']);
  const tag = `${image.digest.replace(':', '-')}.sig`;
  const tagged = { schemaVersion: 2, mediaType: MANIFEST, config, layers: [] };
  await pusher.pushManifest('admin/attached', tag, tagged);
  const more = await get(`/api/attached/admin/attached?image=${image.digest}`);
  assert.deepEqual(
    more.filter((each: { via: string }) => each.via === 'tag').map((each: { kind: string }) => each.kind),
    ['signature'],
  );
  const shown = await get(`/api/document/admin/attached?digest=${signed.digest}`);
  assert.match(shown.payload, /"predicateType": "https:\/\/slsa\.dev\/provenance\/v1"/);
  assert.equal((await get(`/api/document/admin/attached?digest=${binary.digest}`)).text, null);
});

test('documents with anything in their fields are shown as far as they make sense, and break nothing', async () => {
  const layers = [tarOf(file('a', 'loose'))];
  const diffIds = layers.map((layer) => digestOf(layer));
  const broken = {
    os: { no: 'system' },
    architecture: 5,
    created: 7,
    author: ['x'],
    rootfs: { type: 'layers', diff_ids: diffIds },
    config: {
      Env: 'A=1',
      Cmd: { a: 1 },
      Labels: ['x'],
      User: 9,
      ExposedPorts: 'x',
      Healthcheck: { Test: 'x' },
      Shell: [1],
    },
    history: [null, 5, { created_by: { a: 1 }, created: [] }, 'x'],
  };
  const config = await pusher.pushBlob(
    'admin/loose',
    Buffer.from(JSON.stringify(broken)),
    'application/vnd.oci.image.config.v1+json',
  );
  const layer = await pusher.pushBlob(
    'admin/loose',
    gzipSync(layers[0] ?? ''),
    'application/vnd.oci.image.layer.v1.tar+gzip',
  );
  const annotations = { 'org.opencontainers.image.title': { x: 1 }, 'slipway.dockerfile': [1] };
  const manifest = {
    schemaVersion: 2,
    mediaType: MANIFEST,
    config,
    layers: [{ ...layer, annotations }],
  };
  const image = await pusher.pushManifest('admin/loose', 'v1', manifest);
  await pusher.pushIndex('admin/loose', 'multi', [
    { ...image, platform: { os: ['x'], architecture: { y: 1 } } },
    { ...image, platform: 'linux', annotations: 'none' },
  ]);
  await pusher.pushManifest('admin/loose', undefined, {
    ...manifest,
    artifactType: { a: 1 },
    subject: image,
  });
  const query = `image=${image.digest}`;
  for (const reference of ['v1', 'multi']) {
    const [shown] = (await get(`/api/image/admin/loose?reference=${reference}`)).images;
    assert.deepEqual(
      [shown.config.env, shown.config.cmd, shown.config.user, shown.author, shown.layers[0].title],
      [[], [], '', '', ''],
    );
    assert.equal(typeof shown.platform, 'string');
  }
  assert.equal((await getRead(`/api/tree/admin/loose?${query}`)).total, 1);
  assert.equal((await get(`/api/dockerfile/admin/loose?${query}`)).kind, 'reconstructed');
  for (const each of await get(`/api/attached/admin/loose?${query}`))
    assert.equal(typeof each.artifactType, 'string');
  await get(`/api/family/admin/loose?${query}`);
  await get('/api/tags/admin/loose');
});
