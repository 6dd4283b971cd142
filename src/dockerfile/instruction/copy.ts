import type { Statement } from '#dockerfile/text/types.ts';
import { parseFlags } from './flags.ts';
import { parseSources, requireDestination, sourceOf } from './source.ts';
import type { CopyInstruction } from './types.ts';

/** `COPY [flags] source… destination`. */
export function parseCopy(statement: Statement): CopyInstruction {
  requireDestination(statement, 'COPY');
  const flags = parseFlags(statement.flags, {
    chown: 'string',
    from: 'string',
    chmod: 'string',
    link: 'bool',
    parents: 'bool',
    exclude: 'strings',
  });
  return {
    kind: 'COPY',
    ...sourceOf(statement),
    ...parseSources(statement, 'COPY'),
    from: flags.string('from'),
    chown: flags.string('chown'),
    chmod: flags.string('chmod'),
    link: flags.bool('link') ?? false,
    parents: flags.bool('parents') ?? false,
    exclude: flags.strings('exclude'),
  };
}
