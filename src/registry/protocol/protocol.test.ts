import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CodedError, type ErrorCode } from '#base/errors/index.ts';
import {
  encodeUploadRange,
  encodeWarning,
  matchEndpoint,
  parseByteRange,
  parseChunkRange,
  registryErrorFor,
} from './index.ts';

describe('matchEndpoint', () => {
  const rows: readonly (readonly [string, object | undefined, string])[] = [
    ['/v2/', { kind: 'version' }, 'the root'],
    ['/v2', { kind: 'version' }, 'without its slash'],
    ['/v2/_catalog', { kind: 'catalog' }, 'no name begins with _'],
    ['/v2/a/manifests/v1', { kind: 'manifest', name: 'a', reference: 'v1' }, 'one component'],
    ['/v2/a/b/c/manifests/v1', { kind: 'manifest', name: 'a/b/c', reference: 'v1' }, 'several'],
    [
      '/v2/manifests/tags/list/manifests/tags',
      { kind: 'manifest', name: 'manifests/tags/list', reference: 'tags' },
      'words of ours in a name',
    ],
    ['/v2/a/manifests/b/tags/list', { kind: 'tags', name: 'a/manifests/b' }, 'the end decides'],
    ['/v2/a/blobs/sha256%3Aab', { kind: 'blob', name: 'a', reference: 'sha256:ab' }, 'an encoded colon'],
    ['/v2/a/blobs/uploads/', { kind: 'uploads', name: 'a' }, 'with slash'],
    ['/v2/a/blobs/uploads', { kind: 'uploads', name: 'a' }, 'and without'],
    ['/v2/a/blobs/uploads/id', { kind: 'upload', name: 'a', id: 'id' }, 'a session'],
    ['/v2/a/uploads/id', undefined, 'not below blobs'],
    ['/v2/a/referrers/sha256:ab', { kind: 'referrers', name: 'a', reference: 'sha256:ab' }, 'referrers'],
    ['/v2/a/tags/listing', undefined, 'another word'],
    ['/v2/tags/list', { kind: 'tags', name: '' }, 'an empty name, which the grammar refuses'],
    ['/v3/a/tags/list', undefined, 'another version'],
    ['/v2/%zz/tags/list', { kind: 'tags', name: '%zz' }, 'not encoded text stays'],
  ];
  for (const [path, wanted, why] of rows)
    test(`${path}: ${why}`, () => assert.deepEqual(matchEndpoint(path), wanted));

  test('a path of a megabyte takes no longer than its length', () => {
    const started = performance.now();
    matchEndpoint(`/v2/${'a/'.repeat(500_000)}manifests/x`);
    assert.ok(performance.now() - started < 200);
  });
});

describe('ranges', () => {
  test('parseChunkRange is inclusive on the wire and half-open in memory', () => {
    assert.deepEqual(parseChunkRange('0-1023'), { start: 0, end: 1024 });
    assert.deepEqual(parseChunkRange('7-7'), { start: 7, end: 8 });
  });
  for (const text of ['', '5', '5-', '-5', '5-4', 'bytes=0-5', '0-5/6', ' 0-5', '0-9999999999999999'])
    test(`parseChunkRange refuses "${text}"`, () => {
      assert.throws(() => parseChunkRange(text), {
        code: 'invalid_argument',
        subject: { kind: 'range', name: text },
      });
    });
  test('parseByteRange of an empty body can satisfy nothing', () => {
    assert.throws(() => parseByteRange('bytes=0-', 0), { code: 'invalid_argument' });
    assert.throws(() => parseByteRange('bytes=-1', 0), { code: 'invalid_argument' });
    assert.equal(parseByteRange(undefined, 0), undefined);
  });
  test('an upload without bytes is at 0-0', () => {
    assert.deepEqual([0, 1, 100].map(encodeUploadRange), ['0-0', '0-0', '0-99']);
  });
});

describe('registryErrorFor', () => {
  const rows: readonly (readonly [ErrorCode, string | undefined, number, string])[] = [
    ['not_found', 'blob', 404, 'BLOB_UNKNOWN'],
    ['not_found', 'upload', 404, 'BLOB_UPLOAD_UNKNOWN'],
    ['not_found', 'manifest-blob', 404, 'MANIFEST_BLOB_UNKNOWN'],
    ['not_found', undefined, 404, 'NAME_UNKNOWN'],
    ['invalid_argument', 'range', 416, 'RANGE_INVALID'],
    ['invalid_argument', 'page', 400, 'PAGINATION_NUMBER_INVALID'],
    ['resource_exhausted', 'manifest', 413, 'MANIFEST_INVALID'],
    ['resource_exhausted', 'rate', 429, 'TOOMANYREQUESTS'],
    ['resource_exhausted', undefined, 507, 'UNKNOWN'],
    ['permission_denied', 'repository', 403, 'DENIED'],
    ['unauthenticated', undefined, 401, 'UNAUTHORIZED'],
    ['conflict', 'tag', 409, 'DENIED'],
    ['unavailable', undefined, 503, 'UNAVAILABLE'],
    ['data_loss', 'blob', 500, 'UNKNOWN'],
    ['internal', undefined, 500, 'UNKNOWN'],
  ];
  for (const [code, kind, status, wire] of rows) {
    test(`${code} about ${kind ?? 'nothing'} is ${status} ${wire}`, () => {
      const answer = registryErrorFor(
        new CodedError(code, 'text', kind === undefined ? {} : { subject: { kind, name: 'n' } }),
      );
      assert.equal(answer.status, status);
      assert.equal(answer.body.errors[0]?.code, wire);
    });
  }

  test('what nobody expected says nothing about itself', () => {
    const answer = registryErrorFor(new Error('password=hunter2 in /srv/secret'));
    assert.equal(JSON.stringify(answer.body), '{"errors":[{"code":"UNKNOWN","message":"internal error"}]}');
    assert.ok(answer.hidden);
  });

  test('a full disk is 507, by its system code', () => {
    assert.equal(registryErrorFor(Object.assign(new Error('x'), { code: 'ENOSPC' })).status, 507);
  });

  test('help becomes the detail, and a wait becomes Retry-After', () => {
    const error = new CodedError('resource_exhausted', 'slow down', {
      subject: { kind: 'rate', name: 'a' },
      data: { retryAfterSeconds: 12.2 },
      help: { id: 'x/y', cause: 'c', fix: ['f'] },
    });
    const answer = registryErrorFor(error);
    assert.equal(answer.headers['Retry-After'], '13');
    assert.deepEqual(answer.body.errors[0]?.detail, { id: 'x/y', cause: 'c', fix: ['f'] });
  });
});

test('encodeWarning quotes, and keeps to printable text', () => {
  assert.equal(encodeWarning('a "b" \r\nc'), '299 - "a \\"b\\" ??c"');
});
