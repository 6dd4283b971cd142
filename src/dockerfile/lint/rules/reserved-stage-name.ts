import { quote } from '#dockerfile/expand/index.ts';
import type { LintRule } from '../types.ts';

const RESERVED = ['scratch', 'context'];

/** A stage named as something that is not a stage. */
export const reservedStageName: LintRule = {
  name: 'ReservedStageName',
  description: 'Reserved words should not be used as stage names',
  page: 'reserved-stage-name',
  check: ({ stages }, report) => {
    for (const { name, from } of stages) {
      if (name !== undefined && RESERVED.includes(name.toLowerCase())) {
        report(
          from,
          `Stage name should not use the same name as reserved stage ${quote(name.toLowerCase())}`,
        );
      }
    }
  },
};
