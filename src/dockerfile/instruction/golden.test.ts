/** Whole files to instructions: `testdata/<case>/Dockerfile` and what it means, or why it is refused, in `expected.json`. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { messageOf } from '#base/errors/index.ts';
import { DockerfileSyntaxError, parseText } from '#dockerfile/text/index.ts';
import { parseStages } from './index.ts';

const TESTDATA = join(import.meta.dirname, 'testdata');

function outcomeOf(text: string): unknown {
  try {
    const { statements, directives, warnings } = parseText(text);
    return { directives, warnings, ...parseStages(statements) };
  } catch (error) {
    assert.ok(error instanceof DockerfileSyntaxError);
    return { error: messageOf(error), ...error.range };
  }
}

for (const name of readdirSync(TESTDATA).sort()) {
  test(`the instructions of ${name} are as recorded`, () => {
    const expected = join(TESTDATA, name, 'expected.json');
    const outcome = outcomeOf(readFileSync(join(TESTDATA, name, 'Dockerfile'), 'utf8'));
    const plain = JSON.parse(JSON.stringify(outcome)) as unknown;
    if (process.env['SLIPWAY_UPDATE_GOLDEN'] === '1') {
      writeFileSync(expected, `${JSON.stringify(plain, undefined, 2)}\n`);
    }
    assert.deepEqual(plain, JSON.parse(readFileSync(expected, 'utf8')));
  });
}
