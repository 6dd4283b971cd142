import type { Statement } from '#dockerfile/text/types.ts';
import { descriptionOf, invalid, requireArguments, sourceOf } from './source.ts';
import type { ArgInstruction } from './types.ts';

/** `ARG name[=default] …`. */
export function parseArg(statement: Statement): ArgInstruction {
  requireArguments(statement, 'ARG');
  const args = statement.args.map((argument) => {
    const equals = argument.indexOf('=');
    if (equals === 0) throw invalid('ARG names can not be blank');
    const key = equals < 0 ? argument : argument.slice(0, equals);
    const value = equals < 0 ? undefined : argument.slice(equals + 1);
    return { key, value, description: descriptionOf(statement.comments, key) };
  });
  return { kind: 'ARG', ...sourceOf(statement), args };
}
