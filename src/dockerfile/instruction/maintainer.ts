import type { Statement } from '#dockerfile/text/types.ts';
import { parseFlags } from './flags.ts';
import { requireOneArgument, sourceOf } from './source.ts';
import type { MaintainerInstruction } from './types.ts';

/** `MAINTAINER name`, deprecated. */
export function parseMaintainer(statement: Statement): MaintainerInstruction {
  const maintainer = requireOneArgument(statement, 'MAINTAINER');
  parseFlags(statement.flags, {});
  return { kind: 'MAINTAINER', ...sourceOf(statement), maintainer };
}
