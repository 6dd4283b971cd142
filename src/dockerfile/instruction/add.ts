import type { Statement } from '#dockerfile/text/types.ts';
import { parseFlags } from './flags.ts';
import { parseSources, requireDestination, sourceOf } from './source.ts';
import type { AddInstruction } from './types.ts';

/** `ADD [flags] source… destination`. */
export function parseAdd(statement: Statement): AddInstruction {
  requireDestination(statement, 'ADD');
  const flags = parseFlags(statement.flags, {
    chown: 'string',
    chmod: 'string',
    link: 'bool',
    'keep-git-dir': 'bool',
    checksum: 'string',
    exclude: 'strings',
    unpack: 'bool',
  });
  return {
    kind: 'ADD',
    ...sourceOf(statement),
    ...parseSources(statement, 'ADD'),
    chown: flags.string('chown'),
    chmod: flags.string('chmod'),
    link: flags.bool('link') ?? false,
    exclude: flags.strings('exclude'),
    keepGitDir: flags.bool('keep-git-dir'),
    checksum: flags.string('checksum'),
    unpack: flags.bool('unpack'),
  };
}
