/**
 * Walks a plan in the order it is written while the solver runs ahead: shows each step as the classic builder does, gives
 * each its image id, and keeps its record.
 *
 *     Step 2/3 : RUN make            one line a step
 *      ---> Not cached: …            why, when an earlier record tells
 *      ---> Running in cc2418f30dff  or  ---> Using cache
 *     (output)
 *     Removing intermediate container cc2418f30dff
 *      ---> 2c7464ff7613             the image config after the step
 */

import { raceSignal } from '#base/async/index.ts';
import { messageOf } from '#base/errors/index.ts';
import type { BuildCache } from '#build/cache/index.ts';
import type { BuildPlan, PlannedStage, PlannedStep } from '#build/frontend/types.ts';
import type { Vertex } from '#build/graph/types.ts';
import type { BuildResult, StateResult } from '#build/op/types.ts';
import { keyOf, type Solve } from '#build/solver/index.ts';
import type { Solved, SolveListener } from '#build/solver/types.ts';
import type { KeyComponent, StepRecord } from '#build/types.ts';
import type { ImageId } from '#oci/config/index.ts';
import { type Digest, digestOf, shortIdOf } from '#oci/digest/index.ts';
import { listDiffIds } from './chain.ts';
import { beginImage, encodeImage, type ImageState } from './config.ts';
import { StepFeed } from './feed.ts';

/** Options of a ledger. */
export interface LedgerOptions {
  readonly plan: BuildPlan;
  readonly cache: Pick<BuildCache, 'findConfigStep' | 'storeConfigStep'>;
  readonly recordId: string;
  readonly noCache: boolean;
  readonly removeIntermediate: boolean;
  readonly forceRemove: boolean;
  /** Say why a step is not cached. */
  readonly explain: boolean;
  readonly sourceDateEpoch: number | undefined;
  /** Stands in the history text of COPY and ADD where the hash of the sources goes. */
  readonly contentHashMark: string;
  readonly write: (text: string) => void;
  /** Aborted with the first failure, so that nothing is waited for in vain. */
  readonly signal: AbortSignal;
}

/** A stage that is done. */
export interface BuiltStage {
  readonly image: ImageState;
  readonly state: StateResult | undefined;
  /** Config digest; the base image's own when the stage adds nothing. `undefined`: nothing at all (scratch). */
  readonly imageId: ImageId | undefined;
  /** Some step made it differ from the image it stands on. */
  readonly isNew: boolean;
}

interface Progress {
  image: ImageState;
  imageId: ImageId | undefined;
  state: StateResult | undefined;
  isNew: boolean;
}

/** One build's ledger. */
export class Ledger {
  readonly #options: LedgerOptions;
  readonly #feeds = new Map<Digest, StepFeed>();
  readonly #keys = new Map<Digest, { readonly key: string; readonly components: readonly KeyComponent[] }>();
  readonly #shown = new Set<Digest>();
  readonly #records: StepRecord[] = [];
  readonly #stages = new Map<number, BuiltStage>();
  #current: { readonly step: PlannedStep; readonly startedAt: number } | undefined;

  constructor(options: LedgerOptions) {
    this.#options = options;
  }

