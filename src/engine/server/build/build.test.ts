import assert from 'node:assert/strict';
import { request } from 'node:http';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { CodedError } from '#base/errors/index.ts';
import { silentLog } from '#base/log/index.ts';
import type { BuildListener, BuildRequest } from '#build/types.ts';
import { digestOf } from '#oci/digest/index.ts';
import { formatFamiliar } from '#oci/reference/index.ts';
import { createEngineServer } from '../core/index.ts';
import type { NewEvent } from '../events/index.ts';
import type { BuildBackend } from './backend.ts';
import { createBuildRoutes } from './routes.ts';

type Build = (request: BuildRequest, listener: BuildListener) => Promise<void>;

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** An engine with nothing but the build routes; `build` is what the builder does. */
async function withEngine(
  build: Build,
  body: (
    ask: (
      path: string,
      options?: {
        readonly body?: string;
        readonly headers?: Record<string, string>;
        readonly abortAfterMs?: number;
      },
    ) => Promise<Answer>,
    events: readonly NewEvent[],
    pruned: readonly object[],
  ) => Promise<void>,
): Promise<void> {
  const events: NewEvent[] = [];
  const pruned: object[] = [];
  const backend: BuildBackend = {
    builder: {
      build: async (asked, listener) => {
        await build(asked, listener);
        return { imageId: digestOf('image'), recordId: 'r' };
      },
      listCache: () => [],
      pruneCache: async (options) => {
        pruned.push(options);
        return { ids: ['a'], bytes: 5 };
      },
    },
    events: { publish: (event) => void events.push(event) },
  };
  const server = createEngineServer({
    routes: createBuildRoutes(backend),
    log: silentLog(),
    product: 'test',
  });
  const address = await server.listen({ kind: 'tcp', host: '127.0.0.1', port: 0 });
  try {
    await body((path, options = {}) => ask(address, path, options), events, pruned);
  } finally {
    await server.close();
  }
}

function ask(
  address: string,
  path: string,
  options: {
    readonly body?: string;
    readonly headers?: Record<string, string>;
    readonly abortAfterMs?: number;
  },
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request(
      `http://${address}${path}`,
      { method: 'POST', headers: { 'content-type': 'application/x-tar', ...options.headers } },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
        response.on('error', reject);
      },
    );
    asked.on('error', reject);
    asked.end(options.body ?? '');
    if (options.abortAfterMs !== undefined) setTimeout(() => asked.destroy(), options.abortAfterMs);
  });
}

