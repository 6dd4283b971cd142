import type { Statement } from '#dockerfile/text/types.ts';
import { parseFlags } from './flags.ts';
import { parseKeyValues, sourceOf } from './source.ts';
import type { EnvInstruction } from './types.ts';

/** `ENV key=value …` or `ENV key value`. */
export function parseEnv(statement: Statement): EnvInstruction {
  parseFlags(statement.flags, {});
  return { kind: 'ENV', ...sourceOf(statement), pairs: parseKeyValues(statement, 'ENV') };
}
