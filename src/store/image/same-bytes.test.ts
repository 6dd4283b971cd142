import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sameBytes } from './same-bytes.ts';

async function* chunks(
  texts: readonly string[],
  onEnd: () => void = () => undefined,
): AsyncGenerator<Uint8Array> {
  try {
    for (const text of texts) yield Buffer.from(text);
  } finally {
    onEnd();
  }
}

test('sameBytes compares bytes, not chunks', async () => {
  const cases: readonly [readonly string[], readonly string[], boolean][] = [
    [[], [], true],
    [['abc'], ['a', 'bc'], true],
    [['', 'ab', 'c'], ['abc', ''], true],
    [['abc'], ['abd'], false],
    [['abc'], ['ab'], false],
    [['ab'], ['abc'], false],
    [[], ['a'], false],
    [['a'], [], false],
  ];
  for (const [left, right, want] of cases) {
    assert.equal(await sameBytes(chunks(left), chunks(right)), want, JSON.stringify([left, right]));
  }
});

test('sameBytes ends both streams at the first difference', async () => {
  let ended = 0;
  const end = (): void => void ended++;
  assert.equal(await sameBytes(chunks(['x', 'never'], end), chunks(['y', 'never'], end)), false);
  assert.equal(ended, 2);
});
