/** What the hub says about images of every kind that were pushed to it. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { makeRootfsTar, NEEDS_BUSYBOX } from '../support/busybox.ts';
import { ADMIN, startHub, type TestHub } from '../support/hub.ts';
import { HubPusher } from '../support/hub-push.ts';

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

test('tags are found by part of their name, and files of a layer only in its own repository', {
  skip,
}, async () => {
  const layers = [makeRootfsTar({ 'etc/.wh.gone': '' })];
  for (const tag of ['v1', 'v2', 'latest']) await pusher.pushImage('admin/files', tag, { layers });
  const names = (await get('/api/tags/admin/files?q=v')).tags.map((tag: { name: string }) => tag.name);
  assert.deepEqual(names.sort(), ['v1', 'v2']);
  assert.equal((await get('/api/tags/admin/files?q=%25')).total, 0, 'no patterns');
  const { digest } = (await get('/api/image/admin/files?reference=v1')).images[0].layers[0];
  const files = (await get(`/api/files/admin/files?digest=${digest}`)).files.map((file: string[]) =>
    file.slice(0, 2).join(' '),
  );
  for (const line of ['etc/gone w', 'bin/busybox f', 'bin/sh l', 'etc d'])
    assert.ok(files.includes(line), line);
  const status = async (path: string) => (await hub.api('GET', path, { cookie })).status;
  assert.equal(await status(`/api/files/admin/multi?digest=${digest.replace(/.$/, '0')}`), 404);
  assert.equal(await status('/api/files/admin/files?digest=../../etc/passwd'), 422);
  assert.equal(await status('/api/image/admin/files?reference=nosuch'), 404);
});
