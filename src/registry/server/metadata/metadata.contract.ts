/** What every `RegistryMetadata` must do; each implementation runs it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { digestOf } from '#oci/digest/index.ts';
import type { Grace, NewManifest, RegistryMetadata } from '../types.ts';

/** Opens an empty store of rows with this grace. */
export type OpenMetadata = (grace: Grace) => Promise<{
  readonly metadata: RegistryMetadata;
  close(): Promise<void>;
}>;

const GRACE: Grace = { unreferencedMs: 1000, deletedMs: 2000, fileMs: 500 };
const INTACT = () => Promise.resolve(true);
const key = (name: string) => name.padStart(32, '0');
const digest = (name: string) => digestOf(name);

const manifestOf = (name: string, more: Partial<NewManifest> = {}): NewManifest => ({
  repository: 'a/b',
  digest: digest(name),
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  bytes: Buffer.from(name),
  artifactType: undefined,
  subject: undefined,
  annotations: undefined,
  references: [],
  contentSizeBytes: 0,
  tags: [],
  pushedBy: 'cynthia',
  fixedTags: [],
  ...more,
});
const needs = (name: string, sizeBytes = 4) => ({
  kind: 'blob' as const,
  digest: digest(name),
  sizeBytes,
  isRequired: true,
});

/** Runs the suite. */
export function describeRegistryMetadata(name: string, open: OpenMetadata): void {
  const withMetadata = (title: string, body: (metadata: RegistryMetadata) => Promise<void>) =>
    test(title, async () => {
      const { metadata, close } = await open(GRACE);
      try {
        await body(metadata);
      } finally {
        await close();
      }
    });
  const add = (metadata: RegistryMetadata, repository: string, blob: string, intact = INTACT) =>
    metadata.addBlob(
      { repository, digest: digest(blob), sizeBytes: 4, location: { key: key(blob) } },
      intact,
    );

  describe(name, () => {
    withMetadata('a blob is found only in repositories that have a link to it', async (metadata) => {
      assert.deepEqual(await add(metadata, 'a/b', 'b1'), { isKept: true });
      assert.deepEqual(await metadata.findBlob('a/b', digest('b1')), {
        digest: digest('b1'),
        sizeBytes: 4,
        location: { key: key('b1') },
        isUnreferenced: true,
      });
      assert.equal(await metadata.findBlob('other', digest('b1')), undefined);
      assert.deepEqual(await metadata.listBlobRepositories(digest('b1'), 9), ['a/b']);
    });

    withMetadata('the same bytes are kept once, unless the copy we have is broken', async (metadata) => {
      await add(metadata, 'a/b', 'b1');
      const again = { repository: 'c', digest: digest('b1'), sizeBytes: 4, location: { key: key('new') } };
      assert.deepEqual(await metadata.addBlob(again, INTACT), { isKept: false });
      assert.deepEqual((await metadata.findBlob('c', digest('b1')))?.location, { key: key('b1') });
      assert.deepEqual(await metadata.addBlob(again, () => Promise.resolve(false)), { isKept: true });
      assert.deepEqual((await metadata.findBlob('a/b', digest('b1')))?.location, { key: key('new') });
    });

    withMetadata('small content comes back byte for byte', async (metadata) => {
      const content = Buffer.from([0, 255, 10, 13]);
      await metadata.addBlob(
        { repository: 'a/b', digest: digest('s'), sizeBytes: 4, location: { content } },
        INTACT,
      );
      const found = await metadata.findBlob('a/b', digest('s'));
      assert.ok(found !== undefined && 'content' in found.location);
      assert.deepEqual(Buffer.from(found.location.content), content);
    });

    withMetadata(
      'tags go together with what only they named, and the preview says the same',
      async (metadata) => {
        for (const blob of ['base', 'one', 'two', 'amd', 'proof']) await add(metadata, 'a/b', blob);
        const put = (manifest: NewManifest) => metadata.putManifest(manifest);
        await put(manifestOf('m1', { references: [needs('base'), needs('one')], tags: ['v1', 'also-v1'] }));
        await put(manifestOf('m2', { references: [needs('base'), needs('two')], tags: ['v2'] }));
        await put(manifestOf('child', { references: [needs('base'), needs('amd')] }));
        const child = { kind: 'manifest' as const, digest: digest('child'), sizeBytes: 5, isRequired: true };
        await put(manifestOf('index', { references: [child], tags: ['multi'] }));
        await put(manifestOf('signature', { references: [needs('proof')], subject: digest('index') }));

        const removal = async (...tags: readonly string[]) => {
          const { manifests, ...rest } = await metadata.previewRemoval('a/b', tags);
          return { ...rest, manifests: [...manifests].sort() };
        };
        const named = (...names: readonly string[]) => names.map((name) => digest(name)).sort();
        assert.deepEqual(await removal('v1', 'nosuch'), { tags: ['v1'], manifests: [], freedBytes: 0 });
        assert.deepEqual(await removal('v1', 'also-v1'), {
          tags: ['also-v1', 'v1'],
          manifests: named('m1'),
          freedBytes: 4,
        });
        const multi = { tags: ['multi'], manifests: named('index', 'child', 'signature'), freedBytes: 8 };
        assert.deepEqual(await removal('multi'), multi);
        await metadata.mountBlob({ digest: digest('amd'), from: 'a/b', to: 'elsewhere' });
        assert.equal((await removal('multi')).freedBytes, 4, 'another repository needs it');
        assert.equal((await removal('v1', 'also-v1', 'v2', 'multi')).freedBytes, 16, 'now the base goes too');
        assert.deepEqual(await metadata.previewRemoval('no/such', ['v1']), {
          tags: [],
          manifests: [],
          freedBytes: 0,
        });

        await metadata.findManifest('a/b', digest('child'));
        assert.deepEqual((await metadata.removeTags('a/b', ['multi'])).tags, ['multi']);
        for (const gone of ['multi', digest('index'), digest('child'), digest('signature')])
          assert.equal(await metadata.findManifest('a/b', gone), undefined, gone);
        const limit = { pushedBefore: new Date(Date.now() - 60_000) };
        assert.deepEqual((await metadata.removeTags('a/b', ['v1'], limit)).tags, [], 'pushed since');
        await metadata.removeTags('a/b', ['v1']);
        assert.ok(await metadata.findManifest('a/b', digest('m1')), 'another tag names it');
        assert.deepEqual(await metadata.listTags('a/b', { limit: 9 }), ['also-v1', 'v2']);
      },
    );

    withMetadata('what cosign attached by tag goes with its image', async (metadata) => {
      await add(metadata, 'a/b', 'one');
      await add(metadata, 'a/b', 'proof');
      await metadata.putManifest(manifestOf('m1', { references: [needs('one')], tags: ['v1', 'v2'] }));
      const signature = `${digest('m1').replace(':', '-')}.sig`;
      await metadata.putManifest(manifestOf('sig', { references: [needs('proof')], tags: [signature] }));
      assert.deepEqual((await metadata.removeTags('a/b', ['v1'])).tags, ['v1']);
      const removal = await metadata.removeTags('a/b', ['v2']);
      assert.deepEqual(removal, {
        tags: ['v2', signature],
        manifests: [digest('m1'), digest('sig')],
        freedBytes: 8,
      });
      assert.deepEqual(await metadata.listTags('a/b', { limit: 9 }), []);
    });

    withMetadata('a platform that its index still lists stays when its tag goes', async (metadata) => {
      await add(metadata, 'a/b', 'amd');
      await metadata.putManifest(manifestOf('child', { references: [needs('amd')], tags: ['v1-amd64'] }));
      const child = { kind: 'manifest' as const, digest: digest('child'), sizeBytes: 5, isRequired: true };
      await metadata.putManifest(manifestOf('index', { references: [child], tags: ['v1'] }));
      assert.deepEqual((await metadata.removeTags('a/b', ['v1-amd64'])).manifests, []);
      assert.ok(await metadata.findManifest('a/b', digest('child')));
      assert.equal((await metadata.removeTags('a/b', ['v1'])).manifests.length, 2);
    });

    withMetadata('a mount needs the link of its source', async (metadata) => {
      await add(metadata, 'a/b', 'b1');
      const mount = { digest: digest('b1'), to: 'c' };
      assert.equal(await metadata.mountBlob({ ...mount, from: 'nobody' }), false);
      assert.equal(await metadata.findBlob('c', digest('b1')), undefined);
      assert.equal(await metadata.mountBlob({ ...mount, from: 'a/b' }), true);
      assert.equal(await metadata.deleteBlob('a/b', digest('b1')), true);
      assert.ok((await metadata.findBlob('c', digest('b1'))) !== undefined);
      assert.equal(await metadata.deleteBlob('a/b', digest('b1')), false);
    });

    withMetadata('a manifest is stored with its tags or not at all', async (metadata) => {
      const manifest = manifestOf('m1', { references: [needs('b1')], tags: ['v1', 'v2'] });
      await assert.rejects(metadata.putManifest(manifest), {
        code: 'not_found',
        subject: { kind: 'manifest-blob', name: digest('b1') },
      });
      assert.equal(await metadata.findManifest('a/b', 'v1'), undefined);
      await add(metadata, 'a/b', 'b1');
      await assert.rejects(metadata.putManifest({ ...manifest, references: [needs('b1', 5)] }), {
        code: 'invalid_argument',
        subject: { kind: 'size', name: digest('b1') },
      });
      await metadata.putManifest(manifest);
      for (const reference of ['v1', 'v2', digest('m1')])
        assert.deepEqual(
          Buffer.from((await metadata.findManifest('a/b', reference))?.bytes ?? []),
          Buffer.from('m1'),
        );
      assert.equal(await metadata.findManifest('other', digest('m1')), undefined);
    });

    withMetadata('a tag moves only with the right to overwrite', async (metadata) => {
      await metadata.putManifest(manifestOf('m1', { tags: ['v1'] }));
      const second = manifestOf('m2', { tags: ['new', 'v1'], fixedTags: ['v1'] });
      await assert.rejects(metadata.putManifest(second), { code: 'conflict' });
      assert.equal(await metadata.findManifest('a/b', 'new'), undefined);
      await metadata.putManifest(manifestOf('m1', { tags: ['v1'], fixedTags: ['v1'] }));
      await metadata.putManifest({ ...second, fixedTags: [] });
      assert.equal((await metadata.findManifest('a/b', 'v1'))?.digest, digest('m2'));
    });

    withMetadata('deleting a manifest takes its tags; deleting a tag only the tag', async (metadata) => {
      await metadata.putManifest(manifestOf('m1', { tags: ['a', 'b'] }));
      assert.equal(await metadata.deleteTag('a/b', 'a'), true);
      assert.equal(await metadata.deleteTag('a/b', 'a'), false);
      assert.deepEqual(await metadata.listTags('a/b', { limit: 9 }), ['b']);
      assert.equal(await metadata.deleteManifest('a/b', digest('m1')), true);
      assert.equal(await metadata.deleteManifest('a/b', digest('m1')), false);
      assert.deepEqual(await metadata.listTags('a/b', { limit: 9 }), []);
      assert.equal(await metadata.listTags('nobody', { limit: 9 }), undefined);
    });

    withMetadata('referrers are found by subject, in order, filtered and paged', async (metadata) => {
      const subject = digest('subject');
      for (const [manifest, artifactType] of [
        ['r1', 'x'],
        ['r2', 'y'],
        ['r3', 'x'],
      ] as const)
        await metadata.putManifest(
          manifestOf(manifest, { subject, artifactType, annotations: { manifest } }),
        );
      const all = await metadata.listReferrers('a/b', subject, { limit: 9 });
      assert.deepEqual(
        all.map((one) => one.digest),
        [digest('r1'), digest('r2'), digest('r3')].sort(),
      );
      const filtered = await metadata.listReferrers('a/b', subject, { limit: 9, artifactType: 'y' });
      assert.deepEqual(
        filtered.map((one) => one.annotations),
        [{ manifest: 'r2' }],
      );
      const rest = await metadata.listReferrers('a/b', subject, { limit: 9, last: all[0]?.digest });
      assert.deepEqual(rest, all.slice(1));
      assert.deepEqual(await metadata.listReferrers('other', subject, { limit: 9 }), []);
    });

    withMetadata(
      'what nothing refers to leaves after its grace, and its file after the file’s',
      async (metadata) => {
        await add(metadata, 'a/b', 'b1');
        const at = (ms: number) => new Date(Date.now() + ms);
        assert.deepEqual(await metadata.sweep(at(500), 9), { examined: 0, removed: 0 });
        await metadata.sweep(at(1500), 9);
        assert.equal(await metadata.findBlob('a/b', digest('b1')), undefined);
        assert.deepEqual(await metadata.sweep(at(1500), 9), { examined: 0, removed: 0 });
        assert.deepEqual(await metadata.sweep(at(4000), 9), { examined: 1, removed: 1 });
        assert.deepEqual(await metadata.listDoomedKeys(at(4000), 9), []);
        assert.deepEqual(await metadata.listDoomedKeys(at(5000), 9), [key('b1')]);
        await metadata.forgetKeys([key('b1')]);
        assert.deepEqual(await metadata.listDoomedKeys(at(5000), 9), []);
      },
    );

    withMetadata('a manifest keeps its blobs until it is deleted', async (metadata) => {
      const later = () => new Date(Date.now() + 60_000);
      await add(metadata, 'a/b', 'b1');
      await metadata.putManifest(manifestOf('m1', { references: [needs('b1')] }));
      await metadata.putManifest(manifestOf('m2', { references: [needs('b1')] }));
      assert.equal((await metadata.findBlob('a/b', digest('b1')))?.isUnreferenced, false);
      await metadata.deleteManifest('a/b', digest('m1'));
      assert.deepEqual(await metadata.sweep(later(), 9), { examined: 0, removed: 0 });
      await metadata.deleteManifest('a/b', digest('m2'));
      await metadata.sweep(later(), 9);
      assert.equal(await metadata.findBlob('a/b', digest('b1')), undefined);
    });

    withMetadata('a push, a mount and a question each save a blob from the collector', async (metadata) => {
      const later = () => new Date(Date.now() + 900);
      await add(metadata, 'a/b', 'b1');
      await add(metadata, 'c', 'b1');
      await metadata.deleteBlob('c', digest('b1'));
      await new Promise((resolve) => setTimeout(resolve, 200));
      assert.equal(await metadata.renewBlob('a/b', digest('b1')), true);
      assert.equal(await metadata.renewBlob('a/b', digest('b2')), false);
      await metadata.sweep(later(), 9);
      assert.ok((await metadata.findBlob('a/b', digest('b1'))) !== undefined);
      await metadata.deleteBlob('a/b', digest('b1'));
      assert.deepEqual(await add(metadata, 'a/b', 'b1'), { isKept: false });
      assert.deepEqual(await metadata.sweep(later(), 9), { examined: 0, removed: 0 });
    });

    withMetadata('a repository is deleted with everything in it', async (metadata) => {
      await add(metadata, 'a/b', 'b1');
      await metadata.putManifest(manifestOf('m1', { references: [needs('b1')], tags: ['v1'] }));
      await metadata.mountBlob({ digest: digest('b1'), from: 'a/b', to: 'c' });
      assert.equal(await metadata.deleteRepository('a/b'), true);
      assert.equal(await metadata.deleteRepository('a/b'), false);
      assert.equal(await metadata.findManifest('a/b', 'v1'), undefined);
      assert.deepEqual(await metadata.listRepositories({ limit: 9 }), ['c']);
      await metadata.sweep(new Date(Date.now() + 900), 9);
      assert.ok((await metadata.findBlob('c', digest('b1'))) !== undefined);
    });

    withMetadata('uploads are found until they become a blob, are deleted or idle', async (metadata) => {
      const upload = { id: key('u1'), repository: 'a/b', subject: 'cynthia', algorithm: 'sha512' as const };
      await metadata.saveUpload(upload);
      await metadata.saveUpload({ ...upload, id: key('u2') });
      assert.deepEqual(await metadata.findUpload(upload.id), upload);
      const blob = { repository: 'a/b', digest: digest('b1'), sizeBytes: 4, location: { key: upload.id } };
      await metadata.addBlob({ ...blob, uploadId: upload.id }, INTACT);
      assert.equal(await metadata.findUpload(upload.id), undefined);
      assert.deepEqual(await metadata.listIdleUploads(new Date(Date.now() + 10), 9), [key('u2')]);
      assert.deepEqual(await metadata.listIdleUploads(new Date(Date.now() - 1000), 9), []);
      await metadata.deleteUpload(key('u2'));
      assert.equal(await metadata.findUpload(key('u2')), undefined);
    });

    withMetadata('64 pushes of one tag at once leave one of them, whole', async (metadata) => {
      const names = Array.from({ length: 64 }, (_, i) => `m${i}`);
      await Promise.all(names.map((one) => metadata.putManifest(manifestOf(one, { tags: ['v1'] }))));
      const found = await metadata.findManifest('a/b', 'v1');
      assert.ok(names.some((one) => digest(one) === found?.digest));
      assert.equal(digestOf(found?.bytes ?? new Uint8Array()), found?.digest);
    });
  });
}