test('every parameter of the API reaches the builder', async () => {
  let seen: BuildRequest | undefined;
  let context = '';
  const build: Build = async (asked) => {
    seen = asked;
    if (asked.context.kind === 'tar')
      for await (const chunk of asked.context.stream) context += Buffer.from(chunk).toString();
  };
  const query = new URLSearchParams([
    ['dockerfile', 'a/Dockerfile'],
    ['t', 'demo:v1'],
    ['t', 'localhost:5000/x/y'],
    ['t', 'demo:v1'],
    ['buildargs', '{"A":"1","B":null}'],
    ['labels', '{"k":"v"}'],
    ['target', 'stage'],
    ['platform', 'linux/arm64/v8'],
    ['nocache', '1'],
    ['pull', 'true'],
    ['q', '0'],
    ['rm', '0'],
    ['forcerm', '1'],
    ['cachefrom', '["one","two"]'],
    ['networkmode', 'host'],
    ['extrahosts', 'a:1.2.3.4'],
    ['extrahosts', 'b:::1'],
    ['memory', '10000000'],
    ['memswap', '-1'],
    ['cpushares', '2'],
    ['cpuperiod', '3'],
    ['cpuquota', '4'],
    ['cpusetcpus', '0-1'],
    ['shmsize', '67108864'],
    ['ulimits', '[{"Name":"nofile","Soft":1,"Hard":2}]'],
    ['cgroupparent', '/x'],
    ['version', '1'],
    ['unknown', 'ignored'],
  ]);
  await withEngine(build, async (post) => {
    const auth = Buffer.from(JSON.stringify({ 'localhost:5000': { username: 'u', password: 'p' } })).toString(
      'base64',
    );
    const { status } = await post(`/v1.43/build?${query}`, {
      body: 'tar bytes',
      headers: { 'x-registry-config': auth },
    });
    assert.equal(status, 200);
  });
  assert.ok(seen);
  const { context: _, credentials, signal, tags, ...rest } = seen;
  assert.equal(context, 'tar bytes');
  assert.equal(signal.aborted, false);
  assert.deepEqual(tags.map(formatFamiliar), ['demo:v1', 'localhost:5000/x/y:latest']);
  assert.deepEqual(await credentials('localhost:5000'), { username: 'u', password: 'p' });
  assert.equal(await credentials('other:5000'), undefined);
  assert.deepEqual(rest, {
    dockerfile: 'a/Dockerfile',
    buildArgs: { A: '1', B: null },
    labels: { k: 'v' },
    target: 'stage',
    platform: { os: 'linux', architecture: 'arm64' },
    noCache: true,
    pull: true,
    cacheFrom: ['one', 'two'],
    network: 'host',
    extraHosts: ['a:1.2.3.4', 'b:::1'],
    limits: {
      memoryBytes: 10_000_000,
      memorySwapBytes: -1,
      cpuShares: 2,
      cpuPeriod: 3,
      cpuQuota: 4,
      cpusetCpus: '0-1',
      shmSizeBytes: 67_108_864,
      cgroupParent: '/x',
      ulimits: [{ name: 'nofile', soft: 1, hard: 2 }],
    },
    removeIntermediate: false,
    forceRemove: true,
    quiet: false,
    squash: false,
  });
});

test('what names the image is a message of its own, however many texts wait', async () => {
  const build: Build = async (_, listener) => {
    const texts = [
      'a\n',
      'b\n',
      'c\n',
      'Successfully built 0123456789ab\n',
      'Successfully tagged demo:latest\n',
    ];
    for (const text of texts) listener.onOutput(text);
  };
  await withEngine(build, async (post) => {
    const { text } = await post('/build?t=demo');
    const streams = text
      .trim()
      .split('\r\n')
      .map((line) => (JSON.parse(line) as { stream?: string }).stream);
    assert.deepEqual(streams.slice(-2), [
      'Successfully built 0123456789ab\n',
      'Successfully tagged demo:latest\n',
    ]);
    assert.equal(streams.slice(0, -2).join(''), 'a\nb\nc\n');
  });
});

test('a build streams lines, its image, and a tag event a name', async () => {
  const build: Build = async (_, listener) => {
    listener.onOutput('Step 1/1 : FROM x\n');
    listener.onProgress({ id: 'abc', status: 'Downloading', current: 1, total: 2 });
    listener.onImage(digestOf('image'));
    listener.onOutput('Successfully built\n');
  };
  await withEngine(build, async (post, events) => {
    const { text } = await post('/build?t=demo');
    const lines = text
      .trim()
      .split('\r\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.deepEqual(
      lines.map(({ stream, status, aux }) => stream ?? status ?? aux),
      ['Step 1/1 : FROM x\n', 'Downloading', { ID: digestOf('image') }, 'Successfully built\n'],
    );
    assert.deepEqual(
      events.map(({ type, action, attributes }) => [type, action, attributes['name']]),
      [['image', 'tag', 'demo:latest']],
    );
  });
});

