/** Which stages there are, what each stands on, and which of them the target needs. */
import { CodedError, messageOf } from '#base/errors/index.ts';
import { findSimilar, withSuggestion } from '#base/similar/index.ts';
import { expand, quote } from '#dockerfile/expand/index.ts';
import type { Escape } from '#dockerfile/expand/types.ts';
import { mountFrom } from '#dockerfile/instruction/index.ts';
import type { Dockerfile, Stage, StageInstruction } from '#dockerfile/instruction/types.ts';
import { DockerfileSyntaxError, locate } from '#dockerfile/text/index.ts';
import type { LineRange } from '#dockerfile/text/types.ts';
import { type Platform, parsePlatform } from '#oci/platform/index.ts';
import { formatCanonical, parseReference, withDefaultTag } from '#oci/reference/index.ts';
import type { GlobalArguments } from './arguments.ts';
import type { FrontendOptions } from './types.ts';

/** What a FROM names. */
export type StageBase =
  | { readonly kind: 'scratch' }
  | { readonly kind: 'stage'; readonly index: number }
  | { readonly kind: 'image'; readonly name: string };

/** A stage with its names resolved. */
export interface StageEntry {
  readonly index: number;
  readonly stage: Stage;
  readonly base: StageBase;
  readonly platform: Platform;
  /** For messages. */
  readonly label: string;
}

/** Where a `from` of COPY or a mount leads. */
export type FromTarget =
  | { readonly kind: 'stage'; readonly index: number }
  | { readonly kind: 'image'; readonly name: string };

/** All stages of a file. */
export class StageTable {
  readonly entries: readonly StageEntry[];
  readonly #byName = new Map<string, number>();
  readonly #dialect: FrontendOptions['dialect'];

  constructor(file: Dockerfile, global: GlobalArguments, options: FrontendOptions, escapeChar: Escape) {
    this.#dialect = options.dialect;
    const entries: StageEntry[] = [];
    for (const [index, stage] of file.stages.entries()) {
      const name = at(stage.from.range, () => baseNameOf(stage, global, escapeChar));
      const earlier = this.#byName.get(name.toLowerCase());
      const base: StageBase =
        earlier !== undefined
          ? { kind: 'stage', index: earlier }
          : name === 'scratch'
            ? { kind: 'scratch' }
            : { kind: 'image', name };
      const platform = at(stage.from.range, () => platformOf(stage, global, options, escapeChar));
      entries.push({ index, stage, base, platform, label: stage.from.name ?? `stage-${index}` });
      if (stage.from.name !== undefined)
        at(stage.from.range, () => this.#addName(stage.from.name ?? '', index));
    }
    this.entries = entries;
  }

  #addName(name: string, index: number): void {
    if (this.#dialect === 'classic' && this.#byName.has(name)) {
      throw new CodedError('invalid_argument', `${name} stage name already used`);
    }
    this.#byName.set(name, index);
  }

