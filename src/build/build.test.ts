import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { parseReference } from '#oci/reference/index.ts';
import { NEEDS_BUILD_HOST, type TestBuild, withBuilder } from '../../test/support/build.ts';

const options = { skip: NEEDS_BUILD_HOST };

const APP = {
  Dockerfile:
    'FROM busybox\nENV A=b\nRUN echo hello && echo $A > /made\nCOPY app.txt /app/\nCMD ["cat", "/made"]\n',
  'app.txt': 'text\n',
};

/** Ids differ from run to run. */
function withoutIds(output: string): string {
  return output.replace(/\b[0-9a-f]{12}\b/g, 'ID');
}

test('a build prints what the classic builder prints', options, () =>
  withBuilder(async ({ build, read }) => {
    const tags = [parseReference('demo-push:v1'), parseReference('localhost:5000/x/y')];
    const { output, image } = await build(APP, { tags });
    assert.equal(
      withoutIds(output),
      `Step 1/5 : FROM busybox
 ---> ID
Step 2/5 : ENV A=b
 ---> ID
Step 3/5 : RUN echo hello && echo $A > /made
 ---> Running in ID
hello
Removing intermediate container ID
 ---> ID
Step 4/5 : COPY app.txt /app/
 ---> ID
Step 5/5 : CMD ["cat", "/made"]
 ---> ID
Successfully built ID
Successfully tagged demo-push:v1
Successfully tagged localhost:5000/x/y:latest
`,
    );
    assert.equal(read(image, 'made'), 'b\n');
    assert.equal(read(image, 'app/app.txt'), 'text\n');
    assert.match(
      output,
      new RegExp(`---> ${image.id.slice(7, 19)}\nSuccessfully built ${image.id.slice(7, 19)}\n`),
    );
  }),
);

test('the same build again is wholly from the cache and gives the same image', options, () =>
  withBuilder(async ({ build }) => {
    const first = await build(APP);
    const second = await build(APP, { tags: [parseReference('again')] });
    assert.equal(second.image.id, first.image.id);
    assert.equal(second.output.match(/Using cache/g)?.length, 4);
    assert.doesNotMatch(second.output, /Running in|Not cached/);
    const third = await build(APP, { noCache: true });
    assert.notEqual(third.image.id, first.image.id);
    assert.doesNotMatch(third.output, /Using cache|Not cached/);
  }),
);

test('history and config look as Docker shows them', options, () =>
  withBuilder(async ({ build }) => {
    const { image } = await build(
      {
        Dockerfile:
          'FROM busybox\nMAINTAINER me\nWORKDIR /w\nWORKDIR /w\nARG V=1\nRUN touch x\nRUN true\nCOPY a b/ /w/\nLABEL k=v\n',
        a: 'a',
        'b/c': 'c',
      },
      { labels: { who: 'cli' } },
    );
    const history = image.config.history ?? [];
    assert.deepEqual(
      history
        .slice(1)
        .map(
          (entry) =>
            `${(entry.created_by ?? '').replace(/[0-9a-f]{64}/, 'HASH')}${entry.empty_layer ? ' (empty)' : ''}`,
        ),
      [
        '/bin/sh -c #(nop)  MAINTAINER me (empty)',
        '/bin/sh -c #(nop) WORKDIR /w',
        '/bin/sh -c #(nop) WORKDIR /w (empty)',
        '/bin/sh -c #(nop)  ARG V=1 (empty)',
        '|1 V=1 /bin/sh -c touch x',
        '|1 V=1 /bin/sh -c true (empty)',
        '/bin/sh -c #(nop) COPY multi:HASH in /w/ ',
        '/bin/sh -c #(nop)  LABEL k=v (empty)',
        '/bin/sh -c #(nop)  LABEL who=cli (empty)',
      ],
    );
    assert.equal(history.filter((entry) => !entry.empty_layer).length, image.layers.length);
    assert.equal(image.config.author, 'me');
    assert.deepEqual(image.config.config?.Labels, { k: 'v', who: 'cli' });
    assert.equal(image.config.config?.WorkingDir, '/w');
    assert.equal(image.config.architecture, 'amd64');
  }),
);

