/** What a step's history line says: the classic builder's words, or BuildKit's. */
import type { ContainerConfig } from '#oci/config/index.ts';
import { shellOf } from './config.ts';
import type { FrontendOptions, PlannedStep } from './types.ts';

/** Stands for the digest of what ADD or COPY added, which only the solver knows. */
export const CONTENT_HASH = '{contentHash}';

type History = NonNullable<PlannedStep['history']>;

const BUILDKIT_COMMENT = 'buildkit.dockerfile.v0';

/** A step that changes the config only; `text` may differ per dialect. */
export function configHistory(
  dialect: FrontendOptions['dialect'],
  config: ContainerConfig,
  texts: { readonly classic: string; readonly buildkit: string },
): History {
  if (dialect === 'buildkit')
    return { createdBy: texts.buildkit, emptyLayer: true, comment: BUILDKIT_COMMENT };
  return { createdBy: `${shellOf(config).join(' ')} #(nop)  ${texts.classic}`, emptyLayer: true };
}

/** A step that changes files. The classic text has one space where others have two. */
export function fileHistory(
  dialect: FrontendOptions['dialect'],
  config: ContainerConfig,
  texts: { readonly classic: string; readonly buildkit: string; readonly emptyLayer?: boolean },
): History {
  const emptyLayer = texts.emptyLayer ?? false;
  if (dialect === 'buildkit') return { createdBy: texts.buildkit, emptyLayer, comment: BUILDKIT_COMMENT };
  return { createdBy: `${shellOf(config).join(' ')} #(nop) ${texts.classic}`, emptyLayer };
}

/** RUN: the command itself, with the build arguments it saw. */
export function runHistory(dialect: FrontendOptions['dialect'], words: readonly string[]): History {
  const command = words.join(' ');
  if (dialect === 'classic') return { createdBy: command, emptyLayer: false };
  return { createdBy: `RUN ${command} # buildkit`, emptyLayer: false, comment: BUILDKIT_COMMENT };
}
