import type { Statement } from '#dockerfile/text/types.ts';
import { parseFlags } from './flags.ts';
import { requireOneArgument, sourceOf } from './source.ts';
import type { WorkdirInstruction } from './types.ts';

/** `WORKDIR path`. */
export function parseWorkdir(statement: Statement): WorkdirInstruction {
  const path = requireOneArgument(statement, 'WORKDIR');
  parseFlags(statement.flags, {});
  return { kind: 'WORKDIR', ...sourceOf(statement), path };
}
