import type { LintRule } from '../types.ts';

/** `EXPOSE 127.0.0.1:80:80`: publishing is for `run`. */
export const exposeInvalidFormat: LintRule = {
  name: 'ExposeInvalidFormat',
  description:
    'IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future release',
  page: 'expose-invalid-format',
  check: ({ stages }, report) => {
    for (const statement of stages.flatMap((stage) => stage.statements)) {
      if (statement.keyword.toUpperCase() !== 'EXPOSE') continue;
      for (const port of statement.args) {
        if (!port.includes(':') || port.includes('$')) continue;
        report(
          statement,
          `EXPOSE instruction should not define an IP address or host-port mapping, found '${port}'`,
        );
      }
    }
  },
};
