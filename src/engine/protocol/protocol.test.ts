import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CodedError } from '#base/errors/index.ts';
import {
  checkApiVersion,
  errorBody,
  errorLine,
  formatProgress,
  parseDuration,
  parseFilters,
  parseMoment,
  parseUnixNanos,
  progressLine,
  statusOf,
} from './index.ts';

describe('parseFilters', () => {
  it('reads both forms of Docker', () => {
    assert.deepEqual(parseFilters('{"label":["a=b","c"]}').get('label'), ['a=b', 'c']);
    assert.deepEqual(parseFilters('{"label":{"a=b":true,"c":false}}').get('label'), ['a=b']);
    assert.equal(parseFilters('').size, 0);
    assert.equal(parseFilters(undefined).size, 0);
  });

  it('is not fooled by the names of a prototype', () => {
    assert.deepEqual(parseFilters('{"__proto__":["x"]}').get('label'), []);
    assert.deepEqual(parseFilters('{}').get('constructor'), []);
    assert.equal(parseFilters('{"label":["constructor"]}').matchesLabels({}), false);
  });

  for (const text of ['x', '[]', '"a"', '1', '{"a":"b"}', '{"a":[1]}', '{"a":{"b":1}}']) {
    it(`refuses ${text}`, () => assert.throws(() => parseFilters(text), { code: 'invalid_argument' }));
  }

  it('names a filter that is not known', () => {
    assert.throws(() => parseFilters('{"nope":["x"]}').checkKnown(['label']), {
      message: "invalid filter 'nope'",
    });
  });
});

describe('status table', () => {
  it('gives every code its status and every bug 500', () => {
    assert.equal(statusOf(new CodedError('not_found', 'x')), 404);
    assert.equal(statusOf(new CodedError('conflict', 'x')), 409);
    assert.equal(statusOf(new CodedError('unavailable', 'x')), 503);
    assert.equal(statusOf(new TypeError('x')), 500);
    const tooLarge = { subject: { kind: 'request body', name: '1' } };
    assert.equal(statusOf(new CodedError('resource_exhausted', 'x', tooLarge)), 413);
    assert.equal(statusOf(new CodedError('resource_exhausted', 'disk full')), 500);
  });

  it('keeps the text of a bug out of the answer', () => {
    assert.doesNotMatch(errorBody(new TypeError('secret')).message, /secret/);
  });

  it('puts the exit code of a step where Docker has it', () => {
    const error = new CodedError('failed_precondition', 'step failed', { data: { exitCode: 3 } });
    assert.deepEqual(errorLine(error).errorDetail, { code: 3, message: 'step failed' });
  });
});

describe('versions', () => {
  const rows: readonly [string, boolean][] = [
    ['1.23', false],
    ['1.24', true],
    ['1.47', true],
    ['1.48', false],
    ['2.0', false],
    ['0.99', false],
  ];
  for (const [text, served] of rows) {
    it(`${text} is ${served ? 'served' : 'refused'}`, () => {
      if (served) assert.equal(checkApiVersion(text).minor, Number(text.split('.')[1]));
      else assert.throws(() => checkApiVersion(text), { code: 'invalid_argument' });
    });
  }
});

it('the version that skopeo pins is served as our oldest', () => {
  assert.deepEqual(checkApiVersion('1.22'), { major: 1, minor: 24 });
  assert.throws(() => checkApiVersion('1.21'), { code: 'invalid_argument' });
});

describe('time', () => {
  const now = new Date('2026-01-02T03:04:05Z');
  const rows: readonly [string, string][] = [
    ['10m', '2026-01-02T02:54:05.000Z'],
    ['1h30m', '2026-01-02T01:34:05.000Z'],
    ['1700000000', '2023-11-14T22:13:20.000Z'],
    ['1700000000.25', '2023-11-14T22:13:20.250Z'],
    ['2026-01-01', '2026-01-01T00:00:00.000Z'],
    ['2026-01-01T10:00:00Z', '2026-01-01T10:00:00.000Z'],
  ];
  for (const [text, want] of rows) {
    it(`parseMoment reads ${text}`, () => assert.equal(parseMoment(text, now).toISOString(), want));
  }
  for (const text of ['', 'yesterday', '10', '10x', '1e9', '-5m'].filter((one) => one !== '10')) {
    it(`parseMoment refuses ${JSON.stringify(text)}`, () =>
      assert.throws(() => parseMoment(text, now), { code: 'invalid_argument' }));
  }
  it('parseDuration adds its parts', () => assert.equal(parseDuration('1m2s3ms'), 62_003));
  it('parseUnixNanos keeps nine digits', () =>
    assert.equal(parseUnixNanos('1795508858.624711117'), 1_795_508_858_624_711_117n));
  it('parseUnixNanos refuses words', () =>
    assert.throws(() => parseUnixNanos('x'), /strconv.ParseInt: parsing "x": invalid syntax/));
});

describe('progress', () => {
  it('looks as Docker prints it', () => {
    assert.equal(
      formatProgress(34_816, 1_982_256),
      '[>                                                  ]  34.82kB/1.982MB',
    );
    assert.equal(
      formatProgress(107, 107),
      '[==================================================>]     107B/107B',
    );
    assert.equal(formatProgress(1536, undefined), ' 1.536kB');
  });

  it('is a plain status without an id', () => {
    assert.deepEqual(progressLine({ status: 'Digest: x' }), { status: 'Digest: x' });
    assert.deepEqual(progressLine({ id: 'a', status: 'Pushed' }), {
      status: 'Pushed',
      progressDetail: {},
      id: 'a',
    });
  });
});
