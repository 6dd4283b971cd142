import type { LintRule } from '../types.ts';

/** `EXPOSE 80/TCP`. */
export const exposeProtoCasing: LintRule = {
  name: 'ExposeProtoCasing',
  description: 'Protocol in EXPOSE instruction should be lowercase',
  page: 'expose-proto-casing',
  check: ({ stages }, report) => {
    for (const statement of stages.flatMap((stage) => stage.statements)) {
      if (statement.keyword.toUpperCase() !== 'EXPOSE') continue;
      for (const port of statement.args) {
        const protocol = port.split('/')[1] ?? '';
        if (protocol === protocol.toLowerCase() || protocol.includes('$')) continue;
        report(statement, `Defined protocol '${port}' in EXPOSE instruction should be lowercase`);
      }
    }
  },
};
