import type { CaseResult } from './engine-cases.ts';

/** The goal of a case as it is shown, and whether it is met; a case without a goal is neither met nor missed. */
export function verdictOf({ ratio, goal, higherIsBetter }: CaseResult): {
  readonly goal: string;
  readonly isMet: boolean | undefined;
} {
  if (goal === undefined) return { goal: '–', isMet: undefined };
  return {
    goal: `${higherIsBetter ? '≥' : '≤'} ${goal}`,
    isMet: higherIsBetter ? ratio >= goal : ratio <= goal,
  };
}
