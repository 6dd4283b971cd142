// biome-ignore-all lint/suspicious/noTemplateCurlyInString: Dockerfile variables
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '#base/errors/index.ts';
import { DockerfileSyntaxError } from '#dockerfile/text/index.ts';
import { digestOf } from '#oci/digest/index.ts';
import { planDockerfile } from './index.ts';
import type { BuildPlan, FrontendBridge, FrontendOptions } from './types.ts';

const PLATFORM = { os: 'linux', architecture: 'amd64' };

function planOf(
  text: string,
  options: Partial<FrontendOptions> = {},
  resolve?: FrontendBridge['resolveImageConfig'],
): Promise<BuildPlan> {
  const whole: FrontendOptions = {
    dockerfile: { text, name: 'Dockerfile' },
    buildArgs: {},
    labels: {},
    platform: PLATFORM,
    buildPlatform: PLATFORM,
    noCache: false,
    pull: 'missing',
    network: 'default',
    extraHosts: [],
    dialect: 'classic',
    ...options,
  };
  const empty: FrontendBridge['resolveImageConfig'] = async (reference) => ({
    reference,
    imageId: digestOf(reference),
    config: { ...PLATFORM, rootfs: { type: 'layers', diff_ids: [] } },
  });
  return planDockerfile(whole, { resolveImageConfig: resolve ?? empty });
}

const isExhausted = (error: unknown): boolean => hasCode(error, 'resource_exhausted');

test('an empty Dockerfile is refused in the words of each builder', async () => {
  await assert.rejects(planOf(''), { message: 'the Dockerfile (Dockerfile) cannot be empty' });
  await assert.rejects(planOf('', { dialect: 'buildkit' }), { message: 'the Dockerfile cannot be empty' });
  await assert.rejects(planOf('# x\n'), { message: 'failed to parse Dockerfile: file with no instructions' });
});

test('arguments that double at each step are stopped, before and after FROM', async () => {
  const doubling = Array.from({ length: 40 }, (_, i) => `ARG A${i + 1}=$A${i}$A${i}`).join('\n');
  await assert.rejects(planOf(`ARG A0=xx\n${doubling}\nFROM scratch\n`), isExhausted);
  await assert.rejects(planOf(`FROM scratch\nARG A0=xx\n${doubling}\n`), isExhausted);
  await assert.rejects(
    planOf(`FROM scratch\nENV A0=xx\n${doubling.replaceAll('ARG', 'ENV')}\n`),
    isExhausted,
  );
});

test('many instructions and long histories are stopped in time', async () => {
  const started = performance.now();
  await assert.rejects(planOf(`FROM scratch\n${'ENV A=b\n'.repeat(100_000)}`), isExhausted);
  const big = `FROM scratch\nARG A=${'x'.repeat(60_000)}\nARG B=$A$A$A$A\n`;
  await assert.rejects(planOf(big + 'RUN x\n'.repeat(4000)), isExhausted);
  await assert.rejects(planOf(`${big.replaceAll('ARG', 'ENV')}${'RUN x\n'.repeat(4000)}`), isExhausted);
  assert.ok(performance.now() - started < 5000);
});

test('thousands of stages on each other are planned without recursion', async () => {
  const stages = Array.from(
    { length: 3000 },
    (_, i) => `FROM ${i === 0 ? 'scratch' : `s${i - 1}`} AS s${i}\n`,
  );
  const plan = await planOf(stages.join(''));
  assert.equal(plan.stages.length, 3000);
});

test('a base image is asked for once, and images of one level side by side', async () => {
  const asked: string[] = [];
  let waiting = 0;
  let together = 0;
  await planOf(
    'FROM a\nFROM b\nFROM a\nFROM scratch\nCOPY --from=0 / /\nCOPY --from=1 / /\nCOPY --from=2 / /\n',
    {},
    async (reference) => {
      asked.push(reference);
      together = Math.max(together, ++waiting);
      await new Promise((done) => setTimeout(done, 5));
      waiting--;
      const config = { ...PLATFORM, rootfs: { type: 'layers' as const, diff_ids: [] } };
      return { reference, imageId: digestOf(reference), config };
    },
  );
  assert.deepEqual(asked.sort(), ['docker.io/library/a:latest', 'docker.io/library/b:latest']);
  assert.equal(together, 2);
});

