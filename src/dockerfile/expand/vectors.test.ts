import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, test } from 'node:test';
import { messageOf } from '#base/errors/index.ts';
import { envMap, expand } from './index.ts';
import type { Escape, ExpandOptions } from './types.ts';

const VECTORS = resolve(import.meta.dirname, '../../../../shared/data/dockerfile');
const skip = existsSync(VECTORS) ? false : `vectors are not at ${VECTORS}`;

function vectors<T>(name: string): T {
  return JSON.parse(readFileSync(resolve(VECTORS, name), 'utf8')) as T;
}

interface Recorded {
  readonly word: string;
  readonly env: Readonly<Record<string, string>>;
  readonly escape: Escape;
  readonly rawQuotes: boolean;
  readonly rawEscapes: boolean;
  readonly skipProcessQuotes: boolean;
  readonly skipUnsetEnv: boolean;
  readonly result: string;
  readonly words: readonly string[];
  readonly matched: readonly string[];
  readonly unmatched: readonly string[];
  readonly error: string | null;
}

function optionsOf(given: Recorded): ExpandOptions {
  return {
    escape: given.escape,
    rawQuotes: given.rawQuotes,
    rawEscapes: given.rawEscapes,
    skipProcessQuotes: given.skipProcessQuotes,
    skipUnset: given.skipUnsetEnv,
  };
}

/** The source of a failed expansion: the recording keeps it only in the message, quoted. */
function sourceOf(message: string): string {
  const quoted = /^failed to process ("(?:[^"\\]|\\.)*")/.exec(message)?.[1];
  assert.ok(quoted, message);
  return JSON.parse(quoted) as string;
}

describe('expand against the recorded vectors', { skip }, () => {
  if (skip) return;
  test('every word of envVarTest becomes what it should, or fails', () => {
    interface Case {
      readonly platform: string;
      readonly source: string;
      readonly expect: string | null;
      readonly error: boolean;
    }
    const { env, cases } = vectors<{ env: Record<string, string>; cases: Case[] }>('envVarTest.json');
    const map = new Map(Object.entries(env));
    const ours = cases.filter((given) => given.platform !== 'W');
    assert.ok(ours.length > 220);
    for (const { source, expect, error } of ours) {
      if (error) assert.throws(() => expand(source, map, { escape: '\\' }), `${source} should fail`);
      else assert.equal(expand(source, map, { escape: '\\' }).text, expect, source);
    }
  });

  test('every line of wordsTest is cut into the same words', () => {
    const cases =
      vectors<{ env: string[]; source: string; expect: string[] | null; error: boolean }[]>('wordsTest.json');
    assert.equal(cases.length, 24);
    for (const { env, source, expect, error } of cases) {
      const run = () => expand(source, envMap(env), { escape: '\\' }).words;
      if (error) assert.throws(run, source);
      else assert.deepEqual(run(), expect, source);
    }
  });

  test('recorded failures have the same text and saw the same variables', () => {
    const failures = vectors<Recorded[]>('words-recorded.json').filter((given) => given.error !== null);
    assert.ok(failures.length > 40);
    for (const given of failures) {
      const source = sourceOf(given.error ?? '');
      let message: string | undefined;
      try {
        expand(source, new Map(Object.entries(given.env)), optionsOf(given));
      } catch (error) {
        message = messageOf(error);
      }
      assert.equal(message, given.error);
    }
  });

  test('recorded lines with raw quotes and escapes come back unchanged, with the same words', () => {
    const raw = vectors<Recorded[]>('words-recorded.json').filter(
      (given) => given.error === null && given.rawQuotes && given.rawEscapes,
    );
    assert.ok(raw.length > 30);
    for (const given of raw) {
      const expansion = expand(given.word, new Map(Object.entries(given.env)), optionsOf(given));
      assert.deepEqual([expansion.text, expansion.words], [given.result, given.words]);
    }
  });

  test('recorded results without special characters are stable', () => {
    // A successful recording keeps the result in place of the source, so only plain results can be fed in again.
    const plain = vectors<Recorded[]>('words-recorded.json').filter(
      (given) => given.error === null && !/[$'"\\<`]/.test(given.word),
    );
    assert.ok(plain.length > 100);
    for (const given of plain) {
      assert.equal(expand(given.word, new Map(), { escape: '\\' }).text, given.result);
    }
  });
});
