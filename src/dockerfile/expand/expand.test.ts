// biome-ignore-all lint/suspicious/noTemplateCurlyInString: shell variables
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '#base/errors/index.ts';
import { EXPANSION_LIMIT, expand, quote } from './index.ts';

const ENV = new Map([
  ['FOO', 'xxyy'],
  ['PATHNAME', '/usr/lib/a.tar.gz'],
  ['STARS', 'a*b*c'],
  ['EMPTY', ''],
  ['PAT', '*/'],
  ['URL', 'http://google.de'],
]);

test('every modifier does what the shell does', () => {
  const rows: readonly (readonly [string, string])[] = [
    ['${FOO:-d}', 'xxyy'],
    ['${NONE:-d}', 'd'],
    ['${EMPTY:-d}', 'd'],
    ['${EMPTY-d}', ''],
    ['${NONE-d}', 'd'],
    ['${FOO:+d}', 'd'],
    ['${EMPTY:+d}', ''],
    ['${EMPTY+d}', 'd'],
    ['${NONE+d}', ''],
    ['${FOO:?must}', 'xxyy'],
    ['${EMPTY?must}', ''],
    ['${FOO#x}', 'xyy'],
    ['${FOO#*}', 'xxyy'],
    ['${FOO##*}', ''],
    ['${FOO#x*y}', 'y'],
    ['${FOO##x*y}', ''],
    ['${FOO#??}', 'yy'],
    ['${FOO%y}', 'xxy'],
    ['${FOO%y*}', 'xxy'],
    ['${FOO%%y*}', 'xx'],
    ['${FOO%z}', 'xxyy'],
    ['${STARS#a\\*}', 'b*c'],
    ['${STARS%\\*c}', 'a*b'],
    ['${PATHNAME##*/}', 'a.tar.gz'],
    ['${PATHNAME%%.*}', '/usr/lib/a'],
    ['${PATHNAME%.*}', '/usr/lib/a.tar'],
    ['${PATHNAME#$PAT}', 'usr/lib/a.tar.gz'],
    ['${FOO/x/z}', 'zxyy'],
    ['${FOO//x/z}', 'zzyy'],
    ['${FOO/x*y/z}', 'z'],
    ['${FOO//?/-}', '----'],
    ['${FOO//q/z}', 'xxyy'],
    ['${FOO/$EMPTY/ww}', 'wwxxyy'],
    ['${URL/http:\\/\\//https:\\/\\/}', 'https:\\/\\/google.de'],
    ['${NONE:-${FOO:+$EMPTY${PATHNAME##*.}}}', 'gz'],
    ['"${NONE:-a  b}"', 'a  b'],
    ['\\${FOO}', '${FOO}'],
    ["'$FOO'", '$FOO'],
    ['$FOO.$NONE.', 'xxyy..'],
  ];
  for (const [source, want] of rows) assert.equal(expand(source, ENV, { escape: '\\' }).text, want, source);
});

test('an empty match inserts at each place when all are replaced', () => {
  assert.equal(expand('${FOO//$EMPTY/-}', ENV, { escape: '\\' }).text, '-x-x-y-y-');
  assert.equal(expand('${FOO//x*/-}', ENV, { escape: '\\' }).text, '-');
});

test('an invalid escape in a pattern is named', () => {
  assert.throws(() => expand('${FOO#\\a}', ENV, { escape: '\\' }), {
    message:
      'failed to process "${FOO#\\\\a}": invalid pattern (\\a) in substitution: invalid escape \'\\a\'',
  });
});

test('names with and without a value are told apart', () => {
  const { matched, unmatched } = expand('$FOO ${NONE:-$EMPTY} $NONE', ENV, { escape: '\\' });
  assert.deepEqual([...matched].sort(), ['EMPTY', 'FOO']);
  assert.deepEqual([...unmatched], ['NONE']);
});

test('unset variables stay as written when asked', () => {
  const keep = (source: string) => expand(source, ENV, { escape: '\\', skipUnset: true }).text;
  assert.equal(keep('$A ${A} ${A:-x} ${A##y} ${A//b/c} $EMPTY'), '$A ${A} ${A:-x} ${A##y} ${A//b/c} ');
});

test('the escape character can be a backquote', () => {
  assert.equal(expand('a`$FOO\\b', ENV, { escape: '`' }).text, 'a$FOO\\b');
});

test('a word cannot grow past its limit, in any form', () => {
  const big = new Map([['B', 'x'.repeat(EXPANSION_LIMIT / 2)]]);
  for (const source of ['$B$B$B', '"$B$B$B"', '${B//x/yyy}', '${N:-$B$B$B}']) {
    assert.throws(
      () => expand(source, big, { escape: '\\' }),
      (error) => hasCode(error, 'resource_exhausted'),
    );
  }
});

test('deep nesting is refused instead of ending the process', () => {
  assert.throws(
    () => expand('${a:-'.repeat(10000), ENV, { escape: '\\' }),
    (error) => hasCode(error, 'resource_exhausted'),
  );
});

test('a pattern full of stars is matched in linear time', () => {
  const value = new Map([['V', 'a'.repeat(60000)]]);
  const started = performance.now();
  assert.equal(expand(`\${V#${'*a'.repeat(20000)}*b}`, value, { escape: '\\' }).text.length, 60000);
  assert.equal(expand(`\${V//${'a*'.repeat(20000)}b/c}`, value, { escape: '\\' }).text.length, 60000);
  assert.ok(performance.now() - started < 2000);
});

test('a pattern full of question marks gives up instead of taking minutes', () => {
  const value = new Map([['V', 'a'.repeat(500_000)]]);
  assert.throws(
    () => expand(`\${V#*${'?'.repeat(20000)}b}`, value, { escape: '\\' }),
    (error) => hasCode(error, 'resource_exhausted'),
  );
});

test('quote escapes what a terminal should not see', () => {
  assert.equal(quote('a"\n\u001b☃'), '"a\\"\\n\\x1b☃"');
});
