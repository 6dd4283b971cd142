import type { Statement } from '#dockerfile/text/types.ts';
import { requireOneArgument, sourceOf } from './source.ts';
import type { StopsignalInstruction } from './types.ts';

/** `STOPSIGNAL signal`. */
export function parseStopsignal(statement: Statement): StopsignalInstruction {
  return {
    kind: 'STOPSIGNAL',
    ...sourceOf(statement),
    signal: requireOneArgument(statement, 'STOPSIGNAL'),
  };
}
