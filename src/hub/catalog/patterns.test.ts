import assert from 'node:assert/strict';
import { test } from 'node:test';
import { matchesPattern, parsePatterns } from './patterns.ts';

const rows: readonly [string, string, boolean][] = [
  ['v1', 'v1', true],
  ['v1', 'v10', false],
  ['v*', 'v10', true],
  ['v*', 'dev', false],
  ['*', '', true],
  ['*-rc?', '1.2-rc1', true],
  ['*-rc?', '1.2-rc10', false],
  ['v*.*', 'v1.2.3', true],
  ['v*.*', 'v1', false],
  ['a*b*c', 'axxbyybzzc', true],
  ['1.0', '1x0', false],
  [`${'*a'.repeat(60)}b`, 'a'.repeat(128), false],
];
for (const [pattern, text, want] of rows)
  test(`"${pattern.slice(0, 20)}" ${want ? 'fits' : 'does not fit'} "${text.slice(0, 20)}"`, () =>
    assert.equal(matchesPattern(pattern, text), want));

test('a pattern is made of what tags are made of', () => {
  assert.deepEqual(parsePatterns([' v* ', 'v*', 'latest'], 'keep'), ['v*', 'latest']);
  for (const wrong of ['', 'a/b', 'v(1)', 'x'.repeat(129)])
    assert.throws(() => parsePatterns([wrong], 'keep'), { code: 'invalid_argument' }, wrong);
  assert.throws(() =>
    parsePatterns(
      Array.from({ length: 51 }, (_, i) => `v${i}`),
      'keep',
    ),
  );
});