  /** The stage to build: a name in any letter case, a number, or the last one. */
  target(name: string | undefined): StageEntry {
    const last = this.entries[this.entries.length - 1];
    if (last === undefined) throw noStages();
    if (name === undefined || name === '') return last;
    const index = this.#byName.get(name.toLowerCase()) ?? (/^\d+$/.test(name) ? Number(name) : -1);
    const entry = this.entries[index];
    if (entry !== undefined) return entry;
    const names = [...this.#byName.keys()];
    const text = `target stage ${quote(name)} could not be found`;
    const message = withSuggestion(text, name, names, { caseSensitive: true });
    const similar = findSimilar(name, names, { caseSensitive: true });
    throw new CodedError('invalid_argument', message, {
      subject: { kind: 'stage', name },
      help: {
        id: 'build/no-such-target',
        cause:
          names.length === 0 ? 'no stage of the Dockerfile has a name' : `the stages are ${names.join(', ')}`,
        fix: similar === undefined ? [] : [`--target ${similar}`],
      },
    });
  }

  /** Resolves `from`: a stage by name or number, anything else is an image. */
  find(from: string): FromTarget {
    if (from.includes('$')) {
      throw new CodedError(
        'invalid_argument',
        'variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround',
      );
    }
    if (/^[+-]?\d+$/.test(from)) {
      const index = Number(from);
      if (this.entries[index] === undefined) {
        throw new CodedError(
          'invalid_argument',
          this.#dialect === 'classic'
            ? `invalid from flag value ${from}: index out of bounds`
            : `invalid stage index ${index}`,
        );
      }
      return { kind: 'stage', index };
    }
    const index = this.#byName.get(from.toLowerCase());
    return index === undefined ? { kind: 'image', name: from } : { kind: 'stage', index };
  }

  /** Checks every stage, wanted or not, for names that lead nowhere or in a circle. */
  check(): void {
    const dependencies = this.entries.map((entry) => this.dependenciesOf(entry, entry.stage.instructions));
    orderStages(
      this.entries,
      this.entries.map((entry) => entry.index),
      (index) => dependencies[index] ?? [],
    );
  }

  /** Stages that a stage with these instructions stands on. */
  dependenciesOf(entry: StageEntry, instructions: readonly StageInstruction[]): readonly number[] {
    const base = entry.base.kind === 'stage' ? [entry.base.index] : [];
    const used = instructions.flatMap((instruction) =>
      fromsOf(instruction).flatMap((from) => {
        const target = at(instruction.range, () => this.find(from));
        return target.kind === 'stage' ? [target.index] : [];
      }),
    );
    return [...base, ...used];
  }
}

/** The `from` values of an instruction. */
export function fromsOf(instruction: StageInstruction): readonly string[] {
  if (instruction.kind === 'COPY') return instruction.from === '' ? [] : [instruction.from];
  if (instruction.kind !== 'RUN') return [];
  return instruction.mounts.map(mountFrom).filter((from) => from !== '');
}

/** What `roots` need, dependencies first. @throws {CodedError} `invalid_argument` for a circle. */
export function orderStages(
  entries: readonly StageEntry[],
  roots: readonly number[],
  dependenciesOf: (index: number) => readonly number[],
): readonly number[] {
  const order: number[] = [];
  const state = new Map<number, 'open' | 'done'>();
  for (const root of roots) {
    const path = state.has(root) ? [] : [{ index: root, next: 0 }];
    if (path.length > 0) state.set(root, 'open');
    for (let top = path[path.length - 1]; top !== undefined; top = path[path.length - 1]) {
      const dependency = dependenciesOf(top.index)[top.next++];
      if (dependency === undefined) {
        state.set(top.index, 'done');
        order.push(top.index);
        path.pop();
      } else if (state.get(dependency) === 'open') {
        const entry = entries[dependency];
        throw new DockerfileSyntaxError(
          `circular dependency detected on stage: ${entry?.label}`,
          entry?.stage.from.range,
        );
      } else if (!state.has(dependency)) {
        state.set(dependency, 'open');
        path.push({ index: dependency, next: 0 });
      }
    }
  }
  return order;
}

/** The canonical reference of a base. @throws {CodedError} in BuildKit's words `failed to parse stage name "…": …`. */
export function imageReference(name: string, dialect: FrontendOptions['dialect']): string {
  try {
    return formatCanonical(withDefaultTag(parseReference(name)));
  } catch (error) {
    if (dialect === 'classic') throw error;
    throw new CodedError(
      'invalid_argument',
      `failed to parse stage name ${quote(name)}: ${messageOf(error)}`,
      {
        cause: error,
        help: error instanceof CodedError ? error.help : undefined,
      },
    );
  }
}

/** Runs `action`; an error it throws gets these lines. */
export function at<T>(range: LineRange, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw locate(error, range);
  }
}

/** The error for a file without FROM. */
export function noStages(): DockerfileSyntaxError {
  return new DockerfileSyntaxError('dockerfile contains no stages to build', undefined, {
    help: {
      id: 'dockerfile/no-from',
      cause: 'there is no FROM instruction',
      fix: ['start the Dockerfile with FROM <image>'],
    },
  });
}

function baseNameOf(stage: Stage, global: GlobalArguments, escapeChar: Escape): string {
  const name = expand(stage.from.base, global.values, { escape: escapeChar }).text;
  if (name !== '') return name;
  throw new CodedError('invalid_argument', `base name (${stage.from.base}) should not be blank`, {
    help: {
      id: 'dockerfile/blank-base',
      cause: 'a variable in FROM has no value',
      fix: ['give the ARG before FROM a default, or pass --build-arg'],
    },
  });
}

function platformOf(
  stage: Stage,
  global: GlobalArguments,
  options: FrontendOptions,
  escapeChar: Escape,
): Platform {
  const written = stage.from.platform;
  if (written === '') return options.platform;
  const { text, unmatched } = expand(written, global.values, { escape: escapeChar });
  if (text === '') {
    const [missing = ''] = unmatched;
    const names = [...global.values.keys()];
    throw new CodedError(
      'invalid_argument',
      withSuggestion(`empty platform value from expression ${written}`, missing, names, {
        caseSensitive: true,
      }),
    );
  }
  try {
    return parsePlatform(text, options.buildPlatform);
  } catch (error) {
    throw new CodedError('invalid_argument', `failed to parse platform ${written}: ${messageOf(error)}`);
  }
}
