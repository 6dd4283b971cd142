import type { Statement } from '#dockerfile/text/types.ts';
import { parseFlags } from './flags.ts';
import { parseKeyValues, sourceOf } from './source.ts';
import type { LabelInstruction } from './types.ts';

/** `LABEL key=value …` or `LABEL key value`. */
export function parseLabel(statement: Statement): LabelInstruction {
  parseFlags(statement.flags, {});
  return { kind: 'LABEL', ...sourceOf(statement), pairs: parseKeyValues(statement, 'LABEL') };
}
