import type { Statement } from '#dockerfile/text/types.ts';
import { parseFlags } from './flags.ts';
import { parseCommandLine, sourceOf } from './source.ts';
import type { EntrypointInstruction } from './types.ts';

/** `ENTRYPOINT command` or `ENTRYPOINT ["…"]`. */
export function parseEntrypoint(statement: Statement): EntrypointInstruction {
  parseFlags(statement.flags, {});
  return { kind: 'ENTRYPOINT', ...sourceOf(statement), ...parseCommandLine(statement) };
}