  /** What the ledger wants to hear from the solver. */
  get listener(): Pick<SolveListener<BuildResult>, 'onMiss' | 'onStart' | 'onOutput' | 'onKey'> {
    return {
      onKey: (vertex, key, components) => void this.#keys.set(vertex.digest, { key, components }),
      onMiss: (vertex, reason) => {
        this.#feed(vertex.digest).missReason = reason;
        if (reason !== undefined && this.#options.explain && !vertex.ignoreCache)
          this.#feed(vertex.digest).note(` ---> Not cached: ${reason}\n`);
      },
      onStart: (vertex, id) => this.#feed(vertex.digest).start(id),
      onOutput: (vertex, text) => this.#feed(vertex.digest).output(text),
    };
  }

  /** Records of the steps so far. */
  get records(): readonly StepRecord[] {
    return this.#records;
  }

  /** Shows and records every step; returns the target stage. */
  async follow(solve: Solve<BuildResult>): Promise<BuiltStage> {
    const { plan } = this.#options;
    for (const stage of plan.stages) this.#stages.set(stage.index, await this.#followStage(stage, solve));
    return this.#stages.get(plan.target) as BuiltStage;
  }

  /** After a failure in `vertex`: shows its step if its turn had not come, and records it. */
  recordFailure(vertex: Digest | undefined, error: unknown): void {
    const current = this.#current;
    const step =
      vertex === undefined || current?.step.vertex === vertex
        ? current?.step
        : this.#options.plan.stages.flatMap(({ steps }) => steps).find((each) => each.vertex === vertex);
    if (step === undefined) return;
    if (step !== current?.step) {
      this.#announce(step);
      if (vertex !== undefined) this.#feed(vertex).show(this.#options.write);
    }
    const key = step.vertex === undefined ? undefined : this.#keys.get(step.vertex);
    const containerId = step.vertex === undefined ? undefined : this.#feeds.get(step.vertex)?.containerId;
    if (this.#options.forceRemove && containerId !== undefined)
      this.#options.write(`Removing intermediate container ${containerId.slice(0, 12)}\n`);
    const feed = step.vertex === undefined ? undefined : this.#feeds.get(step.vertex);
    this.#records.push({
      number: step.number,
      text: step.text,
      cacheKey: key?.key,
      components: shortened(key?.components ?? []),
      cached: false,
      ...(feed?.missReason === undefined ? {} : { missReason: feed.missReason }),
      startedAt: current?.step === step ? current.startedAt : Date.now(),
      endedAt: Date.now(),
      sizeBytes: 0,
      log: feed?.log ?? '',
      error: messageOf(error),
    });
  }

