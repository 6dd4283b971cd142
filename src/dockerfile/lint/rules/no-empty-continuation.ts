import type { LintRule } from '../types.ts';

/** An empty line inside a continued instruction. */
export const noEmptyContinuation: LintRule = {
  name: 'NoEmptyContinuation',
  description: 'Empty continuation lines will become errors in a future release',
  page: 'no-empty-continuation',
  check: ({ text }, report) => {
    for (const warning of text.warnings) report(warning.range.start, 'Empty continuation line');
  },
};
