/** A Dockerfile to a plan: which stages, then each stage step by step. */

import { CodedError } from '#base/errors/index.ts';
import { GraphBuilder } from '#build/graph/index.ts';
import type { Edge } from '#build/graph/types.ts';
import { expand } from '#dockerfile/expand/index.ts';
import { parseStages } from '#dockerfile/instruction/index.ts';
import type { Dockerfile, LabelInstruction, StageInstruction } from '#dockerfile/instruction/types.ts';
import { failOnWarnings, lintText } from '#dockerfile/lint/index.ts';
import { DockerfileSyntaxError, parseText } from '#dockerfile/text/index.ts';
import type { LineRange, ParsedText } from '#dockerfile/text/types.ts';
import { GlobalArguments, StageArguments } from './arguments.ts';
import { addLabels, startConfig } from './config.ts';
import { Budget, EXEC_LIMIT, HISTORY_LIMIT, STEP_LIMIT, tooMuch } from './limits.ts';
import { labelHistory, lowerInstruction } from './lower.ts';
import { type ResolvedImage, type ResolvedStage, StageResolver } from './resolve.ts';
import { at, noStages, StageTable } from './stages.ts';
import { displayText, type PlanShared, StageState, type StepDraft } from './state.ts';
import type { BuildPlan, FrontendBridge, FrontendOptions, PlannedStage } from './types.ts';

interface StageDraft {
  readonly resolved: ResolvedStage;
  readonly state: StageState;
  readonly steps: readonly StepDraft[];
  readonly base: PlannedStage['base'];
}

/** Plans `options.dockerfile`; see `planDockerfile`. */
export async function plan(options: FrontendOptions, bridge: FrontendBridge): Promise<BuildPlan> {
  const text = readText(options);
  if (text.statements.length > STEP_LIMIT) throw tooMuch('number of instructions', STEP_LIMIT);
  const file = parseStages(text.statements);
  const global = new GlobalArguments(options);
  const escapeChar = text.escape;
  for (const arg of file.globalArgs) {
    at(arg.range, () => global.declare(arg, (word, env) => expand(word, env, { escape: escapeChar }).text));
  }
  if (file.stages.length === 0) throw noStages();
  const table = new StageTable(file, global, options, escapeChar);
  table.check();
  const target = table.target(options.target);
  const resolver = new StageResolver(table, options, bridge);
  const order = await resolver.resolve(target.index);
  const shared: PlanShared = {
    options,
    graph: new GraphBuilder(),
    escape: escapeChar,
    execBudget: new Budget('sum of the environments of RUN', EXEC_LIMIT),
    historyBudget: new Budget('history', HISTORY_LIMIT),
    stepBudget: new Budget('number of steps', STEP_LIMIT),
  };
  const planner = new Planner(shared, global, resolver, table);
  for (const index of order) planner.planStage(index, index === target.index);
  noteArguments(file, global);
  return finish(planner, { options, text, file, global, target: target.index });
}

/** The classic builder knows one piece of advice; BuildKit's may end the build. */
function warningsOf(text: ParsedText, options: FrontendOptions): BuildPlan['warnings'] {
  if (options.dialect === 'classic') {
    return text.warnings.map(({ message, range, url }) => ({
      rule: 'NoEmptyContinuation',
      message,
      line: range.start,
      url,
    }));
  }
  const check = options.buildArgs['BUILDKIT_DOCKERFILE_CHECK'];
  const lintOptions = typeof check === 'string' ? { check } : {};
  const warnings = lintText(text, lintOptions);
  failOnWarnings(text, warnings, lintOptions);
  return warnings.map(({ rule, message, line, url }) => ({ rule, message, line, url }));
}

/** The classic builder puts the file's name before what is wrong with its text. */
function readText(options: FrontendOptions): ParsedText {
  try {
    return parseText(options.dockerfile.text);
  } catch (error) {
    if (options.dialect === 'buildkit' || !(error instanceof DockerfileSyntaxError)) throw error;
    const message = `failed to parse ${options.dockerfile.name}: ${error.message}`;
    throw new DockerfileSyntaxError(message, error.range, { cause: error });
  }
}

class Planner {
  readonly shared: PlanShared;
  readonly drafts = new Map<number, StageDraft>();
  readonly #global: GlobalArguments;
  readonly #resolver: StageResolver;
  readonly #table: StageTable;

  constructor(shared: PlanShared, global: GlobalArguments, resolver: StageResolver, table: StageTable) {
    this.shared = shared;
    this.#global = global;
    this.#resolver = resolver;
    this.#table = table;
  }

  planStage(index: number, isTarget: boolean): void {
    const resolved = this.#resolver.stage(index);
    const { entry, triggers } = resolved;
    const { base, state } = this.#start(resolved);
    const from = entry.stage.from;
    this.shared.stepBudget.spend(1);
    const fromStep: StepDraft = {
      text: displayText(from.text),
      keyword: 'FROM',
      vertex: undefined,
      state: state.state,
      config: state.config,
      history: undefined,
      ranges: state.rangesOf(from.range),
      notes:
        triggers.length === 0
          ? []
          : [`# Executing ${triggers.length} build trigger${triggers.length > 1 ? 's' : ''}`],
      ...(state.author === undefined ? {} : { author: state.author }),
    };
    for (const trigger of triggers) this.#run(state, trigger, from.range);
    for (const instruction of entry.stage.instructions) this.#run(state, instruction, undefined);
    if (isTarget) this.#addLabels(state, from.range);
    this.drafts.set(index, { resolved, state, base, steps: [fromStep, ...state.steps] });
  }

