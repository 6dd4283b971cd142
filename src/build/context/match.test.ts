import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasWildcard, matchPath } from './match.ts';
import { resolvePath } from './resolve.ts';
import type { TreeEntry } from './types.ts';

const ROWS: readonly (readonly [pattern: string, name: string, matches: boolean])[] = [
  ['abc', 'abc', true],
  ['*', 'abc', true],
  ['*c', 'abc', true],
  ['a*', 'a', true],
  ['a*', 'ab/c', false],
  ['a*/b', 'abc/b', true],
  ['a*/b', 'a/c/b', false],
  ['a*b*c*d*e*/f', 'axbxcxdxe/f', true],
  ['a*b*c*d*e*/f', 'axbxcxdxexxx/fff', false],
  ['a*b?c*x', 'abxbbxdbxebxczzx', true],
  ['a*b?c*x', 'abxbbxdbxebxczzy', false],
  ['ab[c]', 'abc', true],
  ['ab[b-d]', 'abc', true],
  ['ab[e-g]', 'abc', false],
  ['ab[^c]', 'abc', false],
  ['ab[^e-g]', 'abc', true],
  ['a\\*b', 'a*b', true],
  ['a\\*b', 'ab', false],
  ['a?b', 'a☺b', true],
  ['a[^a]b', 'a☺b', true],
  ['a???b', 'a☺b', false],
  ['[a-ζ]*', 'α', true],
  ['*[a-ζ]', 'A', false],
  ['a?b', 'a/b', false],
  ['a*b', 'a/b', false],
  ['[\\]a]', ']', true],
  ['[\\-x]', '-', true],
  ['[x\\-]', 'x', true],
  ['[x\\-]', 'z', false],
  ['*x', 'xxx', true],
];

for (const [pattern, name, matches] of ROWS) {
  test(`${pattern} ${matches ? 'matches' : 'does not match'} ${name}`, () => {
    assert.equal(matchPath(pattern, name), matches);
  });
}

for (const pattern of ['[]a]', '[-]', '[x-]', '[-x]', '[a-b-c]', '[', '[^', '[^bc', 'a[', 'a\\']) {
  test(`${pattern} is no pattern`, () => {
    assert.throws(() => matchPath(pattern, 'a'), { message: `syntax error in pattern: ${pattern}` });
  });
}

test('many stars take no long time', () => {
  const begun = performance.now();
  assert.equal(matchPath(`${'*a'.repeat(200)}b`, 'a'.repeat(20_000)), false);
  assert.ok(performance.now() - begun < 2000);
});

test('a protected star is no wildcard', () => {
  assert.deepEqual(['a*', 'a\\*', 'a?', '[a]', 'a\\['].map(hasWildcard), [true, false, true, true, false]);
});

test('links are followed inside the tree, and a circle of them ends', () => {
  const entries: Readonly<Record<string, Partial<TreeEntry>>> = {
    '': { type: 'd' },
    a: { type: 'l', linkTarget: 'b' },
    b: { type: 'l', linkTarget: '/a' },
    up: { type: 'l', linkTarget: '../../d' },
    d: { type: 'd' },
    'd/f': { type: 'f' },
  };
  const tree = { find: (path: string) => entries[path] as TreeEntry | undefined };
  assert.throws(() => resolvePath(tree, 'a', { followLast: true }), { message: 'too many links in "a"' });
  assert.equal(resolvePath(tree, 'a', { followLast: false }).path, 'a');
  assert.equal(resolvePath(tree, '../up/../d/./f', { followLast: true }).path, 'd/f');
  assert.deepEqual(resolvePath(tree, 'up/new/file', { followLast: true }).missing, ['new', 'file']);
  assert.throws(() => resolvePath(tree, 'd/f/x', { followLast: true }), {
    message: '"/d/f" is not a directory',
  });
});
