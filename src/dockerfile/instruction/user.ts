import type { Statement } from '#dockerfile/text/types.ts';
import { parseFlags } from './flags.ts';
import { requireOneArgument, sourceOf } from './source.ts';
import type { UserInstruction } from './types.ts';

/** `USER user[:group]`. */
export function parseUser(statement: Statement): UserInstruction {
  const user = requireOneArgument(statement, 'USER');
  parseFlags(statement.flags, {});
  return { kind: 'USER', ...sourceOf(statement), user };
}
