import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CodedError } from '#base/errors/index.ts';
import { formatError } from './error.ts';

test('formatError gives commands for this client, whoever wrote them', () => {
  const fix = [
    'docker tag a b && docker push b',
    'echo x | docker login -u y',
    'sudo systemctl start docker',
  ];
  const error = new CodedError('not_found', 'no', { help: { id: 'push/no-local-tag', fix } });
  const text = formatError(error, { color: false });
  assert.match(text, /slipway tag a b && slipway push b/);
  assert.match(text, /echo x \| slipway login -u y/);
  assert.match(text, /sudo systemctl start docker/);
});
