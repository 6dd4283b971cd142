/**
 * `--cache-from`: layers of images named by the user. A layer is taken when the image has the same layers below it, the same
 * history up to it (so the same settings, too), and the same instruction; for COPY and ADD the history holds the hash of
 * what was copied. Nothing is ever taken from an image that was not named.
 */
import { CONTENT_HASH } from '#build/frontend/index.ts';
import type { BuildPlan, PlannedStage, PlannedStep } from '#build/frontend/types.ts';
import type { BuildJob, BuildResult, StateResult } from '#build/op/types.ts';
import type { OpCall } from '#build/solver/types.ts';
import type { HistoryEntry } from '#oci/config/index.ts';
import { type DiffId, type Digest, extendChain } from '#oci/digest/index.ts';
import type { Image } from '#store/image/types.ts';
import type { SnapshotStore } from '#store/snapshot/types.ts';

type Call = OpCall<BuildResult, BuildJob>;

/** Finds results of one build in named images. */
export interface AdopterOptions {
  readonly plan: BuildPlan;
  readonly images: readonly Image[];
  readonly snapshots: Pick<SnapshotStore, 'find'>;
  /** What the history of a COPY or ADD would hold. */
  readonly sourceHash: (call: Call) => Promise<string | undefined>;
  readonly listDiffIds: (state: StateResult | undefined) => Promise<readonly DiffId[]>;
}

/** Makes the look-up; it answers for vertices of steps only. */
export function createAdopter(options: AdopterOptions): (call: Call) => Promise<StateResult | undefined> {
  const { plan, images } = options;
  const steps = new Map<Digest, { readonly stage: PlannedStage; readonly index: number }>();
  for (const stage of plan.stages) {
    for (const [index, step] of stage.steps.entries()) {
      if (step.vertex !== undefined && !steps.has(step.vertex)) steps.set(step.vertex, { stage, index });
    }
  }
  return async (call) => {
    const found = steps.get(call.vertex.digest);
    const parent = call.inputs[0];
    if (found === undefined || parent?.kind !== 'state' || images.length === 0) return undefined;
    const { stage, index } = found;
    const step = stage.steps[index] as PlannedStep;
    const below = await options.listDiffIds(parent);
    const history = await historyOf(plan, stage, index, parent);
    const createdBy = withHash(step, await options.sourceHash(call));
    for (const image of images) {
      const result = adoptFrom(image, { below, history, createdBy, parent }, options.snapshots);
      if (result !== undefined) return result;
    }
    return undefined;
  };
}

interface Wanted {
  readonly below: readonly DiffId[];
  readonly history: readonly Pick<HistoryEntry, 'created_by' | 'empty_layer'>[];
  readonly createdBy: string;
  readonly parent: StateResult;
}

function adoptFrom(
  image: Image,
  { below, history, createdBy, parent }: Wanted,
  snapshots: Pick<SnapshotStore, 'find'>,
): StateResult | undefined {
  const theirs = image.config.history ?? [];
  const entry = theirs[history.length];
  const layer = image.layers[below.length];
  if (entry === undefined || layer === undefined || entry.empty_layer === true) return undefined;
  if (entry.created_by !== createdBy) return undefined;
  if (below.some((diffId, i) => image.layers[i]?.diffId !== diffId)) return undefined;
  const isSame = history.every(
    (own, i) =>
      own.created_by === theirs[i]?.created_by &&
      (own.empty_layer ?? false) === (theirs[i]?.empty_layer ?? false),
  );
  if (!isSame) return undefined;
  const chainId = extendChain(
    below.reduce<ReturnType<typeof extendChain> | undefined>(
      (chain, diffId) => extendChain(chain, diffId),
      undefined,
    ),
    layer.diffId,
  );
  if (snapshots.find(chainId) === undefined) return undefined;
  const info = { ...layer, isEmpty: false };
  const sourceHash = /\b(?:file|dir|multi):[0-9a-f]{64}\b/.exec(createdBy)?.[0];
  return {
    kind: 'state',
    id: chainId,
    snapshot: chainId,
    parent,
    layer: () => Promise.resolve(info),
    createdAt: Date.parse(entry.created ?? '') || 0,
    ...(sourceHash === undefined ? {} : { sourceHash }),
  };
}

/** The history of a stage before its step `index`; the states below hold what the plan could not know. */
async function historyOf(
  plan: BuildPlan,
  stage: PlannedStage,
  index: number,
  parent: StateResult,
): Promise<readonly Pick<HistoryEntry, 'created_by' | 'empty_layer'>[]> {
  const states: StateResult[] = [];
  for (let at: StateResult | undefined = parent; at !== undefined && at.base === undefined; at = at.parent)
    states.unshift(at);
  const entries: Pick<HistoryEntry, 'created_by' | 'empty_layer'>[] = [...baseHistory(plan, stage)];
  for (const step of stepsBelow(plan, stage, index)) {
    if (step.history === undefined) continue;
    const state = step.vertex === undefined ? undefined : states.shift();
    const layer = await state?.layer?.();
    const isEmpty = step.history.emptyLayer || layer?.isEmpty === true;
    entries.push({
      created_by: withHash(step, state?.sourceHash),
      ...(isEmpty ? { empty_layer: true } : {}),
    });
  }
  return entries;
}

function stepsBelow(plan: BuildPlan, stage: PlannedStage, index: number): readonly PlannedStep[] {
  const own = stage.steps.slice(0, index);
  const below = parentStage(plan, stage);
  return below === undefined ? own : [...stepsBelow(plan, below, below.steps.length), ...own];
}

function baseHistory(plan: BuildPlan, stage: PlannedStage): readonly HistoryEntry[] {
  const below = parentStage(plan, stage);
  if (below !== undefined) return baseHistory(plan, below);
  return stage.base.kind === 'image' ? (stage.base.config.history ?? []) : [];
}

function parentStage(plan: BuildPlan, stage: PlannedStage): PlannedStage | undefined {
  const { base } = stage;
  return base.kind === 'stage' ? plan.stages.find((other) => other.index === base.index) : undefined;
}

function withHash(step: PlannedStep, hash: string | undefined): string {
  return (step.history?.createdBy ?? '').replace(CONTENT_HASH, () => hash ?? '');
}