test('why a step is not cached is said: file, argument, instruction, removed entry', options, () =>
  withBuilder(async ({ build, builder }) => {
    const files = {
      Dockerfile: 'FROM busybox\nARG V=1\nCOPY src /src\nRUN echo $V\nRUN date\n',
      'src/app.py': '1',
      'src/lib/x.py': 'x',
    };
    const reasons = ({ output }: TestBuild): readonly string[] =>
      [...output.matchAll(/---> Not cached: (.*)/g)].map(([, reason]) => reason ?? '');
    const request = { tags: [parseReference('why')] };
    assert.deepEqual(reasons(await build(files, request)), []);
    assert.deepEqual(reasons(await build({ ...files, 'src/lib/x.py': 'y' }, request)), [
      'file src/lib/x.py changed',
      'an earlier step changed',
      'an earlier step changed',
    ]);
    assert.deepEqual(
      reasons(await build({ ...files, 'src/lib/z.py': 'y' }, request))[0],
      'file src/lib/x.py changed',
    );
    assert.deepEqual(reasons(await build(files, request)), []);
    assert.deepEqual(reasons(await build(files, { ...request, buildArgs: { V: '2' } })), [
      'env V changed',
      'env V changed',
    ]);
    const edited = { ...files, Dockerfile: files.Dockerfile.replace('RUN date', 'RUN date -u') };
    assert.deepEqual(reasons(await build(edited, request)), ['the instruction changed']);
    await builder.pruneCache({ all: true });
    assert.deepEqual(reasons(await build(edited, request)), [
      'its cache entry was removed',
      'its cache entry was removed',
    ]);
  }),
);

test('times of files do not count for the cache, content and mode do', options, () =>
  withBuilder(async ({ build }) => {
    const files = { Dockerfile: 'FROM busybox\nCOPY a /a\nCOPY d /d\n', a: '1', 'd/b': '2', unused: 'u' };
    await build(files);
    await delay(1100);
    const cached = async (changed: Readonly<Record<string, string>>): Promise<number> =>
      (await build({ ...files, ...changed })).output.match(/Using cache/g)?.length ?? 0;
    assert.equal(await cached({}), 2);
    assert.equal(await cached({ unused: 'other' }), 2);
    assert.equal(await cached({ 'd/b': '3' }), 1);
  }),
);

test("a failing step ends the build with Docker's words and help, and leaves nothing behind", options, () =>
  withBuilder(async ({ build, builder, store, dir }) => {
    const failure = await build({
      Dockerfile: 'FROM busybox\nRUN echo out; echo "went wrong" >&2; exit 127\nRUN echo never\n',
    }).then(
      () => assert.fail('it should fail'),
      (error: Error & { output: string; help?: { id: string; cause: string }; data?: unknown }) => error,
    );
    assert.equal(
      failure.message,
      'The command \'/bin/sh -c echo out; echo "went wrong" >&2; exit 127\' returned a non-zero code: 127',
    );
    assert.equal(failure.help?.id, 'build/run-failed');
    assert.match(
      failure.help?.cause ?? '',
      /line 2 .*went wrong.*127 usually means: a command was not found/,
    );
    assert.match(failure.output, /out\n/);
    assert.doesNotMatch(failure.output, /never|Removing/);
    const [record] = builder.listRecords(1);
    assert.equal(record?.error, failure.message);
    assert.deepEqual(
      record?.steps.map(({ number, error }) => [number, error === undefined]),
      [[2, false]],
    );
    assert.deepEqual((record?.steps[0]?.log ?? '').trim().split('\n').toSorted(), ['out', 'went wrong']);
    assert.deepEqual(store.snapshots.listActive(), []);
    assert.deepEqual(readdirSync(join(dir, 'root/build/mounts')), []);
  }),
);

