import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseReference } from '#oci/reference/index.ts';
import { NEEDS_BUILD_HOST, withBuilder } from '../../test/support/build.ts';

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

test(
  'stages: names, numbers, images, --target, unused ones are not built, independent ones run side by side',
  options,
  () =>
    withBuilder(async ({ build, read, list }) => {
      const Dockerfile = `FROM busybox AS one
RUN cat /proc/uptime; sleep 1; cat /proc/uptime; echo 1 > /one; chown 5:6 /one
FROM busybox AS unused
RUN exit 1
FROM busybox AS two
RUN cat /proc/uptime; sleep 1; cat /proc/uptime; echo 2 > /two
FROM scratch AS last
COPY --from=one /one /a/
COPY --from=2 /two /b
COPY --from=busybox /bin/busybox /bin/busybox
COPY --from=one --chown=7:8 /one /c
`;
      const { image, output } = await build({ Dockerfile });
      const [oneBegan = 0, oneEnded = 0, twoBegan = 0, twoEnded = 0] = [
        ...output.matchAll(/^(\d+\.\d+) \d/gm),
      ].map(([, time]) => Number(time));
      assert.ok(
        twoBegan < oneEnded && oneBegan < twoEnded,
        `the two sleeping stages did not run side by side: ${output}`,
      );
      assert.equal(read(image, 'a/one') + read(image, 'b'), '1\n2\n');
      assert.deepEqual(
        list(image, '.').map((line) => line.split(' ').slice(1).join(' ')),
        ['0:0', '0:0 a', '5:6 a/one', '0:0 b', '0:0 bin', '0:0 bin/busybox', '7:8 c'],
      );
      assert.doesNotMatch(output, /exit 1/);
      assert.match(output, /Step 5\/9 : FROM scratch AS last\n ---> \nStep 6\/9/);
      const two = await build({ Dockerfile }, { target: 'two' });
      assert.equal(read(two.image, 'two'), '2\n');
      assert.match(two.output, /^Step 1\/2 : FROM busybox AS two/);
      assert.match(two.output, /Using cache/);
    }),
);

test('copying from a stage that ran again but made the same files is cached', options, () =>
  withBuilder(async ({ build }) => {
    const Dockerfile =
      'FROM busybox AS maker\nARG N\nRUN echo $N > /noise; echo same > /out\nFROM busybox\nCOPY --from=maker /out /out\nRUN echo expensive\n';
    await build({ Dockerfile }, { buildArgs: { N: '1' } });
    const { output } = await build({ Dockerfile }, { buildArgs: { N: '2' } });
    assert.match(output, /COPY --from=maker \/out \/out\n ---> Using cache/);
    assert.match(output, /RUN echo expensive\n ---> Using cache/);
  }),
);

test('two builds of the same thing at once run its steps once', options, () =>
  withBuilder(async ({ build }) => {
    const Dockerfile =
      'FROM busybox\nRUN sleep 0.5; head -c 8 /dev/urandom | base64 > /random; cat /random\n';
    const [first, second] = await Promise.all([build({ Dockerfile }), build({ Dockerfile })]);
    assert.equal(first.image.layers[1]?.diffId, second.image.layers[1]?.diffId);
    assert.match(first.output, /=\n/);
    assert.match(second.output, /=\n/);
  }),
);

