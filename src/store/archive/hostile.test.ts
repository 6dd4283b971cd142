import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { type TarInput, writeTar } from '#base/tar/index.ts';
import { digestOf, hexOf } from '#oci/digest/index.ts';
import { MEDIA } from '#oci/manifest/index.ts';
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

const options = { skip: NEEDS_ROOT };

async function refused(entries: Iterable<TarInput>, message: RegExp): Promise<void> {
  await withArchives(async (store) => {
    await assert.rejects(load(store, entries), { code: 'invalid_argument', message });
    assertEmpty(store);
  });
}

function assertEmpty(store: Store): void {
  assert.deepEqual([...store.images.listImages()], []);
  // What is in the trash is being unlinked already.
  const left = readdirSync(join(store.root, 'content/ingest')).filter((name) => !name.startsWith('trash-'));
  assert.deepEqual(left, []);
  assert.deepEqual(store.snapshots.listActive(), []);
  assert.deepEqual(store.db.all('SELECT * FROM snapshot_names'), []);
}

test('an archive whose second image is bad adds nothing of the first', options, async () => {
  const layer = await makeLayer('a', 'good');
  await refused(
    [
      member('layer.tar', layer),
      member('good.json', makeConfig([layer])),
      member('bad.json', makeConfig([Buffer.from('another')])),
      member('manifest.json', [
        { Config: 'good.json', RepoTags: ['good:1'], Layers: ['layer.tar'] },
        { Config: 'bad.json', RepoTags: ['bad:1'], Layers: ['missing.tar'] },
      ]),
    ],
    /"missing.tar" is missing/,
  );
  await withArchives(async (store) => {
    const entries = [
      member('layer.tar', layer),
      member('good.json', makeConfig([layer])),
      member('bad.json', makeConfig([layer, Buffer.from('another')])),
      member('manifest.json', [
        { Config: 'good.json', RepoTags: ['good:1'], Layers: ['layer.tar'] },
        { Config: 'bad.json', RepoTags: ['bad:1'], Layers: ['layer.tar', 'layer.tar'] },
      ]),
    ];
    await assert.rejects(load(store, entries), { code: 'data_loss' });
    assertEmpty(store);
  });
});

test('hostile archives are refused and leave nothing', options, async () => {
  const layer = await makeLayer('a', 'x');
  const whole = await dockerArchive([layer]);
  const without = (path: string): TarInput[] => whole.filter(({ header }) => header.path !== path);
  const special = (type: 'fifo' | 'char', path: string): TarInput => ({
    header: { path, type, mode: 0o644, deviceMajor: 1, deviceMinor: 5 },
  });
  const link = (path: string, linkTarget: string, type: 'symlink' | 'hardlink' = 'symlink'): TarInput => ({
    header: { path, type, mode: 0o777, linkTarget },
  });
  const [one, two] = ['1'.repeat(64), '2'.repeat(64)];
  const cases: readonly [string, TarInput[], RegExp][] = [
    [
      'layer is a fifo',
      [...without('layer-0/layer.tar'), special('fifo', 'layer-0/layer.tar')],
      /is a fifo, not a file/,
    ],
    [
      'layer is a device',
      [...without('layer-0/layer.tar'), special('char', 'layer-0/layer.tar')],
      /is a char, not a file/,
    ],
    [
      'layer is a link to the host',
      [...without('layer-0/layer.tar'), link('layer-0/layer.tar', '/etc/passwd')],
      /leads outside/,
    ],
    [
      'config climbs out',
      [...without('config.json'), link('config.json', '../../../etc/passwd')],
      /leads outside/,
    ],
    [
      'hard link climbs out',
      [...without('config.json'), link('config.json', '../etc/passwd', 'hardlink')],
      /leads outside/,
    ],
    ['member climbs out', [...whole, member('../escape', 'x')], /leads outside/],
    ['absolute member', [...whole, member('/escape', 'x')], /leads outside/],
    [
      'links in a circle',
      [...without('config.json'), link('config.json', 'b'), link('b', 'config.json')],
      /chain of more than/,
    ],
    ['the same member twice', [...whole, member('config.json', '{}')], /appears twice/],
    [
      'layer path climbs out',
      [
        ...without('manifest.json'),
        member('manifest.json', [{ Config: 'config.json', RepoTags: null, Layers: ['../../x'] }]),
      ],
      /leads outside/,
    ],
    ['no documents', [member('hello', 'x')], /neither "manifest.json" nor "index.json"/],
    ['nothing', [], /it is empty/],
    [
      'manifest is null',
      [...without('manifest.json'), member('manifest.json', 'null')],
      /manifest cannot be null/,
    ],
    [
      'manifest of 5 MiB',
      [...without('manifest.json'), member('manifest.json', `[${' '.repeat(5 * 1024 * 1024)}]`)],
      /larger than 4194304 bytes/,
    ],
    [
      'too few layers',
      [
        ...without('manifest.json'),
        member('manifest.json', [{ Config: 'config.json', RepoTags: null, Layers: [] }]),
      ],
      /layers length mismatch: expected 0, got 1/,
    ],
    [
      'windows',
      [...without('config.json'), member('config.json', makeConfig([layer], { os: 'windows' }))],
      /cannot load windows image on linux/,
    ],
    [
      'tag without a tag',
      [
        ...without('manifest.json'),
        member('manifest.json', [
          { Config: 'config.json', RepoTags: ['app'], Layers: ['layer-0/layer.tar'] },
        ]),
      ],
      /invalid tag "app"/,
    ],
    [
      'legacy parents in a circle',
      [
        member(`${one}/json`, { id: one, parent: two }),
        member(`${two}/json`, { id: two, parent: one }),
        member('repositories', { a: { b: one } }),
      ],
      /is its own ancestor/,
    ],
    ['legacy id is no digest', [member('repositories', { a: { b: '../../etc' } })], /is not an image id/],
    [
      'legacy parent is no digest',
      [member(`${one}/json`, { parent: '../x' }), member('repositories', { a: { b: one } })],
      /is not an image id/,
    ],
    ['layer is no tar', [...(await dockerArchive([Buffer.from('this is no tar'.repeat(100))]))], /.*/],
  ];
  for (const [name, entries, message] of cases) {
    await assert.doesNotReject(refused(entries, message), name);
  }
});

