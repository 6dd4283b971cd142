/** The whole tutorial with the docker CLI, on a base made from Debian packages (the smaller set of Python packages). */
import { test } from 'node:test';
import { NEEDS_DOCKER_CLI, withDaemon } from '../support/daemon.ts';
import { startHub } from '../support/hub.ts';
import { makeBase, SMALL, walkTutorial } from '../support/tutorial.ts';

test('from a base image to a custom image on the hub and back, with the docker CLI', {
  skip: NEEDS_DOCKER_CLI,
  timeout: 600_000,
}, async () => {
  const hub = await startHub();
  try {
    await withDaemon(async (daemon) => {
      makeBase('debian', `${daemon.dir}/debian.tar`);
      await walkTutorial(daemon, hub, daemon.dir, SMALL);
    });
  } finally {
    await hub.dispose();
  }
});
