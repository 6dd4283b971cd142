import type { LintRule } from '../types.ts';

/** `ENV key value` instead of `ENV key=value`. */
export const legacyKeyValueFormat: LintRule = {
  name: 'LegacyKeyValueFormat',
  description: 'Legacy key/value format with whitespace separator should not be used',
  page: 'legacy-key-value-format',
  check: ({ stages }, report) => {
    for (const statement of stages.flatMap((stage) => stage.statements)) {
      if (statement.pairs?.some((pair) => !pair.hasEquals) !== true) continue;
      const { keyword } = statement;
      report(
        statement,
        `"${keyword} key=value" should be used instead of legacy "${keyword} key value" format`,
      );
    }
  },
};
