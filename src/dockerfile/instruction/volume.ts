import { trimSpace } from '#dockerfile/expand/index.ts';
import type { Statement } from '#dockerfile/text/types.ts';
import { parseFlags } from './flags.ts';
import { invalid, requireArguments, sourceOf } from './source.ts';
import type { VolumeInstruction } from './types.ts';

/** `VOLUME path …` or `VOLUME ["…"]`. */
export function parseVolume(statement: Statement): VolumeInstruction {
  requireArguments(statement, 'VOLUME');
  parseFlags(statement.flags, {});
  const volumes = statement.args.map(trimSpace);
  if (volumes.includes('')) throw invalid('VOLUME specified can not be an empty string');
  return { kind: 'VOLUME', ...sourceOf(statement), volumes };
}
