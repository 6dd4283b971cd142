import { quote } from '#dockerfile/expand/index.ts';
import type { LintRule } from '../types.ts';

const WORDS = 'apikey|auth|credential|credentials|key|password|pword|passwd|secret|token';
const SENSITIVE = new RegExp(`(?:_|^)(?:${WORDS})(?:_|$)`, 'i');
/** Words that say it is none: a path or a version, or known to all. */
const HARMLESS = /(?:_|^)(?:public|file|version)(?:_|$)/i;

/** A name that sounds like a secret: its value stays in the image. */
export const secretsUsedInArgOrEnv: LintRule = {
  name: 'SecretsUsedInArgOrEnv',
  description: 'Sensitive data should not be used in the ARG or ENV commands',
  page: 'secrets-used-in-arg-or-env',
  check: ({ stages }, report) => {
    for (const statement of stages.flatMap((stage) => stage.statements)) {
      const keyword = statement.keyword.toUpperCase();
      if (keyword !== 'ARG' && keyword !== 'ENV') continue;
      const names =
        statement.pairs?.map((pair) => pair.key) ?? statement.args.map((arg) => arg.split('=', 1)[0] ?? '');
      for (const name of names) {
        if (!SENSITIVE.test(name) || HARMLESS.test(name)) continue;
        report(
          statement,
          `Do not use ARG or ENV instructions for sensitive data (${keyword} ${quote(name)})`,
        );
      }
    }
  },
};
