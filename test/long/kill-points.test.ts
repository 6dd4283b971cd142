/** npm run test:long: an engine that is killed before each of the first calls that change the disk, and then more sparsely. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NEEDS_BUSYBOX } from '../support/busybox.ts';
import { NEEDS_DOCKER_CLI } from '../support/daemon.ts';
import { makeOperations, surviveKills } from '../support/kill-operations.ts';
import { NEEDS_STRACE } from '../support/kill-points.ts';

for (const operation of NEEDS_BUSYBOX ? [] : makeOperations()) {
  test(`a ${operation.name} that is killed at any call that changes the disk is done or not done`, {
    skip: NEEDS_DOCKER_CLI || NEEDS_STRACE,
  }, async (t) => {
    const deaths = await surviveKills(operation, { dense: 60, growth: 1.2 });
    t.diagnostic(`killed ${deaths} times`);
    assert.ok(deaths > 0, 'it was killed at least once');
  });
}