  #run(state: StageState, instruction: StageInstruction, trigger: LineRange | undefined): void {
    at(trigger ?? instruction.range, () =>
      state.finishStep(instruction, lowerInstruction(state, instruction), trigger),
    );
  }

  #start(resolved: ResolvedStage): { readonly base: PlannedStage['base']; readonly state: StageState } {
    const { entry } = resolved;
    const parent = entry.base.kind === 'stage' ? this.#draft(entry.base.index) : undefined;
    const image = resolved.image;
    const imageEdge = image === undefined ? undefined : this.#imageEdge(image, entry.stage.from.range);
    const inherited = parent?.state.config ?? image?.config.config ?? {};
    const config = startConfig(inherited);
    const author =
      parent?.state.author ?? (this.shared.options.dialect === 'buildkit' ? image?.config.author : undefined);
    const state = new StageState(this.shared, {
      platform: entry.platform,
      args: new StageArguments(this.#global, this.shared.options.dialect, {
        config,
        parent: parent?.state.args,
      }),
      config,
      author,
      state: parent?.state.state ?? imageEdge,
      resolveFrom: (from) => this.#from(state, from),
    });
    const base: PlannedStage['base'] =
      image !== undefined && imageEdge !== undefined
        ? {
            kind: 'image',
            reference: image.reference,
            imageId: image.imageId,
            config: image.config,
            vertex: imageEdge.vertex,
          }
        : entry.base.kind === 'stage'
          ? { kind: 'stage', index: entry.base.index }
          : { kind: 'scratch' };
    return { base, state };
  }

  #from(state: StageState, from: string): Edge {
    const target = this.#table.find(from);
    if (target.kind === 'stage') return this.#draft(target.index).state.state ?? state.scratch();
    return this.#imageEdge(this.#resolver.image(target.name), undefined);
  }

  #imageEdge(image: ResolvedImage, range: LineRange | undefined): Edge {
    const { options, graph } = this.shared;
    const source = {
      kind: 'image',
      reference: image.reference,
      platform: image.platform,
      pull: options.pull,
    } as const;
    const ranges =
      range === undefined ? [] : [{ file: options.dockerfile.name, start: range.start, end: range.end }];
    return graph.add({ kind: 'source', source }, [], {
      name: `FROM ${image.reference}`,
      ranges,
      ignoreCache: false,
    });
  }

  #draft(index: number): StageDraft {
    const draft = this.drafts.get(index);
    if (draft === undefined) throw new CodedError('internal', `stage ${index} was not planned yet`);
    return draft;
  }

  /** `--label`: steps of their own in the classic builder, silent in BuildKit. */
  #addLabels(state: StageState, range: LineRange): void {
    const pairs = Object.entries(this.shared.options.labels)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => ({ key, value, hasEquals: true }));
    if (pairs.length === 0) return;
    if (this.shared.options.dialect === 'buildkit') {
      state.config = { ...state.config, Labels: addLabels(state.config.Labels, pairs) };
      return;
    }
    for (const pair of pairs) {
      const text = `LABEL ${pair.key}=${pair.value}`;
      const label: LabelInstruction = {
        kind: 'LABEL',
        keyword: 'LABEL',
        text,
        range,
        comments: [],
        pairs: [pair],
      };
      state.config = { ...state.config, Labels: addLabels(state.config.Labels, [pair]) };
      state.finishStep(label, labelHistory(state, text), undefined);
    }
  }
}

/** Every ARG of the file counts as known, so that an unneeded stage makes nobody a liar about `--build-arg`. */
function noteArguments(file: Dockerfile, global: GlobalArguments): void {
  for (const stage of file.stages) {
    for (const instruction of stage.instructions) {
      if (instruction.kind === 'ARG') for (const { key } of instruction.args) global.noteDeclared(key);
    }
  }
}

function finish(
  planner: Planner,
  context: {
    readonly options: FrontendOptions;
    readonly text: ParsedText;
    readonly file: Dockerfile;
    readonly global: GlobalArguments;
    readonly target: number;
  },
): BuildPlan {
  const { options, text, file, global } = context;
  const drafts = [...planner.drafts].sort(([a], [b]) => a - b).map(([, draft]) => draft);
  const globalSteps = file.globalArgs.map(
    (arg): StepDraft => ({
      text: displayText(arg.text),
      keyword: 'ARG',
      vertex: undefined,
      state: undefined,
      config: {},
      history: undefined,
      ranges: [{ file: options.dockerfile.name, start: arg.range.start, end: arg.range.end }],
      notes: [],
    }),
  );
  const lists = drafts.map((draft, i) => (i === 0 ? [...globalSteps, ...draft.steps] : draft.steps));
  const total = lists.flat().filter((step) => step.isTrigger === undefined).length;
  let number = 0;
  const stages = drafts.map(
    (draft, i): PlannedStage => ({
      index: draft.resolved.entry.index,
      name: draft.resolved.entry.stage.from.name,
      base: draft.base,
      platform: draft.resolved.entry.platform,
      steps: (lists[i] ?? []).map((step) => {
        if (step.isTrigger === undefined) number++;
        return { ...step, number, total };
      }),
      state: draft.state.state,
      config: draft.state.config,
    }),
  );
  const platform = planner.drafts.get(context.target)?.resolved.entry.platform ?? options.platform;
  return {
    graph: planner.shared.graph.freeze(),
    stages,
    target: context.target,
    platform,
    unusedArgs: global.unused(),
    warnings: warningsOf(text, options),
  };
}
