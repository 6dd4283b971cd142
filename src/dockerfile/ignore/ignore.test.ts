import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, test } from 'node:test';
import { messageOf } from '#base/errors/index.ts';
import { cleanPath, IgnoreMatcher, parseIgnoreFile } from './index.ts';

const VECTORS = resolve(import.meta.dirname, '../../../../shared/data/dockerfile/patternmatcher.json');
const skip = existsSync(VECTORS) ? false : `vectors are not at ${VECTORS}`;

interface Recorded {
  readonly patterns: readonly string[] | null;
  readonly error: string | null;
  readonly cleaned?: readonly string[] | null;
  readonly exclusions?: boolean;
  readonly path: string;
  readonly match: boolean;
  readonly parentMatched?: readonly boolean[] | null;
  readonly matched?: readonly boolean[];
}

test('the last pattern that matches decides, and names itself', () => {
  const matcher = new IgnoreMatcher(['**/*.log', '!keep.log', 'node_modules', '!node_modules/own/**']);
  assert.deepEqual(matcher.decide('a/b.log'), { ignored: true, pattern: '**/*.log' });
  assert.deepEqual(matcher.decide('keep.log'), { ignored: false, pattern: '!keep.log' });
  assert.deepEqual(matcher.decide('node_modules/x/y.js'), { ignored: true, pattern: 'node_modules' });
  assert.equal(matcher.matches('node_modules/own/y.js'), false);
  assert.deepEqual(matcher.decide('src/a.ts'), { ignored: false, pattern: undefined });
});

test('a walk that passes the state of directories down gives the same answers', () => {
  const matcher = new IgnoreMatcher(['*', '!src', 'src/**/*.tmp', '!src/a/b/keep.tmp']);
  for (const path of ['x', 'src', 'src/a', 'src/a/b', 'src/a/b/c.tmp', 'src/a/b/keep.tmp', 'src/a/d.ts']) {
    let state: readonly boolean[] | undefined;
    let ignored = false;
    const parts = path.split('/');
    for (let i = 1; i <= parts.length; i++) {
      ({ ignored, state } = matcher.matchBelow(parts.slice(0, i).join('/'), state));
    }
    assert.equal(ignored, matcher.matches(path), path);
  }
});

test('a pattern full of stars takes no time on a name that almost matches', () => {
  const matcher = new IgnoreMatcher([`${'a*'.repeat(60)}b`, `${'**/a*/'.repeat(30)}b`]);
  const started = performance.now();
  assert.equal(matcher.matches('a'.repeat(4000)), false);
  assert.equal(matcher.matches('a/'.repeat(500)), false);
  assert.ok(performance.now() - started < 3000);
});

test('an ignore file drops comments and byte order mark, and keeps a comment sign inside a line', () => {
  assert.deepEqual(parseIgnoreFile('\ufeffa/\n#c\n #d\nb#\n\n! /x/../y\n'), ['a', '#d', 'b#', '!y']);
});

test('cleanPath gives the shortest equal path', () => {
  const rows: readonly (readonly [string, string])[] = [
    ['', '.'],
    ['.', '.'],
    ['a//b/./c/..', 'a/b'],
    ['../a', '../a'],
    ['/../a', '/a'],
    ['a/..', '.'],
    ['/', '/'],
  ];
  for (const [path, want] of rows) assert.equal(cleanPath(path), want, path);
});

describe('ignore patterns against the recorded vectors', { skip }, () => {
  if (skip) return;
  const all = JSON.parse(readFileSync(VECTORS, 'utf8')) as Record<string, Recorded[]>;

  test('every list of patterns is accepted, cleaned or refused the same way', () => {
    const cases = all['New'] ?? [];
    assert.equal(cases.length, 85);
    for (const { patterns, error, cleaned, exclusions } of cases) {
      if (error !== null) {
        assert.throws(() => new IgnoreMatcher(patterns ?? []), { message: error });
        continue;
      }
      const matcher = new IgnoreMatcher(patterns ?? []);
      assert.deepEqual(
        matcher.patterns.map((pattern) => pattern.text),
        cleaned ?? [],
      );
      assert.equal(matcher.hasExceptions, exclusions);
    }
  });

  for (const name of ['MatchesOrParentMatches', 'Matches(deprecated)']) {
    test(`${name}: every path has the same answer`, () => {
      const cases = all[name] ?? [];
      assert.ok(cases.length > 40);
      for (const given of cases) {
        let outcome: unknown;
        try {
          outcome = new IgnoreMatcher(given.patterns ?? []).matches(given.path);
        } catch (error) {
          outcome = messageOf(error);
        }
        const want = given.error ?? given.match;
        assert.equal(outcome, want, `${JSON.stringify(given.patterns)} ${given.path}`);
      }
    });
  }

  test('MatchesUsingParentResults: every path has the same answer and state', () => {
    const cases = all['MatchesUsingParentResults'] ?? [];
    assert.equal(cases.length, 171);
    for (const given of cases) {
      const { ignored, state } = new IgnoreMatcher(given.patterns ?? []).matchBelow(
        given.path,
        given.parentMatched ?? undefined,
      );
      assert.deepEqual([ignored, state], [given.match, given.matched], JSON.stringify(given));
    }
  });

  test('ReadAll: the file gives the same patterns', () => {
    const cases = all['ReadAll'] as unknown as { input: string; patterns: string[] }[];
    for (const { input, patterns } of cases) assert.deepEqual(parseIgnoreFile(input), patterns);
  });
});
