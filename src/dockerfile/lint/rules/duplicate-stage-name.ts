import { quote } from '#dockerfile/expand/index.ts';
import type { LintRule } from '../types.ts';

/** Two stages of one name: only the later can be used. */
export const duplicateStageName: LintRule = {
  name: 'DuplicateStageName',
  description: 'Stage names should be unique',
  page: 'duplicate-stage-name',
  check: ({ stages }, report) => {
    const seen = new Set<string>();
    for (const { name, from } of stages) {
      if (name === undefined) continue;
      const lower = name.toLowerCase();
      if (seen.has(lower)) report(from, `Duplicate stage name ${quote(lower)}, stage names should be unique`);
      seen.add(lower);
    }
  },
};
