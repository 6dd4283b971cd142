import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { findProgram } from '#base/bytes/index.ts';
import { readTar, writeTar } from '#base/tar/index.ts';
import { type DiffId, digestOf, hexOf } from '#oci/digest/index.ts';
import { MEDIA } from '#oci/manifest/index.ts';
import { formatFamiliar, parseReference } from '#oci/reference/index.ts';
import type { Store } from '#store/root/index.ts';
import {
  dockerArchive,
  gather,
  load,
  makeConfig,
  makeLayer,
  member,
  withArchives,
} from '../../../test/support/archive.ts';
import { NEEDS_ROOT } from '../../../test/support/store.ts';
import type { ArchiveProgress } from './types.ts';

const options = { skip: NEEDS_ROOT };

function readRoot(store: Store, chainId: string | undefined, body: (root: string) => void): void {
  const target = join(store.root, '../view');
  store.snapshots.mountViewAt(chainId, target);
  try {
    body(target);
  } finally {
    store.snapshots.unmount(target);
  }
}

test('an image comes back from its archive with the same id, names and files', options, () =>
  withArchives(async (store, dir) => {
    const layers = [await makeLayer('a', 'base'), await makeLayer('b', Buffer.alloc(700_000, 'b'))];
    const progress: ArchiveProgress[] = [];
    const [loaded] = await store.archives.loadImages(
      writeTar(await dockerArchive(layers, ['app:v1', 'app:v2'])),
      {
        onProgress: (step) => progress.push(step),
      },
    );
    assert.equal(loaded?.id, digestOf(makeConfig(layers)));
    assert.deepEqual(loaded?.references.map(formatFamiliar), ['app:v1', 'app:v2']);
    assert.ok(
      progress.some(
        ({ status, id }) =>
          status === 'Loading layer' && id === hexOf(digestOf(layers[1] as Buffer)).slice(0, 12),
      ),
    );
    const image = store.images.getImage('app:v2');
    const path = join(dir, 'saved.tar');
    await pipeline(
      Readable.from(store.archives.saveImages([{ image, references: image.references }])),
      createWriteStream(path),
    );
    await withArchives(async (other) => {
      const again = await other.archives.loadImages(createReadStream(path));
      assert.deepEqual(again, [loaded]);
      readRoot(other, other.images.getImage('app:v1').chainId, (root) => {
        assert.equal(readFileSync(join(root, 'a'), 'utf8'), 'base');
        assert.equal(readFileSync(join(root, 'b'), 'utf8').length, 700_000);
      });
    });
  }),
);

test('a saved archive is a Docker archive and an OCI layout, with shared layers once', options, () =>
  withArchives(async (store) => {
    const [base, top] = [await makeLayer('a', 'base'), await makeLayer('b', 'top')];
    await load(store, await dockerArchive([base], ['base:latest']));
    await load(store, await dockerArchive([base, top], ['app:v1', 'localhost:5000/team/app:v2']));
    const [small, large] = [store.images.getImage('base'), store.images.getImage('app:v1')];
    const found = new Map<string, Buffer>();
    const saved = [
      { image: large, references: [parseReference('app:v1')] },
      { image: small, references: [] },
      { image: large, references: [parseReference('localhost:5000/team/app:v2')] },
    ];
    for await (const entry of readTar(store.archives.saveImages(saved))) {
      assert.equal(found.has(entry.path), false, entry.path);
      found.set(entry.path, await gather(entry.body));
    }
    const json = (path: string): unknown => JSON.parse(String(found.get(path)));
    const blob = (digest: string): string => `blobs/${digest.replace(':', '/')}`;
    const [baseId, topId] = [digestOf(base), digestOf(top)];
    const docker = json('manifest.json') as { Config: string; RepoTags: string[] | null; Layers: string[] }[];
    assert.deepEqual(
      docker.map(({ Config, RepoTags, Layers }) => ({ Config, RepoTags, Layers })),
      [
        {
          Config: blob(large.id),
          RepoTags: ['app:v1', 'localhost:5000/team/app:v2'],
          Layers: [blob(baseId), blob(topId)],
        },
        { Config: blob(small.id), RepoTags: null, Layers: [blob(baseId)] },
      ],
    );
    assert.deepEqual(json('repositories'), {
      app: { v1: hexOf(topId) },
      'localhost:5000/team/app': { v2: hexOf(topId) },
    });
    assert.deepEqual(json('oci-layout'), { imageLayoutVersion: '1.0.0' });
    const index = json('index.json') as {
      manifests: { digest: string; size: number; annotations?: object }[];
    };
    assert.deepEqual(
      index.manifests.map(({ annotations }) => annotations),
      [
        { 'io.containerd.image.name': 'docker.io/library/app:v1', 'org.opencontainers.image.ref.name': 'v1' },
        {
          'io.containerd.image.name': 'localhost:5000/team/app:v2',
          'org.opencontainers.image.ref.name': 'v2',
        },
        undefined,
      ],
    );
    for (const [path, bytes] of found) {
      if (path.startsWith('blobs/sha256/') && !path.endsWith('/')) assert.equal(blob(digestOf(bytes)), path);
    }
  }),
);

