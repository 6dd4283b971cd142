/** An engine that is killed before a call that changes the disk: some calls of each operation (all: npm run test:long). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NEEDS_BUSYBOX } from '../support/busybox.ts';
import { NEEDS_DOCKER_CLI } from '../support/daemon.ts';
import { makeOperations, surviveKills } from '../support/kill-operations.ts';
import { NEEDS_STRACE } from '../support/kill-points.ts';

for (const operation of NEEDS_BUSYBOX ? [] : makeOperations()) {
  test(`a ${operation.name} that is killed at a call that changes the disk is done or not done`, {
    skip: NEEDS_DOCKER_CLI || NEEDS_STRACE,
  }, async () => {
    assert.ok((await surviveKills(operation, { dense: 1, growth: 2 })) > 0, 'it was killed at least once');
  });
}
