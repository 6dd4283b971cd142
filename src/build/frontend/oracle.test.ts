import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, test } from 'node:test';
import { messageOf } from '#base/errors/index.ts';
import { RULES } from '#dockerfile/lint/index.ts';
import {
  type ContainerConfig,
  decodeImageConfig,
  type HistoryEntry,
  type ImageConfig,
} from '#oci/config/index.ts';
import { digestOf } from '#oci/digest/index.ts';
import { planDockerfile } from './index.ts';
import type { BuildPlan, FrontendBridge, FrontendOptions } from './types.ts';

const VECTORS = resolve(import.meta.dirname, '../../../../shared/data/dockerfile/dockerfile-oracle.json');
const skip = existsSync(VECTORS) ? false : `vectors are not at ${VECTORS}`;

interface Recorded {
  readonly name: string;
  readonly dockerfile: string;
  readonly buildArgs?: Readonly<Record<string, string>>;
  readonly config?: ContainerConfig;
  readonly history?: readonly HistoryEntry[];
  readonly author?: string;
  readonly error?: string;
  readonly warnings?: readonly { readonly line: number; readonly rule: string; readonly msg: string }[];
}

const RULE_NAMES = new Set(RULES.map((rule) => rule.name));

/** The base of every recording. */
const BASE: ImageConfig = decodeImageConfig(
  Buffer.from(
    JSON.stringify({
      os: 'linux',
      architecture: 'amd64',
      rootfs: { type: 'layers', diff_ids: [] },
      history: [{ created_by: 'base layer' }],
      config: {
        Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'BASE=1'],
        Cmd: ['sh'],
        Labels: { base: 'yes' },
      },
    }),
  ),
).value;

const BRIDGE: FrontendBridge = {
  resolveImageConfig: async (reference) => ({ reference, imageId: digestOf(reference), config: BASE }),
};

function optionsOf(given: Recorded): FrontendOptions {
  const platform = { os: 'linux', architecture: 'amd64' };
  return {
    dockerfile: { text: given.dockerfile, name: 'Dockerfile' },
    buildArgs: given.buildArgs ?? {},
    labels: {},
    platform,
    buildPlatform: platform,
    noCache: false,
    pull: 'missing',
    network: 'default',
    extraHosts: [],
    dialect: 'buildkit',
  };
}

/** History of the target, back over the stages it is based on, to the image. */
function historyOf(plan: BuildPlan): readonly HistoryEntry[] {
  const entries: HistoryEntry[] = [];
  let stage = plan.stages.find((candidate) => candidate.index === plan.target);
  while (stage !== undefined) {
    const own = stage.steps.flatMap((step): HistoryEntry[] =>
      step.history === undefined
        ? []
        : [
            {
              created_by: step.history.createdBy,
              ...(step.history.comment === undefined ? {} : { comment: step.history.comment }),
              ...(step.history.emptyLayer ? { empty_layer: true } : {}),
            },
          ],
    );
    entries.unshift(...own);
    const { base } = stage;
    if (base.kind === 'image') entries.unshift(...(base.config.history ?? []));
    stage =
      base.kind === 'stage' ? plan.stages.find((candidate) => candidate.index === base.index) : undefined;
  }
  return entries;
}

/** As the recording has it: what is empty is left out, and BuildKit's default working directory is `/`. */
function wireConfig(config: ContainerConfig): Record<string, unknown> {
  const isEmpty = (value: unknown): boolean =>
    value === null || value === undefined || value === '' || (Array.isArray(value) && value.length === 0);
  const fields = Object.entries({ ...config, WorkingDir: config.WorkingDir || '/' });
  return Object.fromEntries(fields.filter(([, value]) => !isEmpty(value)));
}

/** Recordings we answer differently, and why. */
const DIFFERENT: readonly { readonly name: RegExp; readonly reason: string }[] = [
  {
    name: /testSourceDateEpoch(?:DockerfileDefaultInvalid|StageInvalid|NamedContextHTTP\w+)#1$/,
    reason: 'SOURCE_DATE_EPOCH is not looked at yet',
  },
  {
    name: /testLegacyKeyValueFormat#3$/,
    reason: 'advice is about the whole file here, not only about stages that are needed',
  },
];

describe('plans against the recorded images', { skip }, () => {
  if (skip) return;
  const all = JSON.parse(readFileSync(VECTORS, 'utf8')) as Recorded[];
  for (const [i, given] of all.entries()) {
    const different = DIFFERENT.find(({ name }) => name.test(given.name));
    test(`${i} ${given.name}`, { skip: different?.reason ?? false }, async () => {
      let plan: BuildPlan | undefined;
      let message: string | undefined;
      try {
        plan = await planDockerfile(optionsOf(given), BRIDGE);
      } catch (error) {
        message = messageOf(error);
      }
      assert.equal(message, given.error);
      if (plan === undefined) return;
      const target = plan.stages.find((stage) => stage.index === plan.target);
      assert.ok(target);
      assert.deepEqual(historyOf(plan), given.history);
      assert.deepEqual(wireConfig(target.config), given.config);
      const wanted = (given.warnings ?? []).filter(({ rule }) => RULE_NAMES.has(rule));
      assert.deepEqual(
        plan.warnings.map(({ line, rule, message }) => `${line} ${rule} ${message}`).sort(),
        wanted.map(({ line, rule, msg }) => `${line} ${rule} ${msg}`).sort(),
      );
      assert.equal(target.steps[target.steps.length - 1]?.author ?? '', given.author);
    });
  }
});