test('ADD unpacks archives of the context, keeps what is fetched, and tells about broken ones', options, () =>
  withBuilder(async ({ build, list, read, dir }) => {
    const { execFileSync } = await import('node:child_process');
    execFileSync(
      'sh',
      [
        '-c',
        'mkdir t t/d && echo x > t/d/x && chmod 4755 t/d/x && tar -C t --owner=3 --group=4 -czf t.tgz d && printf "\\037\\213no" > bad.gz',
      ],
      { cwd: dir },
    );
    const tgz = readFileSync(join(dir, 't.tgz'));
    const server = createServer((_, response) => {
      response.setHeader('Last-Modified', 'Sat, 03 Feb 2001 04:05:06 GMT').end(tgz);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/t.tgz`;
    try {
      const { writeFileSync, mkdtempSync, mkdirSync } = await import('node:fs');
      const context = mkdtempSync(join(dir, 'add-'));
      mkdirSync(join(context, 'plain'));
      writeFileSync(join(context, 't.tgz'), tgz);
      writeFileSync(join(context, 'bad.gz'), readFileSync(join(dir, 'bad.gz')));
      writeFileSync(
        join(context, 'Dockerfile'),
        `FROM busybox\nRUN mkdir -p /real && ln -s /real /link\nADD t.tgz /link/sub\nADD bad.gz /kept/\nADD ${url} /fetched/\nCOPY t.tgz /copied/\n`,
      );
      const { image } = await build({}, { context: { kind: 'directory', path: context } });
      assert.deepEqual(
        list(image, 'real').map((line) => line.trim()),
        ['drwxr-xr-x 0:0', 'drwxr-xr-x 0:0 sub', 'drwxr-xr-x 3:4 sub/d', '-rwsr-xr-x 3:4 sub/d/x'],
      );
      assert.deepEqual(list(image, 'fetched')[1], '-rw------- 0:0 t.tgz');
      assert.equal(list(image, 'copied').length, 2);
      assert.equal(list(image, 'kept').length, 2);
      assert.equal(read(image, 'real/sub/d/x'), 'x\n');
    } finally {
      server.close();
    }
  }),
);

test('ONBUILD triggers run after FROM, and an unused build argument is told', options, () =>
  withBuilder(async ({ build, read }) => {
    await build(
      { Dockerfile: 'FROM busybox\nONBUILD COPY f /f\nONBUILD RUN echo triggered > /t\n' },
      { tags: [parseReference('trigger')] },
    );
    const { output, image } = await build(
      { Dockerfile: 'FROM trigger\nRUN cat /f /t\n', f: 'file\n' },
      { buildArgs: { NOPE: '1', ALSO: '2' } },
    );
    assert.equal(
      withoutIds(output),
      `Step 1/2 : FROM trigger
# Executing 2 build triggers
 ---> Running in ID
Removing intermediate container ID
 ---> ID
Step 2/2 : RUN cat /f /t
 ---> Running in ID
file
triggered
Removing intermediate container ID
 ---> ID
[Warning] One or more build-args [ALSO NOPE] were not consumed
Successfully built ID
`,
    );
    assert.equal(read(image, 't'), 'triggered\n');
    assert.equal(image.config.config?.OnBuild, undefined);
  }),
);

test('SOURCE_DATE_EPOCH fixes the times of the config', options, () =>
  withBuilder(async ({ build }) => {
    const { image } = await build(APP, { buildArgs: { SOURCE_DATE_EPOCH: '1000000000' } });
    assert.equal(image.config.created, '2001-09-09T01:46:40.000Z');
    assert.deepEqual(
      [...new Set((image.config.history ?? []).slice(1).map(({ created }) => created))],
      ['2001-09-09T01:46:40.000Z'],
    );
  }),
);

test('FROM scratch alone makes nothing, a base alone is only tagged', options, () =>
  withBuilder(async ({ build, store }) => {
    await assert.rejects(build({ Dockerfile: 'FROM scratch\n' }), {
      message: 'No image was generated. Is your Dockerfile empty?',
    });
    const { image } = await build({ Dockerfile: 'FROM busybox\n' }, { tags: [parseReference('same')] });
    assert.equal(image.id, store.images.getImage('busybox').id);
    const empty = await build({ Dockerfile: 'FROM scratch\nCMD ["x"]\n' });
    assert.deepEqual(empty.image.layers, []);
  }),
);

test(
  'a step that changes nothing adds no layer, also where the image lacks what is mounted for the run',
  options,
  () =>
    withBuilder(async ({ build, list }) => {
      const bare =
        'FROM busybox AS base\nRUN mkdir -p /bare/etc /bare/bin && touch /bare/etc/os-release\nFROM scratch\nCOPY --from=base /bare /\nCOPY --from=busybox /bin /bin\n';
      const { image } = await build({ Dockerfile: bare });
      const after = await build({ Dockerfile: `${bare}RUN true\nRUN cat /etc/hosts > /dev/null\n` });
      assert.equal(after.image.layers.length, image.layers.length);
      const touched = await build({ Dockerfile: `${bare}RUN touch /etc/mine\n` });
      assert.equal(touched.image.layers.length, image.layers.length + 1);
      assert.deepEqual(
        list(touched.image, 'etc').map((line) => line.split(' ')[2] ?? ''),
        ['', 'mine', 'os-release'],
      );
    }),
);

test('files of a stage are shared with the layer they are copied to, capabilities and all', options, () =>
  withBuilder(async ({ build, store, read }) => {
    const Dockerfile =
      'FROM busybox AS one\nRUN echo kept > /f && mkdir /d && echo deep > /d/g && echo other > /m\nRUN echo changed > /f\nFROM scratch\nCOPY --from=one /f /d /x/\nCOPY --from=one --chmod=600 /m /m\n';
    const { image } = await build({ Dockerfile });
    assert.equal(read(image, 'x/f') + read(image, 'x/g') + read(image, 'm'), 'changed\ndeep\nother\n');
    const dirs = store.snapshots.listDirs(String(image.chainId));
    assert.ok(statSync(join(dirs[1] ?? '', 'x/f')).nlink > 1);
    assert.ok(statSync(join(dirs[1] ?? '', 'x/g')).nlink > 1);
    assert.equal(statSync(join(dirs[0] ?? '', 'm')).nlink, 1);
  }),
);

test('the copy driver builds the same', options, () =>
  withBuilder(
    async ({ build, read, list, store }) => {
      const files = {
        Dockerfile:
          'FROM busybox AS one\nRUN echo 1 > /one && rm /etc/group\nCOPY d /x\nFROM busybox\nCOPY --from=one /one /x /y/\nRUN echo two > /y/one && rm /y/b\nRUN true\n',
        'd/b': 'b',
        'd/c': 'c',
      };
      const { image } = await build(files);
      assert.equal(store.snapshots.driver, 'copy');
      assert.equal(read(image, 'y/one') + read(image, 'y/c'), 'two\nc');
      assert.deepEqual(
        list(image, 'y').map((line) => line.split(' ')[2] ?? ''),
        ['', 'c', 'one'],
      );
      assert.equal(read(image, 'etc/group').includes('users'), true);
      const again = await build(files);
      assert.equal(again.image.id, image.id);
      const changed = await build({ ...files, 'd/b': 'other' });
      assert.equal(read(changed.image, 'y/c'), 'c');
    },
    { driver: 'copy' },
  ),
);
