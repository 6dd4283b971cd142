import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { CodedError } from '#base/errors/index.ts';
import { mount } from '#base/posix/index.ts';
import { planDockerfile } from '#build/frontend/index.ts';
import { formatFamiliar, parseReference } from '#oci/reference/index.ts';
import type { ImageTransfer } from '#registry/transfer/types.ts';
import { type addBusybox, NEEDS_BUILD_HOST, type TestBuild, withBuilder } from '../../test/support/build.ts';
import { createBuilder } from './index.ts';

const options = { skip: NEEDS_BUILD_HOST };

const STAGES = `FROM busybox AS maker
RUN head -c 100000 /dev/urandom > /big
FROM busybox
RUN echo small > /small
`;

test('the cache keeps its bounds: what no image shares goes, least recently used first', options, () =>
  withBuilder(
    async ({ build, builder, store }) => {
      await build({
        Dockerfile: STAGES.replace(
          'FROM busybox\n',
          'FROM busybox\nCOPY --from=maker /small* /bin/busybox /x/\n',
        ),
      });
      for (let i = 0; i < 100 && builder.listCache().length > 2; i++) await delay(20);
      assert.deepEqual(
        builder
          .listCache()
          .map(({ description }) => description)
          .toSorted(),
        ['COPY --from=maker /small* /bin/busybox /x/', 'RUN echo small > /small'],
      );
      assert.equal(
        store.db.all("SELECT 1 FROM build_cache WHERE snapshot_name <> ''").length,
        3,
        'two layers and an alias',
      );
    },
    { cacheLimitBytes: 1 },
  ),
);

test('pruning spares layers of images unless all is asked, and what a running build uses', options, () =>
  withBuilder(async ({ build, builder, store }) => {
    await build(
      { Dockerfile: STAGES.replace('FROM busybox\n', 'FROM maker AS other\nRUN true\nFROM busybox\n') },
      { target: 'maker' },
    );
    await build(
      { Dockerfile: 'FROM busybox\nRUN head -c 50000 /dev/urandom > /y\n' },
      { tags: [parseReference('kept')] },
    );
    const all = builder.listCache();
    assert.equal(all.length, 2);
    assert.deepEqual(await builder.pruneCache({ all: false }), { ids: [], bytes: 0 });
    const early = await builder.pruneCache({ all: true, until: new Date(0) });
    assert.deepEqual(early.ids, []);
    const running = build({ Dockerfile: 'FROM busybox\nRUN head -c 50000 /dev/urandom > /y\nRUN sleep 2\n' });
    for (let i = 0; i < 200 && builder.listCache().every(({ inUse }) => !inUse); i++) await delay(10);
    const { ids } = await builder.pruneCache({ all: true });
    assert.equal(ids.length, 1);
    assert.equal((await running).output.match(/Using cache/g)?.length, 1);
    assert.ok(store.images.findImage('kept'));
  }),
);

test('what a killed builder left behind is unmounted and removed at the start', options, () =>
  withBuilder(async ({ store, dir, stepRuntime, builder }) => {
    await builder.close();
    const left = join(dir, 'root/build');
    mkdirSync(join(left, 'mounts/abc'), { recursive: true });
    mkdirSync(join(left, '0123/context'), { recursive: true });
    writeFileSync(join(left, '0123/context/file'), 'x');
    mount({ source: 'tmpfs', target: join(left, 'mounts/abc'), type: 'tmpfs' });
    const transfer = noTransfer();
    const second = await createBuilder({ ...store, stepRuntime, transfer, planDockerfile });
    assert.equal(readFileSync('/proc/self/mounts', 'utf8').includes(left), false);
    assert.deepEqual(
      readdirSync(left).filter((name) => !name.startsWith('trash')),
      ['mounts'],
    );
    assert.deepEqual(readdirSync(join(left, 'mounts')), []);
    await second.close();
  }),
);

function noTransfer(): Pick<ImageTransfer, 'pullImage' | 'resolveImage'> {
  const refuse = async (): Promise<never> => {
    throw new CodedError('not_found', 'pull access denied');
  };
  return { pullImage: refuse, resolveImage: refuse };
}

test(
  'a missing base is planned by its config and pulled when its turn comes; --pull asks again',
  options,
  async () => {
    const asked: string[] = [];
    let store: TestStore | undefined;
    const transfer: Pick<ImageTransfer, 'pullImage' | 'resolveImage'> = {
      resolveImage: async (reference) => {
        asked.push(`resolve ${formatFamiliar(reference)}`);
        const image = (store as TestStore).images.getImage('busybox');
        return { digest: image.id, config: image.config };
      },
      pullImage: async (reference, { onProgress }) => {
        asked.push(`pull ${formatFamiliar(reference)}`);
        onProgress?.({ status: 'Pulling from library/other', id: 'latest' });
        const image = (store as TestStore).images.getImage('busybox');
        (store as TestStore).images.tagImage(reference, image.id);
        return { image, digest: image.id, changed: true };
      },
    };
    await withBuilder(
      async (harness) => {
        store = harness.store;
        const files = { Dockerfile: 'FROM other:latest\nRUN true\n' };
        const first: TestBuild = await harness.build(files);
        assert.deepEqual(asked.splice(0), ['resolve other:latest', 'pull other:latest']);
        assert.match(first.output, /^Step 1\/2 : FROM other:latest\n ---> [0-9a-f]{12}\n/);
        await harness.build(files);
        assert.deepEqual(asked.splice(0), []);
        await harness.build(files, { pull: true });
        assert.deepEqual(asked.splice(0), ['resolve other:latest', 'pull other:latest']);
        await harness.build({ Dockerfile: 'FROM other:latest AS unused\nFROM busybox\nRUN true\n' });
        assert.deepEqual(asked.splice(0), []);
        const { id } = harness.store.images.getImage('busybox');
        assert.match(
          (await harness.build({ Dockerfile: `FROM ${id.slice(7, 19)}\nRUN true\n` })).output,
          /Successfully built/,
        );
      },
      { transfer },
    );
  },
);

type TestStore = Parameters<typeof addBusybox>[0];

test('a prune frees the layers of images that were removed before', options, () =>
  withBuilder(async ({ build, builder, store }) => {
    const { image } = await build({ Dockerfile: 'FROM busybox\nRUN echo 1 > /1\nRUN echo 2 > /2\n' });
    const count = (): number => Number(store.db.get('SELECT count(*) AS n FROM layers')?.['n']);
    const before = count();
    await store.images.removeImage(image.id, { force: true, noprune: false, inUse: () => undefined });
    await builder.pruneCache({ all: true });
    assert.equal(count(), before - 2);
  }),
);
