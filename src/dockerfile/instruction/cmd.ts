import type { Statement } from '#dockerfile/text/types.ts';
import { parseFlags } from './flags.ts';
import { parseCommandLine, sourceOf } from './source.ts';
import type { CmdInstruction } from './types.ts';

/** `CMD command` or `CMD ["…"]`. */
export function parseCmd(statement: Statement): CmdInstruction {
  parseFlags(statement.flags, {});
  return { kind: 'CMD', ...sourceOf(statement), ...parseCommandLine(statement) };
}
