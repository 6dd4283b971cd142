import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '#base/errors/index.ts';
import { DockerfileSyntaxError, HEREDOC_LIMIT, LINE_LIMIT_BYTES, parseText } from './index.ts';

function rangeOf(text: string): unknown {
  try {
    parseText(text);
  } catch (error) {
    assert.ok(error instanceof DockerfileSyntaxError);
    return { message: error.message, ...error.range };
  }
  return undefined;
}

test('the longest line Docker takes is taken, one byte more is refused with its line', () => {
  const longest = `RUN ${'x'.repeat(LINE_LIMIT_BYTES - 4)}`;
  assert.equal(parseText(longest).statements[0]?.args[0]?.length, LINE_LIMIT_BYTES - 4);
  const message = 'dockerfile line greater than max allowed size of 65535';
  assert.deepEqual(rangeOf(`FROM a\n${longest}x`), { message, start: 2, end: 2 });
  assert.deepEqual(rangeOf(`FROM a\nRUN ${'é'.repeat(LINE_LIMIT_BYTES / 2)}`), { message, start: 2, end: 2 });
  assert.deepEqual(rangeOf(`FROM a\nRUN <<E\n${'x'.repeat(1_000_000)}\nE\n`), { message, start: 3, end: 3 });
});

test('a file past the limit is refused before it is read', () => {
  assert.throws(() => parseText('#'.repeat(17 * 1024 * 1024)), /greater than max allowed size/);
});

test('an unterminated heredoc names its lines and says what is missing', () => {
  assert.deepEqual(rangeOf('FROM a\nRUN <<EOF\necho\nEOF2\n'), {
    message: 'unterminated heredoc',
    start: 2,
    end: 4,
  });
  assert.throws(
    () => parseText('FROM a\nRUN <<EOF\n'),
    (error) => error instanceof DockerfileSyntaxError && error.help?.fix?.[0]?.includes('EOF') === true,
  );
});

test('too many heredocs in one instruction are refused', () => {
  const words = Array.from({ length: HEREDOC_LIMIT + 1 }, (_, i) => `<<E${i}`).join(' ');
  assert.throws(
    () => parseText(`COPY ${words} /x/\n`),
    (error) => hasCode(error, 'resource_exhausted'),
  );
});

test('a NUL byte is refused with its line: such a file is not UTF-8', () => {
  assert.deepEqual(rangeOf('FROM a\nRUN x\0y\n'), {
    message: 'dockerfile holds a NUL byte',
    start: 2,
    end: 2,
  });
});

test('carriage returns and a byte order mark do no harm', () => {
  const parsed = parseText('\ufeff# escape=`\r\nFROM a\r\nRUN x `\r\n  z\r\nCOPY <<E /x\r\nl\r\nE\r\n');
  assert.deepEqual(
    parsed.statements.map((statement) => statement.text),
    ['FROM a', 'RUN x   z', 'COPY <<E /x'],
  );
  assert.equal(parsed.statements[2]?.heredocs[0]?.content, 'l\r\n');
});

test('a chain of ONBUILD does not recurse without end', () => {
  const parsed = parseText(`${'ONBUILD '.repeat(8000)}RUN x`);
  assert.equal(parsed.statements[0]?.trigger?.trigger?.keyword, 'ONBUILD');
});

test('a large file of short lines is read in a second', () => {
  const started = performance.now();
  const text = `FROM a\n${'RUN a \\\n'.repeat(400_000)}b\n# c\n${'\n'.repeat(500_000)}`;
  assert.equal(parseText(text).statements.length, 2);
  assert.ok(performance.now() - started < 3000);
});

test('a continuation at the end of the file ends with it', () => {
  assert.deepEqual(
    parseText('RUN a \\\n').statements.map((statement) => [statement.text, statement.range.end]),
    [['RUN a ', 1]],
  );
});
