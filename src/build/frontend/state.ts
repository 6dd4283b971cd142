/** A stage while it is planned: its config, its filesystem so far, its steps. */

import { CodedError } from '#base/errors/index.ts';
import type { GraphBuilder, VertexDetails } from '#build/graph/index.ts';
import type { Edge, Op, SourceRange } from '#build/graph/types.ts';
import { EXPANSION_LIMIT, expand } from '#dockerfile/expand/index.ts';
import type { Escape } from '#dockerfile/expand/types.ts';
import type { StageInstruction } from '#dockerfile/instruction/types.ts';
import type { LineRange } from '#dockerfile/text/types.ts';
import type { ContainerConfig } from '#oci/config/index.ts';
import type { Platform } from '#oci/platform/index.ts';
import type { StageArguments } from './arguments.ts';
import { shellOf } from './config.ts';
import { type Budget, INLINE_FILE_LIMIT } from './limits.ts';
import type { FrontendOptions, PlannedStep } from './types.ts';

/** What the vertex of inline files is called. */
export const INLINE_NAME = 'prepare inline document';

/** A step before it has a number. */
export type StepDraft = Omit<PlannedStep, 'number' | 'total'>;

/** What all stages of a plan share. */
export interface PlanShared {
  readonly options: FrontendOptions;
  readonly graph: GraphBuilder;
  readonly escape: Escape;
  /** Sum of the environments of RUN steps, and of history texts. */
  readonly execBudget: Budget;
  readonly historyBudget: Budget;
  readonly stepBudget: Budget;
}

/** What an instruction may change besides the config. */
export interface StepResult {
  readonly history: PlannedStep['history'];
  readonly edge?: Edge;
  readonly notes?: readonly string[];
}

/** State of one stage; instructions change it through `config`, `addVertex` and `finishStep`. */
export class StageState {
  readonly shared: PlanShared;
  readonly platform: Platform;
  readonly args: StageArguments;
  readonly steps: StepDraft[] = [];
  readonly #resolveFrom: (from: string) => Edge;
  config: ContainerConfig;
  author: string | undefined;
  /** The stage has a CMD of its own, so ENTRYPOINT keeps it. */
  hasOwnCmd = false;
  state: Edge | undefined;

  constructor(
    shared: PlanShared,
    start: {
      readonly platform: Platform;
      readonly args: StageArguments;
      readonly config: ContainerConfig;
      readonly author: string | undefined;
      readonly state: Edge | undefined;
      readonly resolveFrom: (from: string) => Edge;
    },
  ) {
    this.shared = shared;
    this.platform = start.platform;
    this.args = start.args;
    this.config = start.config;
    this.author = start.author;
    this.state = start.state;
    this.#resolveFrom = start.resolveFrom;
  }

  get dialect(): FrontendOptions['dialect'] {
    return this.shared.options.dialect;
  }

  /** Root of the next op: the state so far, or the empty tree. */
  root(): Edge {
    return this.state ?? this.scratch();
  }

  /** The empty tree. */
  scratch(): Edge {
    const details = { name: 'scratch', ranges: [], ignoreCache: false };
    return this.shared.graph.add({ kind: 'source', source: { kind: 'scratch' } }, [], details);
  }

  /** The build context. */
  context(): Edge {
    const details = { name: 'load build context', ranges: [], ignoreCache: false };
    return this.shared.graph.add({ kind: 'source', source: { kind: 'local', name: 'context' } }, [], details);
  }

  /** The tree that `COPY --from` or a mount names. */
  from(name: string): Edge {
    return this.#resolveFrom(name);
  }

  /** Adds a vertex that belongs to `instruction`, and is shown as it unless it has a `name` of its own. */
  addVertex(op: Op, inputs: readonly Edge[], instruction: StageInstruction, name?: string): Edge {
    const details: VertexDetails = {
      name: name ?? displayText(instruction.text),
      ranges: this.rangesOf(instruction.range),
      ignoreCache: this.shared.options.noCache && op.kind !== 'source',
      ...(op.kind === 'exec' ? { platform: this.platform } : {}),
    };
    return this.shared.graph.add(op, inputs, details);
  }

  /** Source lines as errors and the record show them. */
  rangesOf(range: LineRange): readonly SourceRange[] {
    return [{ file: this.shared.options.dockerfile.name, start: range.start, end: range.end }];
  }

  /** Replaces variables in one word. */
  expand(word: string): string {
    return expand(word, this.args.variables(this.config), { escape: this.shared.escape }).text;
  }

  /** Replaces variables, then splits at white space. */
  expandWords(word: string): readonly string[] {
    return expand(word, this.args.variables(this.config), { escape: this.shared.escape }).words;
  }

  /** Replaces variables in an inline file; quotes stay. */
  expandFile(content: string): string {
    return expand(content, this.args.variables(this.config), {
      escape: '\\',
      skipProcessQuotes: true,
      limit: Math.max(EXPANSION_LIMIT, INLINE_FILE_LIMIT),
    }).text;
  }

  /** Records the step that `instruction` is. */
  finishStep(instruction: StageInstruction, result: StepResult, trigger: LineRange | undefined): void {
    this.shared.stepBudget.spend(1);
    this.shared.historyBudget.spend(result.history?.createdBy.length ?? 0);
    if (result.edge !== undefined) this.state = result.edge;
    this.steps.push({
      text: displayText(instruction.text),
      keyword: instruction.kind,
      vertex: result.edge?.vertex,
      state: this.state,
      config: this.config,
      history: result.history,
      ranges: this.rangesOf(trigger ?? instruction.range),
      notes: result.notes ?? [],
      ...(this.author === undefined ? {} : { author: this.author }),
      ...(trigger === undefined ? {} : { isTrigger: true as const }),
    });
  }
}

/** An instruction as people see it: as written, on one line. */
export function displayText(text: string): string {
  return text.trim();
}

/** A command as the container gets it. BuildKit gives the shell an empty word when there is none. */
export function commandWords(
  stage: StageState,
  command: readonly string[],
  isShell: boolean,
): readonly string[] {
  if (!isShell) return command;
  return [...shellOf(stage.config), ...(stage.dialect === 'buildkit' ? [command.join(' ')] : command)];
}

/** @throws {CodedError} `invalid_argument` for a NUL byte, which no path, argument or variable can hold. */
export function refuseNul(texts: readonly string[]): void {
  if (texts.some((text) => text.includes('\0'))) {
    throw new CodedError('invalid_argument', 'paths, arguments and variables cannot hold a NUL byte');
  }
}

/** The error for what this builder does not do. */
export function unsupported(message: string): CodedError {
  return new CodedError('unimplemented', message);
}
