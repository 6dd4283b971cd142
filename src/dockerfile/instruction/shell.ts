import type { Statement } from '#dockerfile/text/types.ts';
import { parseFlags } from './flags.ts';
import { invalid, requireArguments, sourceOf } from './source.ts';
import type { ShellInstruction } from './types.ts';

/** `SHELL ["executable", "argument"]`. */
export function parseShell(statement: Statement): ShellInstruction {
  parseFlags(statement.flags, {});
  requireArguments(statement, 'SHELL');
  if (!statement.json) throw invalid('SHELL requires the arguments to be in JSON form');
  return { kind: 'SHELL', ...sourceOf(statement), shell: statement.args };
}
