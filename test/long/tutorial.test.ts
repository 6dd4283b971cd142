/** npm run test:long: the tutorial with its whole image (2.25 GB, with gensim), with the docker CLI. */
import { test } from 'node:test';
import { NEEDS_DOCKER_CLI, withDaemon } from '../support/daemon.ts';
import { startHub } from '../support/hub.ts';
import { makeBase, WHOLE, walkTutorial } from '../support/tutorial.ts';

test('the tutorial with its whole image', { skip: NEEDS_DOCKER_CLI, timeout: 3_000_000 }, async () => {
  const hub = await startHub();
  try {
    await withDaemon(async (daemon) => {
      makeBase('debian', `${daemon.dir}/debian.tar`);
      await walkTutorial(daemon, hub, daemon.dir, WHOLE);
    });
  } finally {
    await hub.dispose();
  }
});