test('an error before the first line is a status, after it the last line, with the exit code', async () => {
  const early: Build = async () => {
    throw new CodedError('invalid_argument', 'Cannot locate specified Dockerfile: x', {
      help: { id: 'build/no-dockerfile' },
    });
  };
  await withEngine(early, async (post, events) => {
    const { status, text } = await post('/build?t=demo');
    assert.equal(status, 400);
    assert.deepEqual(JSON.parse(text), {
      message: 'Cannot locate specified Dockerfile: x',
      code: 'invalid_argument',
      help: { id: 'build/no-dockerfile' },
    });
    assert.deepEqual(events, []);
  });
  const late: Build = async (_, listener) => {
    listener.onOutput('Step 1/2\n');
    throw new CodedError(
      'failed_precondition',
      "The command '/bin/sh -c false' returned a non-zero code: 1",
      { data: { exitCode: 1 } },
    );
  };
  await withEngine(late, async (post) => {
    const { status, text } = await post('/build');
    assert.equal(status, 200);
    assert.deepEqual(JSON.parse(text.trim().split('\r\n').at(-1) ?? ''), {
      errorDetail: { code: 1, message: "The command '/bin/sh -c false' returned a non-zero code: 1" },
      error: "The command '/bin/sh -c false' returned a non-zero code: 1",
      data: { exitCode: 1 },
    });
  });
});

const REFUSED: readonly (readonly [query: string, status: number, message: RegExp])[] = [
  ['t=Demo', 400, /must be lowercase/],
  [`t=a@${digestOf('x')}`, 400, /build tag cannot contain a digest/],
  ['buildargs={"A":1}', 400, /invalid value of build arg "A"/],
  ['buildargs=[', 400, /invalid JSON in query parameter "buildargs"/],
  ['labels={"A":1}', 400, /invalid value of "A" in "labels"/],
  ['cachefrom={}', 400, /a JSON list/],
  ['platform=linux/', 400, /is an invalid component of/],
  ['memory=lots', 400, /not a whole number/],
  ['ulimits=[{}]', 400, /error reading ulimit settings/],
  ['extrahosts=nope', 400, /invalid IP address in add-host/],
  ['networkmode=mine', 501, /network mode "mine" not supported for builds/],
  ['remote=client-session&version=2', 501, /BuildKit session/],
  ['outputs=[{}]', 501, /outputs/],
];

for (const [query, status, message] of REFUSED) {
  test(`${query} is refused before anything is built`, async () => {
    let built = false;
    const build: Build = async () => {
      built = true;
    };
    await withEngine(build, async (post) => {
      const answer = await post(`/build?${query}`);
      assert.equal(answer.status, status);
      assert.match((JSON.parse(answer.text) as { message: string }).message, message);
    });
    assert.equal(built, false);
  });
}

test('a client that goes away ends its build', async () => {
  let reason: unknown;
  const build: Build = async ({ signal }) => {
    await delay(10_000, undefined, { signal }).catch(() => {
      reason = signal.reason;
    });
    signal.throwIfAborted();
  };
  await withEngine(build, async (post) => {
    await assert.rejects(post('/build', { abortAfterMs: 100 }));
    for (let i = 0; i < 100 && reason === undefined; i++) await delay(20);
  });
  assert.notEqual(reason, undefined);
});

test('prune reads its filters', async () => {
  await withEngine(
    async () => undefined,
    async (post, events, pruned) => {
      const before = Date.now() - 3_600_000;
      const { text } = await post(
        `/build/prune?all=1&keep-storage=100&filters=${encodeURIComponent('{"until":["1h"]}')}`,
      );
      assert.deepEqual(JSON.parse(text), { CachesDeleted: ['a'], SpaceReclaimed: 5 });
      const [options] = pruned as readonly { all: boolean; keepBytes: number; until: Date }[];
      assert.deepEqual([options?.all, options?.keepBytes], [true, 100]);
      assert.ok(Math.abs((options?.until.getTime() ?? 0) - before) < 5000);
      assert.deepEqual(
        events.map(({ type, action }) => [type, action]),
        [['builder', 'prune']],
      );
      assert.equal((await post(`/build/prune?filters=${encodeURIComponent('{"nope":["1"]}')}`)).status, 400);
    },
  );
});