test('images that share no tag are told by id; renamed ones are told', options, () =>
  withArchives(async (store) => {
    const first = await load(store, await dockerArchive([await makeLayer('a', 'one')], null));
    assert.deepEqual(first[0]?.references, []);
    await load(store, await dockerArchive([await makeLayer('a', 'two')]));
    const progress: ArchiveProgress[] = [];
    const before = store.images.getImage('app:v1').id;
    await store.archives.loadImages(writeTar(await dockerArchive([await makeLayer('a', 'three')])), {
      onProgress: (step) => progress.push(step),
    });
    const text = `The image app:v1 already exists, renaming the old one with ID ${before} to empty string`;
    assert.ok(progress.some(({ status }) => status === text));
  }),
);

test(
  'archives compressed by gzip, zstd, xz and bzip2 are loaded, and so are compressed layers',
  options,
  (t) =>
    withArchives(async (store, dir) => {
      const path = join(dir, 'archive.tar');
      writeFileSync(path, await gather(writeTar(await dockerArchive([await makeLayer('a', 'x')]))));
      for (const program of ['gzip', 'zstd', 'xz', 'bzip2']) {
        if (findProgram(program) === undefined) {
          t.diagnostic(`${program} is not installed`);
          continue;
        }
        const bytes = execFileSync(program, ['-c', path]);
        const [loaded] = await store.archives.loadImages(Readable.from([bytes]));
        assert.equal(loaded?.id, store.images.getImage('app:v1').id, program);
        const layer = await makeLayer('a', `compressed by ${program}`);
        writeFileSync(join(dir, 'layer'), layer);
        const packed = execFileSync(program, ['-c', join(dir, 'layer')]);
        const entries = await dockerArchive([layer], [`packed:${program}`]);
        await load(store, [member('layer-0/layer.tar', packed), ...entries.slice(1)]);
        const { layers } = store.images.getImage(`packed:${program}`);
        assert.deepEqual(await gather(store.images.openLayerTar(layers[0]?.diffId as DiffId)), layer);
      }
    }),
);

test(
  'old archives with links instead of repeated layers, and those before manifest.json, are loaded',
  options,
  () =>
    withArchives(async (store) => {
      const layer = await makeLayer('a', 'shared');
      const config = makeConfig([layer, layer]);
      const paths = ['one/layer.tar', 'two/layer.tar'];
      await load(store, [
        member('one/layer.tar', layer),
        { header: { path: 'two/layer.tar', type: 'symlink', mode: 0o777, linkTarget: '../one/layer.tar' } },
        member('config.json', config),
        member('manifest.json', [{ Config: 'config.json', RepoTags: ['linked:1'], Layers: paths }]),
      ]);
      assert.equal(store.images.getImage('linked:1').layers.length, 2);

      const [base, top] = ['a'.repeat(64), 'b'.repeat(64)];
      const [loaded] = await load(store, [
        member(`${base}/json`, {
          id: base,
          created: '2015-01-01T00:00:00Z',
          os: 'linux',
          architecture: 'amd64',
        }),
        member(`${base}/layer.tar`, await makeLayer('old', 'base')),
        member(`${top}/json`, {
          id: top,
          parent: base,
          config: { Cmd: ['/old'] },
          container_config: { Cmd: ['/bin/sh', '-c', 'x'] },
        }),
        member(`${top}/layer.tar`, await makeLayer('new', 'top')),
        member('repositories', { legacy: { v1: top } }),
      ]);
      const image = store.images.getImage('legacy:v1');
      assert.equal(image.id, loaded?.id);
      assert.deepEqual(image.config.config?.Cmd, ['/old']);
      assert.equal(image.config.history?.[1]?.created_by, '/bin/sh -c x');
      readRoot(store, image.chainId, (root) => assert.deepEqual(readdirSync(root).sort(), ['new', 'old']));
    }),
);

