import type { Statement } from '#dockerfile/text/types.ts';
import type { LintRule } from '../types.ts';

const ONCE = ['CMD', 'ENTRYPOINT', 'HEALTHCHECK'];

/** Of several CMD in a stage only the last counts. */
export const multipleInstructionsDisallowed: LintRule = {
  name: 'MultipleInstructionsDisallowed',
  description: 'Multiple instructions of the same type should not be used in the same stage',
  page: 'multiple-instructions-disallowed',
  check: ({ stages }, report) => {
    for (const { statements } of stages) {
      const earlier = new Map<string, Statement>();
      for (const statement of statements) {
        const keyword = statement.keyword.toUpperCase();
        if (!ONCE.includes(keyword)) continue;
        const before = earlier.get(keyword);
        if (before !== undefined) {
          report(
            before,
            `Multiple ${before.keyword} instructions should not be used in the same stage because only the last one will be used`,
          );
        }
        earlier.set(keyword, statement);
      }
    }
  },
};
