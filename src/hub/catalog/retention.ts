/** Which tags go by themselves: the rules, and the one function that applies them. */
import { CodedError } from '#base/errors/index.ts';
import type { RetentionDecision, RetentionPolicy, RetentionRule } from '#hub/protocol/index.ts';
import { matchesAny, matchesPattern, parsePatterns } from './patterns.ts';
import { isFixed, type RepositoryRules } from './policy.ts';
import type { TagTimes } from './tags.ts';

const DAY_MS = 24 * 3600_000;
const RULES_MAX = 20;
const VALUE_MAX = 100_000;
const CONDITIONS = ['pushed', 'unused', 'beyond'] as const;

/** Tags under which cosign attaches to an image: they go with it, not by age. */
const ATTACHED = /^sha256-[0-9a-f]{64}\.(?:sig|att|sbom)$/;

/** No tag goes by itself. */
export const NO_RETENTION: RetentionPolicy = { rules: [], keep: ['latest'] };

/** What rules decide about, and when. */
export interface RetentionInput {
  readonly policy: RetentionPolicy;
  readonly rules: Pick<RepositoryRules, 'tagMutability' | 'immutablePatterns'>;
  readonly tags: readonly TagTimes[];
  readonly now: number;
}

/**
 * The tags that go, and those that would but are kept or may not move; each with the first rule that says so. The preview
 * and the hourly run both ask here.
 */
export function decideRetention(input: RetentionInput): {
  readonly goes: readonly RetentionDecision[];
  readonly spared: readonly RetentionDecision[];
} {
  const { policy, now } = input;
  const newest = input.tags
    .filter((tag) => !ATTACHED.test(tag.name))
    .sort((a, b) => b.pushedAt - a.pushedAt || (a.name < b.name ? -1 : 1));
  const decided = new Map<string, RetentionDecision>();
  policy.rules.forEach((rule, index) => {
    let rank = 0;
    for (const tag of newest) {
      if (!matchesPattern(rule.pattern, tag.name)) continue;
      rank++;
      const reason = decided.has(tag.name) ? undefined : reasonOf(rule, tag, rank, now);
      if (reason === undefined) continue;
      const { name, pushedAt, pulledAt } = tag;
      decided.set(name, { tag: name, pushedAt, pulledAt, rule: index, reason });
    }
  });
  const goes: RetentionDecision[] = [];
  const spared: RetentionDecision[] = [];
  for (const decision of decided.values()) {
    if (matchesAny(policy.keep, decision.tag)) spared.push({ ...decision, reason: 'is always kept' });
    else if (isFixed(input.rules, decision.tag)) spared.push({ ...decision, reason: 'is immutable' });
    else goes.push(decision);
  }
  return { goes, spared };
}

function reasonOf(rule: RetentionRule, tag: TagTimes, rank: number, now: number): string | undefined {
  const { value } = rule;
  if (rule.condition === 'beyond') {
    return rank > value
      ? `number ${rank} by time of push; the newest ${value === 1 ? 'one stays' : `${value} stay`}`
      : undefined;
  }
  const pushed = `pushed ${daysAgo(now - tag.pushedAt)}`;
  if (rule.condition === 'pushed') return now - tag.pushedAt > value * DAY_MS ? pushed : undefined;
  const usedAt = Math.max(tag.pushedAt, tag.pulledAt ?? 0);
  if (now - usedAt <= value * DAY_MS) return undefined;
  return `${pushed}, ${tag.pulledAt === null ? 'never pulled' : `last pulled ${daysAgo(now - tag.pulledAt)}`}`;
}

function daysAgo(ms: number): string {
  const days = Math.floor(ms / DAY_MS);
  return days === 1 ? '1 day ago' : `${days} days ago`;
}

/**
 * Rules as somebody sent them.
 * @throws {CodedError} `invalid_argument` (subject names the field, `rules.0.pattern` for one of the first rule).
 */
export function parseRetention(value: Partial<RetentionPolicy>): RetentionPolicy {
  const given: readonly unknown[] = Array.isArray(value.rules) ? value.rules : [];
  if (given.length > RULES_MAX) throw invalid('rules', `use at most ${RULES_MAX} rules`);
  const rules = given.map((rule, index): RetentionRule => {
    const fields = (typeof rule === 'object' && rule !== null ? rule : {}) as Readonly<
      Record<string, unknown>
    >;
    const [pattern = ''] = parsePatterns([fields['pattern'] ?? ''], `rules.${index}.pattern`);
    const condition = CONDITIONS.find((known) => known === fields['condition']);
    if (condition === undefined) throw invalid(`rules.${index}.condition`, `choose ${CONDITIONS.join(', ')}`);
    const number = fields['value'];
    if (typeof number !== 'number' || !Number.isInteger(number) || number < 1 || number > VALUE_MAX)
      throw invalid(`rules.${index}.value`, `give a whole number from 1 to ${VALUE_MAX}`);
    return { pattern, condition, value: number };
  });
  return { rules, keep: parsePatterns(value.keep, 'keep') };
}

function invalid(field: string, message: string): CodedError {
  return new CodedError('invalid_argument', message, { subject: { kind: 'field', name: field } });
}