test('cancelling stops the running command at once and leaves nothing mounted', options, () =>
  withBuilder(async ({ build, builder, store, dir }) => {
    const stop = new AbortController();
    const begun = performance.now();
    const building = build({ Dockerfile: 'FROM busybox\nRUN sleep 100\n' }, { signal: stop.signal });
    building.catch(() => undefined);
    while (!readFileSync('/proc/self/mounts', 'utf8').includes(`${dir}/root/build/mounts`)) await delay(10);
    await delay(300);
    stop.abort(new Error('the client is gone'));
    await assert.rejects(building, { message: 'the client is gone' });
    assert.ok(performance.now() - begun < 5000);
    assert.deepEqual(store.snapshots.listActive(), []);
    assert.equal(readFileSync('/proc/self/mounts', 'utf8').includes(`${dir}/root/build`), false);
    assert.equal(builder.listRecords(1)[0]?.error, 'the client is gone');
    assert.deepEqual(
      readdirSync(join(dir, 'root/build')).filter((name) => !name.startsWith('trash')),
      ['mounts'],
    );
  }),
);

test('a missing Dockerfile is named, with what was found instead', options, () =>
  withBuilder(async ({ build }) => {
    const failure = async (files: Readonly<Record<string, string>>, dockerfile?: string) =>
      build(files, dockerfile === undefined ? {} : { dockerfile }).then(
        () => assert.fail('it should fail'),
        ({ message, help }: Error & { help?: { fix?: readonly string[] } }) => [message, help?.fix],
      );
    assert.deepEqual(await failure({ 'Dockerfile.prod': 'FROM scratch' }), [
      'Cannot locate specified Dockerfile: Dockerfile',
      ['build with -f Dockerfile.prod'],
    ]);
    assert.deepEqual((await failure({ x: '' }, 'sub/My'))[0], 'Cannot locate specified Dockerfile: sub/My');
    assert.match(
      String((await failure({ x: '' }, '../Dockerfile'))[0]),
      /forbidden path outside the build context/,
    );
    assert.match((await build({ dockerfile: 'FROM busybox\n' })).output, /Successfully built/);
    assert.match(
      (await build({ 'a/b': 'FROM busybox\n' }, { dockerfile: 'a/b' })).output,
      /Successfully built/,
    );
  }),
);

test('quiet gives the id alone, or everything when it fails', options, () =>
  withBuilder(async ({ build }) => {
    const { output, image } = await build(APP, { quiet: true });
    assert.equal(output, `${image.id}\n`);
    await assert.rejects(
      build({ Dockerfile: 'FROM busybox\nRUN echo seen; exit 3\n' }, { quiet: true }),
      ({ output }: { output: string }) => {
        assert.match(output, /^Step 1\/2[\s\S]*seen\n/);
        return true;
      },
    );
  }),
);

test('a pulled look-alike is never a cache hit, unless --cache-from names it', options, () =>
  withBuilder(async ({ build, builder }) => {
    const files = {
      Dockerfile:
        'FROM busybox\nENV A=1\nRUN head -c 9 /dev/urandom | base64 > /now\nCOPY f /f\nRUN head -c 9 /dev/urandom | base64 > /later\n',
      f: 'f',
    };
    const { image } = await build(files, { tags: [parseReference('original')] });
    await builder.pruneCache({ all: true });
    const layersOf = (built: TestBuild): readonly string[] =>
      built.image.layers.slice(1).map(({ diffId }) => diffId);
    const wanted = image.layers.slice(1).map(({ diffId }) => diffId);
    const named = await build(files, { cacheFrom: ['original', 'not-here'] });
    assert.deepEqual(layersOf(named), wanted);
    const changed = await build({ ...files, f: 'other' }, { cacheFrom: ['original'] });
    assert.equal(layersOf(changed)[0], wanted[0]);
    assert.notEqual(layersOf(changed)[1], wanted[1]);
    await builder.pruneCache({ all: true });
    const alone = await build(files);
    assert.notEqual(layersOf(alone)[0], wanted[0]);
    const otherEnv = { ...files, Dockerfile: files.Dockerfile.replace('A=1', 'A=2') };
    assert.notEqual(layersOf(await build(otherEnv, { cacheFrom: ['original'] }))[0], wanted[0]);
  }),
);
