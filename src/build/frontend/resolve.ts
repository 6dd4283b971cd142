/** Finds the images a target needs, and what they bring: config and triggers. */
import { CodedError, wrapError } from '#base/errors/index.ts';
import { parseInstruction } from '#dockerfile/instruction/index.ts';
import type { StageInstruction } from '#dockerfile/instruction/types.ts';
import { DockerfileSyntaxError, locate, parseText } from '#dockerfile/text/index.ts';
import type { ImageConfig } from '#oci/config/index.ts';
import type { Digest } from '#oci/digest/index.ts';
import { formatPlatform, type Platform } from '#oci/platform/index.ts';
import { at, fromsOf, imageReference, orderStages, type StageEntry, type StageTable } from './stages.ts';
import type { FrontendBridge, FrontendOptions } from './types.ts';

/** A base image or the image of a `from`. */
export interface ResolvedImage {
  readonly reference: string;
  readonly imageId: Digest;
  readonly config: ImageConfig;
  readonly platform: Platform;
}

/** A needed stage, with what its base brings. */
export interface ResolvedStage {
  readonly entry: StageEntry;
  readonly image: ResolvedImage | undefined;
  readonly triggers: readonly StageInstruction[];
}

/** Resolves stages from the target down; images of one level are asked for side by side, each once. */
export class StageResolver {
  readonly #table: StageTable;
  readonly #options: FrontendOptions;
  readonly #bridge: FrontendBridge;
  readonly #stages = new Map<number, ResolvedStage>();
  readonly #images = new Map<string, Promise<ResolvedImage>>();
  /** Images named by a `from`. */
  readonly #named = new Map<string, ResolvedImage>();

  constructor(table: StageTable, options: FrontendOptions, bridge: FrontendBridge) {
    this.#table = table;
    this.#options = options;
    this.#bridge = bridge;
  }

  /** Indexes of the stages `target` needs, in an order in which they can be planned. */
  async resolve(target: number): Promise<readonly number[]> {
    const dependencies = new Map<number, readonly number[]>();
    let wave = [target];
    while (wave.length > 0) {
      const resolved = await Promise.all(wave.map((index) => this.#resolveStage(index)));
      for (const stage of resolved) {
        this.#stages.set(stage.entry.index, stage);
        const instructions = [...stage.triggers, ...stage.entry.stage.instructions];
        dependencies.set(stage.entry.index, this.#table.dependenciesOf(stage.entry, instructions));
      }
      await Promise.all(resolved.map((stage) => this.#resolveFroms(stage)));
      const next = resolved.flatMap((stage) => dependencies.get(stage.entry.index) ?? []);
      wave = [...new Set(next)].filter((index) => !this.#stages.has(index));
    }
    return orderStages(this.#table.entries, [target], (index) => dependencies.get(index) ?? []);
  }

  /** A stage that was resolved. */
  stage(index: number): ResolvedStage {
    const stage = this.#stages.get(index);
    if (stage === undefined) throw new CodedError('internal', `stage ${index} is not resolved`);
    return stage;
  }

  /** The image of a `from` that was resolved. */
  image(name: string): ResolvedImage {
    const image = this.#named.get(name);
    if (image === undefined) throw new CodedError('internal', `image "${name}" is not resolved`);
    return image;
  }

  async #resolveStage(index: number): Promise<ResolvedStage> {
    const entry = this.#table.entries[index];
    if (entry === undefined) throw new CodedError('internal', `there is no stage ${index}`);
    if (entry.base.kind === 'stage') {
      const base = this.#table.entries[entry.base.index];
      const expressions = (base?.stage.instructions ?? []).flatMap((instruction) =>
        instruction.kind === 'ONBUILD' ? [instruction.expression] : [],
      );
      return { entry, image: undefined, triggers: parseTriggers(expressions, entry) };
    }
    if (entry.base.kind === 'scratch') return { entry, image: undefined, triggers: [] };
    const { name } = entry.base;
    const reference = at(entry.stage.from.range, () => imageReference(name, this.#options.dialect));
    const image = await this.#resolveImage(reference, entry.platform);
    return { entry, image, triggers: parseTriggers(image.config.config?.OnBuild ?? [], entry) };
  }

  async #resolveFroms(stage: ResolvedStage): Promise<void> {
    const instructions = [...stage.triggers, ...stage.entry.stage.instructions];
    const wanted = instructions.flatMap((instruction) =>
      fromsOf(instruction).map((from) => ({ from, instruction })),
    );
    await Promise.all(
      wanted.map(async ({ from, instruction }) => {
        const target = this.#table.find(from);
        if (target.kind === 'stage') return;
        const reference = at(instruction.range, () => imageReference(target.name, this.#options.dialect));
        try {
          this.#named.set(target.name, await this.#resolveImage(reference, this.#options.platform));
        } catch (error) {
          throw this.#options.dialect === 'classic'
            ? wrapError(error, `invalid from flag value ${from}`)
            : error;
        }
      }),
    );
  }

  #resolveImage(reference: string, platform: Platform): Promise<ResolvedImage> {
    const key = `${reference} ${formatPlatform(platform)}`;
    const running = this.#images.get(key);
    if (running !== undefined) return running;
    const started = this.#bridge
      .resolveImageConfig(reference, { platform, pull: this.#options.pull })
      .then((image) => ({ ...image, platform }));
    this.#images.set(key, started);
    return started;
  }
}

/** ONBUILD texts of a base to instructions; their errors point at the FROM. */
function parseTriggers(expressions: readonly string[], entry: StageEntry): readonly StageInstruction[] {
  const { range } = entry.stage.from;
  return expressions.map((expression) => {
    try {
      const { statements } = parseText(expression);
      const [statement] = statements;
      if (statement === undefined || statements.length !== 1) {
        throw new CodedError('invalid_argument', 'onbuild trigger should be a single expression');
      }
      const instruction = parseInstruction({ ...statement, range });
      if (
        instruction.kind === 'FROM' ||
        instruction.kind === 'ONBUILD' ||
        instruction.kind === 'MAINTAINER'
      ) {
        throw new CodedError('invalid_argument', `${instruction.kind} isn't allowed as an ONBUILD trigger`);
      }
      return instruction;
    } catch (error) {
      if (error instanceof DockerfileSyntaxError)
        throw new DockerfileSyntaxError(error.message, range, { cause: error });
      throw locate(error, range);
    }
  });
}