test('a stage nobody needs is not asked for', async () => {
  const plan = await planOf('FROM broken AS unused\nRUN x\nFROM scratch\nENV A=b\n', {}, () => {
    throw new Error('asked');
  });
  assert.deepEqual(
    plan.stages.map((stage) => stage.index),
    [1],
  );
});

test('a failure of the bridge passes with its code', async () => {
  await assert.rejects(
    planOf('FROM a\n', { dialect: 'buildkit' }, () => Promise.reject(new Error('registry is away'))),
    { message: 'registry is away' },
  );
});

test('triggers of an image are checked like a Dockerfile, and their errors point at the FROM', async () => {
  const rows: readonly (readonly [string, string])[] = [
    ['FOO x', 'unknown instruction: FOO (did you mean FROM?)'],
    ['FROM x', "FROM isn't allowed as an ONBUILD trigger"],
    ['RUN a\nRUN b', 'onbuild trigger should be a single expression'],
    ['COPY --from=0 / /', 'circular dependency detected on stage: stage-0'],
  ];
  for (const [trigger, message] of rows) {
    const planned = planOf('\nFROM a\n', {}, async (reference) => ({
      reference,
      imageId: digestOf(reference),
      config: { ...PLATFORM, rootfs: { type: 'layers', diff_ids: [] }, config: { OnBuild: [trigger] } },
    }));
    await assert.rejects(planned, (error) => {
      assert.ok(error instanceof DockerfileSyntaxError, String(error));
      assert.deepEqual([error.message, error.range?.start], [message, 2]);
      return true;
    });
  }
});

test('errors of a step carry its lines', async () => {
  const rows: readonly (readonly [string, string, number])[] = [
    ['FROM scratch\nLABEL a=${x:?need}\n', 'failed to process "${x:?need}": x: need', 2],
    ['FROM scratch\nEXPOSE 99999\n', 'Invalid containerPort: 99999', 2],
    ['FROM scratch\n\nWORKDIR $NO\n', 'cannot normalize nothing', 3],
    ['FROM scratch\nCOPY ["a\\u0000", "/"]\n', 'paths, arguments and variables cannot hold a NUL byte', 2],
    ['FROM scratch\nRUN ["a\\u0000"]\n', 'paths, arguments and variables cannot hold a NUL byte', 2],
    ['FROM $X\n', 'base name ($X) should not be blank', 1],
    ['FROM scratch AS a\nFROM a AS a\n', 'a stage name already used', 2],
    ['FROM scratch\nCOPY --from=5 a b\n', 'invalid from flag value 5: index out of bounds', 2],
    [
      'FROM scratch\nCOPY a b /x\n',
      'When using COPY with more than one source file, the destination must be a directory and end with a /',
      2,
    ],
  ];
  for (const [text, message, line] of rows) {
    await assert.rejects(planOf(text), (error) => {
      assert.ok(error instanceof DockerfileSyntaxError, String(error));
      assert.deepEqual([error.message, error.range?.start], [message, line]);
      return true;
    });
  }
});

test('--no-cache marks what runs, not what is only fetched', async () => {
  const plan = await planOf('FROM a\nRUN x\nCOPY f /\n', { noCache: true });
  const marks = [...plan.graph.vertices.values()].map((vertex) => [vertex.op.kind, vertex.ignoreCache]);
  assert.deepEqual(marks, [
    ['source', false],
    ['exec', true],
    ['source', false],
    ['file', true],
  ]);
});

test('the same Dockerfile gives the same digests, another argument gives others', async () => {
  const text = 'FROM a\nARG X\nRUN echo\nRUN echo 2\n';
  const digests = async (value: string) => [
    ...(await planOf(text, { buildArgs: { X: value } })).graph.vertices.keys(),
  ];
  assert.deepEqual(await digests('1'), await digests('1'));
  const [one, two] = [await digests('1'), await digests('2')];
  assert.equal(one[0], two[0]);
  assert.notEqual(one[1], two[1]);
});

test('proxy variables are handed over but change no digest', async () => {
  const plan = async (buildArgs: Record<string, string>) =>
    (await planOf('FROM a\nRUN echo\n', { buildArgs })).graph;
  const [without, withProxy] = [await plan({}), await plan({ HTTP_PROXY: 'http://p' })];
  assert.deepEqual([...without.vertices.keys()], [...withProxy.vertices.keys()]);
  const exec = [...withProxy.vertices.values()].find((vertex) => vertex.op.kind === 'exec');
  assert.deepEqual(exec?.op.kind === 'exec' && exec.op.hiddenEnv, ['HTTP_PROXY=http://p']);
});