test('hostile OCI layouts are refused and leave nothing', options, async () => {
  const nested = (depth: number): TarInput[] => {
    const entries: TarInput[] = [member('oci-layout', { imageLayoutVersion: '1.0.0' })];
    let manifests: object[] = [];
    for (let i = 0; i < depth; i++) {
      const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests }));
      entries.push(member(`blobs/sha256/${hexOf(digestOf(bytes))}`, bytes));
      manifests = [{ mediaType: MEDIA.ociIndex, digest: digestOf(bytes), size: bytes.length }];
    }
    return [...entries, member('index.json', { schemaVersion: 2, manifests })];
  };
  const pointing = (digest: string, bytes: Buffer, size = bytes.length): TarInput[] => [
    member('index.json', { schemaVersion: 2, manifests: [{ mediaType: MEDIA.ociManifest, digest, size }] }),
    member(`blobs/sha256/${'a'.repeat(64)}`, bytes),
  ];
  const wrong = `sha256:${'a'.repeat(64)}`;
  await refused(nested(65), /nested more than 64 deep/);
  await refused(pointing(wrong, Buffer.from('{}')), new RegExp(`blob ${wrong} is sha256:`));
  await refused(pointing(wrong, Buffer.from('{}'), 3), /has 2 bytes, 3 were announced/);
  await refused(pointing('sha256:../../../etc/passwd', Buffer.from('{}')), /digest is not a digest/);
  await withArchives(async (store) => {
    assert.deepEqual(await load(store, nested(64)), [], '64 are followed');
  });
});

/** A layout whose documents lead from `index.json` down to `config`. */
function layoutOf(documents: readonly Buffer[], top: readonly object[]): TarInput[] {
  return [
    member('oci-layout', { imageLayoutVersion: '1.0.0' }),
    ...documents.map((bytes) => member(`blobs/sha256/${hexOf(digestOf(bytes))}`, bytes)),
    member('index.json', { schemaVersion: 2, manifests: top }),
  ];
}

const describeBlob = (bytes: Buffer, mediaType: string) => ({
  mediaType,
  digest: digestOf(bytes),
  size: bytes.length,
});

test('indexes that lead to a milliard of paths are read once each', options, async () => {
  const layer = await makeLayer('a', 'x');
  const config = makeConfig([layer]);
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA.ociManifest,
      config: describeBlob(config, MEDIA.ociConfig),
      layers: [describeBlob(layer, MEDIA.ociLayer)],
    }),
  );
  const documents = [layer, config, manifest];
  let below: object = describeBlob(manifest, MEDIA.ociManifest);
  for (let depth = 0; depth < 9; depth++) {
    // A document of its own at each depth, with ten ways down.
    const index = Buffer.from(
      JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests: Array(10).fill(below) }),
    );
    documents.push(index);
    below = describeBlob(index, MEDIA.ociIndex);
  }
  await withArchives(async (store) => {
    const loaded = await load(store, layoutOf(documents, Array(10).fill(below)));
    assert.deepEqual(
      loaded.map(({ id }) => id),
      [digestOf(config)],
    );
  });
});

