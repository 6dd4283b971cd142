import type { LintRule } from '../types.ts';

/** MAINTAINER instead of a label. */
export const maintainerDeprecated: LintRule = {
  name: 'MaintainerDeprecated',
  description: 'The MAINTAINER instruction is deprecated, use a label instead to define an image author',
  page: 'maintainer-deprecated',
  check: ({ stages }, report) => {
    for (const statement of stages.flatMap((stage) => stage.statements)) {
      if (statement.keyword.toUpperCase() !== 'MAINTAINER') continue;
      report(statement, 'Maintainer instruction is deprecated in favor of using label');
    }
  },
};
