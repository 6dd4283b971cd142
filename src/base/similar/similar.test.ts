import assert from 'node:assert/strict';
import { test } from 'node:test';
import { editDistance, findSimilar, withSuggestion } from './index.ts';

test('the distance counts added, removed and replaced characters', () => {
  for (const [from, to, distance] of [
    ['', '', 0],
    ['', 'abc', 3],
    ['kitten', 'sitting', 3],
    ['taget', 'target', 1],
    ['x'.repeat(65), 'x'.repeat(65), 0],
    ['x'.repeat(65), 'y', 64],
  ] as const) {
    assert.equal(editDistance(from, to), distance);
    assert.equal(editDistance(to, from), distance);
  }
});

test('the nearest name within two changes is suggested, in the letter case that was written', () => {
  assert.equal(findSimilar('RUM', ['ADD', 'RUN'], { caseSensitive: false }), 'RUN');
  assert.equal(findSimilar('rum', ['ADD', 'RUN'], { caseSensitive: false }), 'run');
  assert.equal(findSimilar('run', ['RUN'], { caseSensitive: false }), undefined);
  assert.equal(findSimilar('Taget', ['target', 'tag'], { caseSensitive: true }), 'target');
  assert.equal(findSimilar('whatever', ['target'], { caseSensitive: true }), undefined);
  assert.equal(withSuggestion('no x', 'x', ['y'], { caseSensitive: true }), 'no x (did you mean y?)');
  assert.equal(withSuggestion('no x', 'x', ['long'], { caseSensitive: true }), 'no x');
});
