import { quote } from '#dockerfile/expand/index.ts';
import type { LintRule } from '../types.ts';

/** `FROM --platform=linux/amd64` builds for one platform only, unless the stage is named for it. */
export const fromPlatformFlagConstDisallowed: LintRule = {
  name: 'FromPlatformFlagConstDisallowed',
  description: 'FROM --platform flag should not use a constant value',
  page: 'from-platform-flag-const-disallowed',
  check: ({ stages }, report) => {
    for (const { name, from } of stages) {
      const flag = from.flags.find((candidate) => candidate.startsWith('--platform='));
      const platform = flag?.slice('--platform='.length) ?? '';
      if (platform === '' || platform.includes('$')) continue;
      const isNamedForIt = platform
        .split('/')
        .some((part) => part !== '' && name?.toLowerCase().includes(part));
      if (!isNamedForIt)
        report(from, `FROM --platform flag should not use constant value ${quote(platform)}`);
    }
  },
};
