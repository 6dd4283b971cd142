import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, test } from 'node:test';
import { messageOf } from '#base/errors/index.ts';
import { parseText } from '#dockerfile/text/index.ts';
import { failOnWarnings, lintText, parseCheckOptions, RULES } from './index.ts';

const VECTORS = resolve(import.meta.dirname, '../../../../shared/data/dockerfile/lint-checks.json');
const skip = existsSync(VECTORS) ? false : `vectors are not at ${VECTORS}`;

interface Recorded {
  readonly test: string;
  readonly dockerfile: string;
  readonly buildErr: string;
  readonly frontendAttrs: Readonly<Record<string, string>> | null;
  readonly warnings:
    | readonly {
        readonly RuleName: string;
        readonly Description: string;
        readonly URL: string;
        readonly Detail: string;
        readonly Line: number;
      }[]
    | null;
}

test('check options read what they know and ignore the rest', () => {
  const { skip: names, skipAll, error } = parseCheckOptions(' skip = A, b ; error=TRUE;x=y;z // why');
  assert.deepEqual([[...names], skipAll, error], [['a', 'b'], false, true]);
  assert.equal(parseCheckOptions('skip=all').skipAll, true);
});

test('a comment before an instruction switches a rule off there only', () => {
  const text = parseText('FROM a\n# check=skip=JSONArgsRecommended\nCMD x\nENTRYPOINT y\n');
  assert.deepEqual(
    lintText(text).map(({ rule, line }) => [rule, line]),
    [['JSONArgsRecommended', 4]],
  );
});

describe('lint against the recorded vectors', { skip }, () => {
  if (skip) return;
  const all = JSON.parse(readFileSync(VECTORS, 'utf8')) as Recorded[];
  // The reference looks at the instructions of needed stages only; a file's advice should not depend on the target.
  const unneeded = 'is reported here though no stage needs it';
  const known = new Set(RULES.map((rule) => rule.name));
  for (const [i, given] of all.entries()) {
    const different = i === 59 && given.test === 'TestLegacyKeyValueFormat' ? unneeded : false;
    test(`${i} ${given.test}`, { skip: different }, () => {
      const text = parseText(given.dockerfile);
      const check = given.frontendAttrs?.['build-arg:BUILDKIT_DOCKERFILE_CHECK'];
      const options = check === undefined ? {} : { check };
      const warnings = lintText(text, options);
      const wanted = (given.warnings ?? []).filter(({ RuleName }) => known.has(RuleName));
      const order = (a: readonly unknown[], b: readonly unknown[]): number =>
        String(a) < String(b) ? -1 : 1;
      assert.deepEqual(
        warnings
          .map((found) => [found.line, found.rule, found.message, found.description, found.url])
          .sort(order),
        wanted.map((want) => [want.Line, want.RuleName, want.Detail, want.Description, want.URL]).sort(order),
      );
      if (!given.buildErr.startsWith('lint violation')) return;
      assert.throws(
        () => failOnWarnings(text, warnings, options),
        (error) => messageOf(error) === given.buildErr,
      );
    });
  }
});
