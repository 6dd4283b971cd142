import { CodedError } from '#base/errors/index.ts';
import { planDockerfile } from '#build/frontend/index.ts';
import type { ContainerConfig } from '#oci/config/index.ts';
import { digestOf } from '#oci/digest/index.ts';
import { hostPlatform } from '#oci/platform/index.ts';

const ALLOWED = new Set([
  'CMD',
  'ENTRYPOINT',
  'ENV',
  'EXPOSE',
  'HEALTHCHECK',
  'LABEL',
  'ONBUILD',
  'STOPSIGNAL',
  'USER',
  'VOLUME',
  'WORKDIR',
]);

/**
 * Applies the `changes` of import and commit to a config: Dockerfile instructions that change nothing else.
 * @throws {CodedError} `invalid_argument` with Docker's texts.
 */
export async function applyChanges(
  changes: readonly string[],
  base: ContainerConfig = {},
): Promise<ContainerConfig> {
  const lines = changes.filter((line) => line.trim() !== '');
  if (lines.length === 0) return base;
  for (const line of lines) checkKeyword(line);
  const platform = hostPlatform();
  const plan = await inTheirWords(
    planDockerfile(
      {
        dockerfile: { text: `FROM base\n${lines.join('\n')}\n`, name: 'changes' },
        buildArgs: {},
        labels: {},
        platform,
        buildPlatform: platform,
        noCache: false,
        pull: 'missing',
        network: 'none',
        extraHosts: [],
        dialect: 'classic',
      },
      {
        resolveImageConfig: async (reference) => ({
          imageId: digestOf('base'),
          reference,
          config: { ...platform, config: withoutTriggers(base), rootfs: { type: 'layers', diff_ids: [] } },
        }),
      },
    ),
  );
  const [from, ...steps] = plan.stages[0]?.steps ?? [];
  const wrong = [from, ...steps].find((step, i) => i > 0 && !ALLOWED.has(step?.keyword ?? ''));
  if (plan.target !== 0 || wrong !== undefined) throw refused(wrong?.keyword ?? 'FROM');
  return withoutAddedPath(plan.stages[0]?.config ?? {}, from?.config.Env, base, lines);
}

/** Told by the word, as written, before anything of the line is read. A line that goes on from one before is seen by the plan. */
function checkKeyword(line: string): void {
  const word = /^\s*([a-zA-Z]+)(?:\s|$)/.exec(line)?.[1];
  if (word !== undefined && !ALLOWED.has(word.toUpperCase())) throw refused(word);
}

function refused(word: string): CodedError {
  return new CodedError('invalid_argument', `${word} is not a valid change command`);
}

/** Who wrote the lines knows nothing of the file around them. */
async function inTheirWords<T>(plan: Promise<T>): Promise<T> {
  try {
    return await plan;
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    const message = error.message
      .replace(/^failed to parse changes: /, '')
      .replace(/(?<=^dockerfile parse error on line )\d+/, (line) => String(Number(line) - 1));
    throw new CodedError(error.code, message, { cause: error });
  }
}

/** Triggers of a base would be run; here they are only kept. */
function withoutTriggers({ OnBuild: _, ...rest }: ContainerConfig): ContainerConfig {
  return rest;
}

/** A stage starts with a PATH; a config that had none, and was given none, stays without. */
function withoutAddedPath(
  config: ContainerConfig,
  startEnv: readonly string[] | undefined,
  base: ContainerConfig,
  lines: readonly string[],
): ContainerConfig {
  const kept =
    base.OnBuild === undefined
      ? config
      : { ...config, OnBuild: [...base.OnBuild, ...(config.OnBuild ?? [])] };
  const had = (base.Env ?? []).some((line) => line.startsWith('PATH='));
  const added = startEnv?.find((line) => line.startsWith('PATH='));
  if (had || added === undefined || lines.some((line) => /\bPATH\b/.test(line))) return kept;
  return { ...kept, Env: (kept.Env ?? []).filter((line) => line !== added) };
}
