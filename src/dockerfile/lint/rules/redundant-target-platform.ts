import type { LintRule } from '../types.ts';

/** The target platform is what FROM takes anyway. */
export const redundantTargetPlatform: LintRule = {
  name: 'RedundantTargetPlatform',
  description:
    'Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior',
  page: 'redundant-target-platform',
  check: ({ stages }, report) => {
    for (const { from } of stages) {
      const flag = from.flags.find((candidate) =>
        /^--platform=\$(?:TARGETPLATFORM|\{TARGETPLATFORM\})$/.test(candidate),
      );
      if (flag === undefined) continue;
      const variable = flag.slice('--platform='.length);
      report(
        from,
        `Setting platform to predefined ${variable} in FROM is redundant as this is the default behavior`,
      );
    }
  },
};