test('an OCI layout is loaded: the best platform, names by annotation, compressed blobs kept', options, () =>
  withArchives(async (store) => {
    const layer = await makeLayer('a', 'oci');
    const packed = gzipSync(layer);
    const blobs = new Map<string, Buffer>();
    const add = (bytes: Buffer, mediaType: string, extra: object = {}): object => {
      blobs.set(`blobs/sha256/${hexOf(digestOf(bytes))}`, bytes);
      return { mediaType, digest: digestOf(bytes), size: bytes.length, ...extra };
    };
    const manifestFor = (platform: { os: string; architecture: string }): object => {
      const config = add(makeConfig([layer], { architecture: platform.architecture }), MEDIA.ociConfig);
      const manifest = {
        schemaVersion: 2,
        mediaType: MEDIA.ociManifest,
        config,
        layers: [add(packed, MEDIA.ociLayerGzip)],
      };
      return add(Buffer.from(JSON.stringify(manifest)), MEDIA.ociManifest, { platform });
    };
    const manifests = ['s390x', 'amd64'].map((architecture) => manifestFor({ os: 'linux', architecture }));
    const inner = add(
      Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests })),
      MEDIA.ociIndex,
      {
        annotations: {
          'io.containerd.image.name': 'docker.io/team/app:v3',
          'org.opencontainers.image.ref.name': 'v3',
        },
      },
    );
    const entries = [
      member('oci-layout', { imageLayoutVersion: '1.0.0' }),
      member('index.json', { schemaVersion: 2, manifests: [inner] }),
      ...[...blobs].map(([path, bytes]) => member(path, bytes)),
    ];
    const platform = { os: 'linux', architecture: 'amd64' };
    const loaded = await store.archives.loadImages(writeTar(entries), { platform });
    assert.deepEqual(
      loaded.map(({ references }) => references.map(formatFamiliar)),
      [['team/app:v3']],
    );
    const image = store.images.getImage('team/app:v3');
    assert.equal(image.config.architecture, 'amd64');
    assert.deepEqual(store.images.listLayerBlobs(digestOf(layer) as DiffId), [
      { digest: digestOf(packed), mediaType: MEDIA.ociLayerGzip, size: packed.length },
    ]);
    assert.equal(store.images.listManifests(image.id).length, 1);
    assert.deepEqual(await gather(store.images.openLayerTar(digestOf(layer) as DiffId)), layer);
  }),
);

test(
  'skopeo reads what we save, we read what skopeo writes',
  { skip: NEEDS_ROOT || (existsSync('/usr/bin/skopeo') ? false : 'skopeo is not installed') },
  () =>
    withArchives(async (store, dir) => {
      const layers = [await makeLayer('a', 'one'), await makeLayer('b', 'two')];
      const [loaded] = await load(store, await dockerArchive(layers));
      const image = store.images.getImage('app:v1');
      const path = join(dir, 'ours.tar');
      writeFileSync(path, await gather(store.archives.saveImages([{ image, references: image.references }])));
      const copy = (from: string, to: string): void => {
        execFileSync('skopeo', ['--insecure-policy', 'copy', '-q', from, to], {
          stdio: ['ignore', 'pipe', 'pipe'],
        });
      };
      copy(`docker-archive:${path}`, `docker-archive:${dir}/theirs.tar:app:again`);
      copy(`docker-archive:${path}`, `oci-archive:${dir}/oci.tar:app:oci`);
      mkdirSync(join(dir, 'layout'));
      execFileSync('tar', ['-xf', path, '-C', join(dir, 'layout')]);
      copy(`oci:${dir}/layout:v1`, `oci-archive:${dir}/oci2.tar:app:oci2`);
      for (const [file, tag] of [
        ['theirs.tar', 'again'],
        ['oci.tar', 'oci'],
        ['oci2.tar', 'oci2'],
      ] as const) {
        await withArchives(async (other) => {
          const [got] = await other.archives.loadImages(createReadStream(join(dir, file)));
          assert.deepEqual(got?.references.map(formatFamiliar), [`app:${tag}`], file);
          assert.deepEqual(
            other.images.getImage(`app:${tag}`).config.rootfs,
            store.images.getImage(loaded?.id as string).config.rootfs,
          );
        });
      }
    }),
);