  async #followStage(stage: PlannedStage, solve: Solve<BuildResult>): Promise<BuiltStage> {
    const progress = await this.#begin(stage);
    for (const [i, step] of stage.steps.entries()) {
      this.#options.signal.throwIfAborted();
      this.#current = { step, startedAt: Date.now() };
      if (step.isTrigger !== true) this.#announce(step);
      for (const note of step.notes) this.#options.write(`${note}\n`);
      if (step.history === undefined) await this.#from(stage, step, progress, solve);
      else if (step.vertex === undefined) this.#configStep(step, progress);
      else await this.#layerStep(step, step.vertex, progress, solve);
      const isFrom = step.history !== undefined || step.keyword === 'FROM';
      // Triggers belong to their FROM: one id for all of them.
      if (isFrom && stage.steps[i + 1]?.isTrigger !== true)
        this.#options.write(` ---> ${progress.imageId === undefined ? '' : shortIdOf(progress.imageId)}\n`);
    }
    this.#current = undefined;
    return { ...progress };
  }

  async #begin(stage: PlannedStage): Promise<Progress> {
    const { base } = stage;
    if (base.kind === 'stage') {
      const built = this.#stages.get(base.index);
      if (built !== undefined) return { ...built };
    }
    const config = base.kind === 'image' ? base.config : undefined;
    return { image: beginImage(config, stage.platform), imageId: undefined, state: undefined, isNew: false };
  }

  async #from(
    stage: PlannedStage,
    step: PlannedStep,
    progress: Progress,
    solve: Solve<BuildResult>,
  ): Promise<void> {
    if (step.keyword !== 'FROM' || stage.base.kind !== 'image') return;
    const { result } = await solve.solve(stage.base.vertex);
    if (result.kind !== 'state' || result.base === undefined) return;
    const { image } = result.base;
    progress.image = beginImage(image.config, stage.platform);
    progress.imageId = image.id;
    progress.state = result;
  }

  #announce(step: PlannedStep): void {
    this.#options.write(`Step ${step.number}/${step.total} : ${step.text}\n`);
  }

  #configStep(step: PlannedStep, progress: Progress): void {
    const { cache, recordId, noCache } = this.#options;
    const components: readonly KeyComponent[] = [
      { name: 'config step', value: step.history?.createdBy ?? '' },
      { name: 'parent', value: progress.imageId ?? 'scratch' },
      { name: 'config', value: digestOf(JSON.stringify(step.config)) },
    ];
    const key = keyOf(components);
    const earlier = noCache ? undefined : cache.findConfigStep(key);
    const createdAt = earlier ?? Date.now();
    if (earlier === undefined) cache.storeConfigStep(key, { name: step.text, createdAt, recordId });
    else this.#options.write(' ---> Using cache\n');
    this.#advance(step, progress, { createdAt, createdBy: step.history?.createdBy ?? '', isEmpty: true });
    this.#record(step, { key, components, cached: earlier !== undefined });
  }

  async #layerStep(
    step: PlannedStep,
    vertex: Digest,
    progress: Progress,
    solve: Solve<BuildResult>,
  ): Promise<void> {
    const { write, removeIntermediate, contentHashMark, signal } = this.#options;
    const feed = this.#feed(vertex);
    const isRepeated = this.#shown.has(vertex);
    this.#shown.add(vertex);
    if (!isRepeated) feed.show(write);
    const solved = await solve.solve(vertex);
    const state = solved.result as StateResult;
    const cached = solved.cached || isRepeated;
    if (cached) write(' ---> Using cache\n');
    else if (removeIntermediate && feed.containerId !== undefined)
      write(`Removing intermediate container ${feed.containerId.slice(0, 12)}\n`);
    // Describing a large layer takes seconds: a cancelled build does not wait for it.
    const [layer, diffIds] = await raceSignal(Promise.all([state.layer?.(), listDiffIds(state)]), signal);
    progress.state = state;
    progress.image = { ...progress.image, diffIds };
    const createdBy = (step.history?.createdBy ?? '').replace(contentHashMark, () => state.sourceHash ?? '');
    this.#advance(step, progress, {
      createdAt: state.createdAt,
      createdBy,
      isEmpty: step.history?.emptyLayer === true || layer?.isEmpty === true,
    });
    this.#record(step, { ...solved, cached }, layer, feed);
  }

  #advance(
    step: PlannedStep,
    progress: Progress,
    made: { readonly createdAt: number; readonly createdBy: string; readonly isEmpty: boolean },
  ): void {
    const created = new Date(this.#options.sourceDateEpoch ?? made.createdAt).toISOString();
    const author = step.author ?? progress.image.author;
    progress.image = {
      ...progress.image,
      config: step.config,
      author,
      created,
      history: [
        ...progress.image.history,
        {
          created,
          ...(author === undefined ? {} : { author }),
          created_by: made.createdBy,
          ...(step.history?.comment === undefined ? {} : { comment: step.history.comment }),
          ...(made.isEmpty ? { empty_layer: true } : {}),
        },
      ],
    };
    progress.imageId = digestOf(encodeImage(progress.image));
    progress.isNew = true;
  }

  #record(
    step: PlannedStep,
    solved: Pick<Solved<BuildResult>, 'key' | 'components' | 'cached'> & Partial<Solved<BuildResult>>,
    layer?: { readonly diffId: Digest; readonly contentSizeBytes: number },
    feed?: StepFeed,
  ): void {
    this.#records.push({
      number: step.number,
      text: step.text,
      cacheKey: solved.key,
      components: shortened(solved.components),
      cached: solved.cached,
      ...(solved.missReason === undefined ? {} : { missReason: solved.missReason }),
      startedAt: solved.startedAt ?? this.#current?.startedAt ?? Date.now(),
      endedAt: solved.endedAt ?? Date.now(),
      ...(layer === undefined ? {} : { diffId: layer.diffId }),
      sizeBytes: layer?.contentSizeBytes ?? 0,
      log: feed?.log ?? '',
    });
  }

  #feed(digest: Vertex['digest']): StepFeed {
    let feed = this.#feeds.get(digest);
    if (feed === undefined) {
      feed = new StepFeed();
      this.#feeds.set(digest, feed);
    }
    return feed;
  }
}

/** Components a record keeps of one step; all of them are with the cache entry. */
const COMPONENT_LIMIT = 100;

function shortened(components: readonly KeyComponent[]): readonly KeyComponent[] {
  if (components.length <= COMPONENT_LIMIT) return components;
  const rest = components.slice(COMPONENT_LIMIT);
  return [...components.slice(0, COMPONENT_LIMIT), { name: `${rest.length} more`, value: keyOf(rest) }];
}
