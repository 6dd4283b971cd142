import { trimSpace } from '#dockerfile/expand/index.ts';
import type { Statement } from '#dockerfile/text/types.ts';
import { parseFlags } from './flags.ts';
import { descriptionOf, invalid, quote, sourceOf } from './source.ts';
import type { FromInstruction } from './types.ts';

/** `FROM [--platform=…] base [AS name]`. */
export function parseFrom(statement: Statement): FromInstruction {
  const name = parseStageName(statement.args);
  const flags = parseFlags(statement.flags, { platform: 'string' });
  return {
    kind: 'FROM',
    ...sourceOf(statement),
    text: trimSpace(statement.text),
    base: statement.args[0] ?? '',
    name,
    platform: flags.string('platform'),
    description: descriptionOf(statement.comments, name ?? ''),
  };
}

function parseStageName(args: readonly string[]): string | undefined {
  const [, as, name] = args;
  if (args.length === 1) return undefined;
  if (args.length !== 3 || as?.toLowerCase() !== 'as' || name === undefined) {
    throw invalid('FROM requires either one or three arguments');
  }
  const lower = name.toLowerCase();
  if (!/^[a-z][a-z0-9-_.]*$/.test(lower)) {
    throw invalid(
      `invalid name for build stage: ${quote(name)}, name can't start with a number or contain symbols`,
    );
  }
  return lower;
}
