import type { LintRule } from '../types.ts';

/** `FROM … as`, or `from … AS`. */
export const fromAsCasing: LintRule = {
  name: 'FromAsCasing',
  description: "The 'as' keyword should match the case of the 'from' keyword",
  page: 'from-as-casing',
  check: ({ stages }, report) => {
    for (const { name, from } of stages) {
      const as = from.args[1];
      if (name === undefined || as === undefined) continue;
      const isLower = from.keyword === from.keyword.toLowerCase();
      const isUpper = from.keyword === from.keyword.toUpperCase();
      if ((isLower && as !== as.toLowerCase()) || (isUpper && as !== as.toUpperCase())) {
        report(from, `'${as}' and '${from.keyword}' keywords' casing do not match`);
      }
    }
  },
};
