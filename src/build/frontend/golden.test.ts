/**
 * Plans of whole Dockerfiles: `testdata/<case>/Dockerfile`, `options.json` (optional) and what must come of them in
 * `expected.json`. The steps, notes, history and config of the classic cases were compared with what dockerd 20.10's classic
 * builder made of the same files. `npm run golden` writes them anew.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { messageOf } from '#base/errors/index.ts';
import { orderVertices } from '#build/graph/index.ts';
import type { Edge } from '#build/graph/types.ts';
import { DockerfileSyntaxError } from '#dockerfile/text/index.ts';
import type { ImageConfig } from '#oci/config/index.ts';
import { type Digest, digestOf } from '#oci/digest/index.ts';
import { planDockerfile } from './index.ts';
import type { BuildPlan, FrontendBridge, FrontendOptions } from './types.ts';

const TESTDATA = join(import.meta.dirname, 'testdata');
const PLATFORM = { os: 'linux', architecture: 'amd64' };
const IMAGE: ImageConfig = {
  ...PLATFORM,
  rootfs: { type: 'layers', diff_ids: [] },
  config: {
    Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'BASE=1'],
    Cmd: ['sh'],
    Labels: { base: 'yes' },
  },
};

/** `base` is an image, `triggers` one with ONBUILD; nothing else exists. */
const BRIDGE: FrontendBridge = {
  resolveImageConfig: async (reference) => {
    const name = reference.replace('docker.io/library/', '').replace(/:.*/, '');
    if (name !== 'base' && name !== 'triggers') throw new Error(`no such image ${reference}`);
    const triggers = { OnBuild: ['RUN echo one', 'COPY --from=tools /t /t'] };
    const config = { ...IMAGE.config, ...(name === 'triggers' ? triggers : {}) };
    return { reference, imageId: digestOf(reference), config: { ...IMAGE, config } };
  },
};

function optionsOf(folder: string): FrontendOptions {
  const path = join(folder, 'options.json');
  const given = existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Partial<FrontendOptions>) : {};
  return {
    dockerfile: { text: readFileSync(join(folder, 'Dockerfile'), 'utf8'), name: 'Dockerfile' },
    buildArgs: {},
    labels: {},
    platform: PLATFORM,
    buildPlatform: PLATFORM,
    noCache: false,
    pull: 'missing',
    network: 'default',
    extraHosts: [],
    dialect: 'classic',
    ...given,
  };
}

/** A plan with numbers in place of digests, which are covered elsewhere. */
function readable(plan: BuildPlan): unknown {
  const roots = plan.stages.flatMap((stage) => (stage.state === undefined ? [] : [stage.state.vertex]));
  const vertices = orderVertices(plan.graph, roots);
  const numbers = new Map<Digest, number>(vertices.map((vertex, i) => [vertex.digest, i]));
  const number = (edge: Edge | undefined): number | null => (edge ? (numbers.get(edge.vertex) ?? -1) : null);
  return {
    target: plan.target,
    unusedArgs: plan.unusedArgs,
    warnings: plan.warnings.map((warning) => `${warning.line}: ${warning.message}`),
    graph: vertices.map((vertex) => ({
      name: vertex.name,
      lines: vertex.ranges.map((range) => `${range.start}-${range.end}`).join(' '),
      ...vertex.op,
      inputs: vertex.inputs.map(number),
    })),
    stages: plan.stages.map((stage) => ({
      index: stage.index,
      name: stage.name,
      base: stage.base.kind,
      state: number(stage.state),
      steps: stage.steps.map((step) => ({
        line: step.isTrigger ? '(trigger)' : `Step ${step.number}/${step.total} : ${step.text}`,
        ...(step.vertex === undefined ? {} : { vertex: numbers.get(step.vertex) }),
        ...(step.history === undefined ? {} : { createdBy: step.history.createdBy }),
        ...(step.history?.emptyLayer ? { emptyLayer: true } : {}),
        ...(step.notes.length === 0 ? {} : { notes: step.notes }),
        ...(step.author === undefined ? {} : { author: step.author }),
      })),
      config: stage.config,
    })),
  };
}

async function outcomeOf(folder: string): Promise<unknown> {
  try {
    return readable(await planDockerfile(optionsOf(folder), BRIDGE));
  } catch (error) {
    const range = error instanceof DockerfileSyntaxError ? error.range : undefined;
    return { error: messageOf(error), lines: range === undefined ? null : `${range.start}-${range.end}` };
  }
}

for (const name of readdirSync(TESTDATA).sort()) {
  test(`the plan of ${name} is as recorded`, async () => {
    const folder = join(TESTDATA, name);
    const expected = join(folder, 'expected.json');
    const outcome = JSON.parse(JSON.stringify(await outcomeOf(folder))) as unknown;
    if (process.env['SLIPWAY_UPDATE_GOLDEN'] === '1') {
      writeFileSync(expected, `${JSON.stringify(outcome, undefined, 2)}\n`);
    }
    assert.deepEqual(outcome, JSON.parse(readFileSync(expected, 'utf8')));
  });
}
