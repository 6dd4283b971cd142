import { trimSpaceStart } from '#dockerfile/expand/index.ts';
import type { Statement } from '#dockerfile/text/types.ts';
import { parseFlags } from './flags.ts';
import { invalid, requireArguments, sourceOf } from './source.ts';
import type { OnbuildInstruction } from './types.ts';

/** `ONBUILD instruction`. */
export function parseOnbuild(statement: Statement): OnbuildInstruction {
  requireArguments(statement, 'ONBUILD');
  parseFlags(statement.flags, {});
  const trigger = (statement.args[0] ?? '').toUpperCase();
  if (trigger === 'ONBUILD') throw invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  if (trigger === 'MAINTAINER' || trigger === 'FROM') {
    throw invalid(`${trigger} isn't allowed as an ONBUILD trigger`);
  }
  const heredocs = statement.heredocs.map((heredoc) => `\n${heredoc.content}${heredoc.name}`).join('');
  const text = trimSpaceStart(trimSpaceStart(statement.text).slice('ONBUILD'.length));
  return { kind: 'ONBUILD', ...sourceOf(statement), expression: text + heredocs };
}
