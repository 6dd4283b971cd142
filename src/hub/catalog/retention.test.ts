import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RetentionPolicy } from '#hub/protocol/index.ts';
import { decideRetention, parseRetention } from './retention.ts';

const DAY = 24 * 3600_000;
const NOW = 1000 * DAY;
const tag = (name: string, pushedDays: number, pulledDays?: number) => ({
  name,
  pushedAt: NOW - pushedDays * DAY,
  pulledAt: pulledDays === undefined ? null : NOW - pulledDays * DAY,
});
const MUTABLE = { tagMutability: 'mutable', immutablePatterns: [] } as const;
const decide = (
  policy: Partial<RetentionPolicy>,
  tags: readonly ReturnType<typeof tag>[],
  rules: Parameters<typeof decideRetention>[0]['rules'] = MUTABLE,
) => {
  const { goes, spared } = decideRetention({
    policy: { rules: [], keep: [], ...policy },
    rules,
    tags,
    now: NOW,
  });
  const lines = (list: typeof goes) => list.map((one) => `${one.tag}: ${one.reason}`);
  return { goes: lines(goes), spared: lines(spared) };
};

test('a tag goes when its last push is long ago, and the boundary stays', () => {
  const rules = [{ pattern: 'dev-*', condition: 'pushed', value: 30 } as const];
  const tags = [tag('dev-1', 31, 1), tag('dev-2', 30), tag('v1', 400)];
  assert.deepEqual(decide({ rules }, tags), { goes: ['dev-1: pushed 31 days ago'], spared: [] });
});

test('a tag that is still pulled is in use', () => {
  const rules = [{ pattern: '*', condition: 'unused', value: 10 } as const];
  const tags = [tag('a', 20, 1), tag('b', 20), tag('c', 20, 11), tag('d', 5)];
  assert.deepEqual(decide({ rules }, tags).goes, [
    'b: pushed 20 days ago, never pulled',
    'c: pushed 20 days ago, last pulled 11 days ago',
  ]);
});

test('the newest of those a rule is about stay', () => {
  const rules = [{ pattern: 'b*', condition: 'beyond', value: 2 } as const];
  const tags = [tag('b1', 9), tag('b2', 8), tag('b3', 7), tag('b4', 6), tag('a', 100)];
  assert.deepEqual(decide({ rules }, tags).goes, [
    'b2: number 3 by time of push; the newest 2 stay',
    'b1: number 4 by time of push; the newest 2 stay',
  ]);
});

test('what is kept and what may not move is spared, and it is said', () => {
  const rules = [{ pattern: '*', condition: 'pushed', value: 1 } as const];
  const tags = [tag('latest', 9), tag('v1', 9), tag('dev', 9)];
  const fixed = { tagMutability: 'patterns', immutablePatterns: ['v*'] } as const;
  assert.deepEqual(decide({ rules, keep: ['latest'] }, tags, fixed), {
    goes: ['dev: pushed 9 days ago'],
    spared: ['latest: is always kept', 'v1: is immutable'],
  });
});

test('no rule is about what is attached to an image by tag', () => {
  const rules = [{ pattern: '*', condition: 'beyond', value: 1 } as const];
  const tags = [tag(`sha256-${'0'.repeat(64)}.sig`, 1), tag('v2', 2), tag('v1', 3)];
  assert.deepEqual(decide({ rules }, tags).goes, ['v1: number 2 by time of push; the newest one stays']);
});

test('without rules nothing goes', () => {
  assert.deepEqual(decide({}, [tag('old', 999)]), { goes: [], spared: [] });
});

test('rules are checked, with the field at fault', () => {
  const rule = { pattern: 'v*', condition: 'pushed', value: 1 } as const;
  assert.deepEqual(parseRetention({ rules: [rule], keep: ['a'] }), { rules: [rule], keep: ['a'] });
  const rows: readonly [object, string][] = [
    [{ ...rule, pattern: 'a b' }, 'rules.0.pattern'],
    [{ ...rule, condition: 'never' }, 'rules.0.condition'],
    [{ ...rule, value: 0 }, 'rules.0.value'],
    [{ ...rule, value: 1.5 }, 'rules.0.value'],
    [{ ...rule, value: '1' }, 'rules.0.value'],
  ];
  for (const [wrong, field] of rows)
    assert.throws(() => parseRetention({ rules: [wrong as typeof rule] }), {
      code: 'invalid_argument',
      subject: { kind: 'field', name: field },
    });
});
