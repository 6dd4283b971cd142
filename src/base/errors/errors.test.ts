import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CodedError, codeOf, messageOf, redact, wrapError } from './index.ts';

test('codeOf and messageOf speak of what failed first, not of the cleaning up that failed after it', () => {
  const first = new CodedError('resource_exhausted', 'no space left on device');
  const both = new SuppressedError(
    new Error('cannot remove the lease'),
    new SuppressedError(new Error('nor this'), first),
  );
  assert.deepEqual([codeOf(both), messageOf(both)], ['resource_exhausted', 'no space left on device']);
});

test('a database that cannot grow is a full disk', () => {
  const error = Object.assign(new Error('database or disk is full'), {
    code: 'ERR_SQLITE_ERROR',
    errcode: 13,
  });
  assert.equal(codeOf(error), 'resource_exhausted');
  assert.match(messageOf(error), /no space left/);
  assert.equal(codeOf(Object.assign(new Error('x'), { code: 'ERR_SQLITE_ERROR', errcode: 1 })), 'internal');
});

test('wrapError keeps code, subject and help and puts the texts in a row', () => {
  const cause = new CodedError('not_found', 'blob x is not here', {
    subject: { kind: 'blob', name: 'x' },
    help: { id: 'a/b' },
  });
  const wrapped = wrapError(cause, 'cannot push "a"');
  assert.equal(wrapped.message, 'cannot push "a": blob x is not here');
  assert.deepEqual([wrapped.code, wrapped.subject, wrapped.help], [cause.code, cause.subject, cause.help]);
  assert.equal(wrapError(Object.assign(new Error('no'), { code: 'ENOSPC' }), 'x').code, 'resource_exhausted');
});

test('redact takes credentials out of headers and addresses', () => {
  assert.equal(redact('Authorization: Basic c2VjcmV0'), 'Authorization: [redacted]');
  assert.equal(
    redact('https://me:secret@host/x?token=abc&y=1'),
    'https://[redacted]@host/x?token=[redacted]&y=1',
  );
  assert.equal(redact('nothing secret'), 'nothing secret');
});
