import type { LintRule } from '../types.ts';

/** Stage names count in any letter case, so they should be written in one. */
export const stageNameCasing: LintRule = {
  name: 'StageNameCasing',
  description: 'Stage names should be lowercase',
  page: 'stage-name-casing',
  check: ({ stages }, report) => {
    for (const { name, from } of stages) {
      if (name !== undefined && name !== name.toLowerCase()) {
        report(from, `Stage name '${name}' should be lowercase`);
      }
    }
  },
};
