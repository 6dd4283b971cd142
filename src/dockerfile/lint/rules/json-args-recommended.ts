import type { LintRule, LintStage } from '../types.ts';

/** Shell form of CMD and ENTRYPOINT: signals go to the shell. A SHELL of one's own says that this is meant. */
export const jsonArgsRecommended: LintRule = {
  name: 'JSONArgsRecommended',
  description:
    'JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals',
  page: 'json-args-recommended',
  check: ({ stages }, report) => {
    const withShell = new Set<string>();
    for (const stage of stages) {
      let hasShell = withShell.has((stage.from.args[0] ?? '').toLowerCase());
      for (const statement of stage.statements) {
        const keyword = statement.keyword.toUpperCase();
        if (keyword === 'SHELL') hasShell = true;
        if ((keyword !== 'CMD' && keyword !== 'ENTRYPOINT') || statement.json || hasShell) continue;
        report(
          statement,
          `JSON arguments recommended for ${statement.keyword} to prevent unintended behavior related to OS signals`,
        );
      }
      if (hasShell) noteName(stage, withShell);
    }
  },
};

function noteName(stage: LintStage, names: Set<string>): void {
  if (stage.name !== undefined) names.add(stage.name.toLowerCase());
}