test('a root file system is imported as one layer that can be saved again, and exported', options, () =>
  withArchives(async (store, dir) => {
    mkdirSync(join(dir, 'rootfs/etc'), { recursive: true });
    writeFileSync(join(dir, 'rootfs/etc/hostname'), 'box');
    const tar = execFileSync('tar', ['-C', join(dir, 'rootfs'), '-czf', '-', '.']);
    const id = await store.archives.importImage(Readable.from([tar]), {
      config: { Cmd: ['/bin/sh'] },
      comment: 'Imported from -',
      reference: parseReference('box:v1'),
      platform: { os: 'linux', architecture: 'arm64' },
    });
    const image = store.images.getImage('box:v1');
    assert.equal(image.id, id);
    assert.deepEqual(image.config.config, { Cmd: ['/bin/sh'] });
    assert.equal(image.config.architecture, 'arm64');
    assert.equal(image.config.history?.[0]?.comment, 'Imported from -');
    const layerTar = await gather(store.images.openLayerTar(image.layers[0]?.diffId as DiffId));
    assert.equal(layerTar.length, image.layers[0]?.tarSizeBytes);
    readRoot(store, image.chainId, (root) =>
      assert.equal(readFileSync(join(root, 'etc/hostname'), 'utf8'), 'box'),
    );
    const saved = await gather(store.archives.saveImages([{ image, references: image.references }]));
    await withArchives(async (other) => {
      await other.archives.loadImages(Readable.from([saved]));
      const { diffId } = other.images.getImage('box:v1').layers[0] as { diffId: DiffId };
      assert.deepEqual(other.images.listLayerBlobs(diffId), [], 'no second copy of what we packed ourselves');
      assert.deepEqual(await gather(other.images.openLayerTar(diffId)), layerTar);
    });
    const exported = join(dir, 'exported.tar');
    await pipeline(
      Readable.from(store.archives.exportTree(join(dir, 'rootfs'))),
      createWriteStream(exported),
    );
    assert.match(String(execFileSync('tar', ['-tf', exported])), /etc\/hostname/);
    await assert.rejects(
      store.archives.importImage(Readable.from([Buffer.from('no tar')]), { config: {}, comment: '' }),
      { code: 'invalid_argument' },
    );
    assert.deepEqual(store.snapshots.listActive(), []);
  }),
);

test('ensureLayerBlob compresses once, also for many callers at once', options, () =>
  withArchives(async (store) => {
    await load(store, await dockerArchive([await makeLayer('a', Buffer.alloc(400_000, 'z'))]));
    const { diffId } = store.images.getImage('app:v1').layers[0] as { diffId: DiffId };
    const descriptors = await Promise.all([1, 2, 3].map(() => store.images.ensureLayerBlob(diffId, 'gzip')));
    assert.equal(new Set(descriptors.map(({ digest }) => digest)).size, 1);
    assert.equal(descriptors[0]?.mediaType, MEDIA.dockerLayerGzip);
    assert.ok(store.content.findBlob(descriptors[0]?.digest as DiffId));
    assert.deepEqual(
      await store.images.ensureLayerBlob(diffId, 'zstd'),
      descriptors[0],
      'a held form is enough',
    );
  }),
);