test('documents beyond their limits are refused before they are read', options, async () => {
  const blanks = ' '.repeat(64 * 1024 * 1024);
  await refused(
    [member('oci-layout', { imageLayoutVersion: '1.0.0' }), member('index.json', `{${blanks}}`)],
    /"index.json" is larger than 4194304 bytes/,
  );
  const layer = await makeLayer('a', 'x');
  const whole = await dockerArchive([layer]);
  const large = Buffer.concat([makeConfig([layer]), Buffer.alloc(8 * 1024 * 1024, ' ')]);
  await refused(
    [...whole.filter(({ header }) => header.path !== 'config.json'), member('config.json', large)],
    /"config.json" is larger than 8388608 bytes/,
  );
  const manifest = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests: [] }),
  );
  const padded = Buffer.concat([manifest, Buffer.alloc(5 * 1024 * 1024, ' ')]);
  await refused(layoutOf([padded], [describeBlob(padded, MEDIA.ociIndex)]), /is larger than 4194304 bytes/);
});

test('a blob that was tampered with, or is a link to the host, is refused', options, async () => {
  const layer = await makeLayer('a', 'x');
  const config = makeConfig([layer]);
  const manifestOf = (layerDescriptor: object): Buffer =>
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MEDIA.ociManifest,
        config: describeBlob(config, MEDIA.ociConfig),
        layers: [layerDescriptor],
      }),
    );
  const manifest = manifestOf(describeBlob(layer, MEDIA.ociLayer));
  const path = (bytes: Buffer): string => `blobs/sha256/${hexOf(digestOf(bytes))}`;
  const top = [describeBlob(manifest, MEDIA.ociManifest)];
  const whole = layoutOf([layer, config, manifest], top);
  const without = (bytes: Buffer): TarInput[] => whole.filter(({ header }) => header.path !== path(bytes));
  const flip = (bytes: Buffer): Buffer => Buffer.from(bytes.map((byte, i) => (i === 40 ? byte ^ 1 : byte)));
  for (const bytes of [manifest, config])
    await refused(
      [...without(bytes), member(path(bytes), flip(bytes))],
      /blob sha256:[0-9a-f]{64} is sha256:/,
    );
  await withArchives(async (store) => {
    const wrong = [...without(layer), member(path(layer), flip(layer))];
    await assert.rejects(load(store, wrong), /./);
    assertEmpty(store);
  });
  for (const linkTarget of ['/etc/passwd', '../../../../../../etc/passwd']) {
    const header = { path: path(layer), type: 'symlink', mode: 0o777, linkTarget } as const;
    await refused([...without(layer), { header }], /leads outside/);
  }
  const [own, other] = ['a'.repeat(32), 'b'.repeat(64)];
  await refused(layoutOf([layer, config, manifest], [{ ...top[0], digest: `md5:${own}` }]), /digest/);
  await refused(
    layoutOf([layer, config, manifest], [{ ...top[0], digest: `sha256:${other}` }]),
    /is missing/,
  );
});

test('an archive that is a bomb is refused before it fills the disk', options, async () => {
  await withArchives(async (store) => {
    const zeros = Buffer.alloc(8 * 1024 * 1024);
    const gzip = gzipSync(zeros, { level: 9 });
    const head = gzipSync(await gather(writeTar(await dockerArchive([await makeLayer('a', 'x')]))));
    const bomb = [head, ...Array.from({ length: 140 }, () => gzip)];
    await assert.rejects(store.archives.loadImages(Readable.from(bomb)), {
      code: 'invalid_argument',
      message: /grows more than 1000-fold/,
    });
    assertEmpty(store);
  });
});

test('a load that is aborted or cut short leaves nothing', options, () =>
  withArchives(async (store) => {
    const bytes = await gather(
      writeTar(await dockerArchive([await makeLayer('a', Buffer.alloc(600_000, 'x'))])),
    );
    await assert.rejects(store.archives.loadImages(Readable.from([bytes.subarray(0, 400_000)])), {
      code: 'invalid_argument',
    });
    assertEmpty(store);
    const abort = new AbortController();
    async function* slow(): AsyncGenerator<Buffer> {
      yield bytes.subarray(0, 400_000);
      abort.abort(new Error('client went away'));
      yield bytes.subarray(400_000);
    }
    await assert.rejects(store.archives.loadImages(slow(), { signal: abort.signal }), /client went away/);
    assertEmpty(store);
  }),
);
