import type { Statement } from '#dockerfile/text/types.ts';
import { parseFlags } from './flags.ts';
import { requireArguments, sourceOf } from './source.ts';
import type { ExposeInstruction } from './types.ts';

/** `EXPOSE port[/protocol] …`; ports are sorted as text, as Docker does. */
export function parseExpose(statement: Statement): ExposeInstruction {
  requireArguments(statement, 'EXPOSE');
  parseFlags(statement.flags, {});
  return { kind: 'EXPOSE', ...sourceOf(statement), ports: [...statement.args].sort() };
}
