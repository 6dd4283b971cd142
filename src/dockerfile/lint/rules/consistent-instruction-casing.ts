import type { LintRule } from '../types.ts';

/** A keyword in another letter case than most, or in a mixed one. */
export const consistentInstructionCasing: LintRule = {
  name: 'ConsistentInstructionCasing',
  description: 'All commands within the Dockerfile should use the same casing (either upper or lower)',
  page: 'consistent-instruction-casing',
  check: ({ stages }, report) => {
    const statements = stages.flatMap((stage) => [stage.from, ...stage.statements]);
    const lower = statements.filter(({ keyword }) => keyword === keyword.toLowerCase()).length;
    const upper = statements.filter(({ keyword }) => keyword === keyword.toUpperCase()).length;
    const majority = lower > upper ? 'lowercase' : 'uppercase';
    for (const statement of statements) {
      const { keyword } = statement;
      const wanted = majority === 'lowercase' ? keyword.toLowerCase() : keyword.toUpperCase();
      if (keyword === wanted) continue;
      report(statement, `Command '${keyword}' should match the case of the command majority (${majority})`);
    }
  },
};
