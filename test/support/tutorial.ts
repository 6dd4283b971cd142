/** The tutorial's road with one client, as assertions: from a base image to an image on the hub and back. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { CommandResult, TestDaemon } from './daemon.ts';
import { ADMIN, type TestHub } from './hub.ts';

const CHECKOUT = resolve(import.meta.dirname, '../..');

/** What is installed on top of the base, and the line that proves it. */
export interface TutorialImage {
  readonly packages: readonly string[];
  readonly check: string;
  readonly proof: RegExp;
}

/** The smaller set of `npm test`. */
export const SMALL: TutorialImage = {
  packages: ['python3-h5py', 'python3-pandas'],
  check: "import h5py, pandas; print('h5py', h5py.__version__, 'pandas', pandas.__version__)",
  proof: /^h5py 3\.7\.0 pandas 1\.5\.3$/m,
};

/** The whole set of the tutorial. */
export const WHOLE: TutorialImage = {
  packages: ['python3-h5py', 'python3-pandas', 'python3-gensim'],
  check:
    "import h5py, pandas, gensim; print('h5py', h5py.__version__, 'pandas', pandas.__version__, 'gensim', gensim.__version__)",
  proof: /^h5py 3\.7\.0 pandas 1\.5\.3 gensim 4\.2\.0$/m,
};

/** Makes a root file system from Debian packages as a tar. */
export function makeBase(kind: 'debian' | 'busybox', out: string): void {
  const made = spawnSync('bash', [join(CHECKOUT, 'scripts/make-base.sh'), kind, out], { encoding: 'utf8' });
  assert.equal(made.status, 0, made.stderr);
}

/** Walks the road with the docker CLI. `dir` may hold `debian.tar` already. */
export async function walkTutorial(
  daemon: TestDaemon,
  hub: TestHub,
  dir: string,
  image: TutorialImage,
): Promise<void> {
  const docker = (...args: string[]): string => daemon.dockerOk(args);
  const refused = (...args: string[]): CommandResult => {
    const result = daemon.docker(args);
    assert.notEqual(result.code, 0, `docker ${args.join(' ')} was expected to be refused`);
    return result;
  };
  assert.match(docker('version'), /Server:[\s\S]*Engine:/);

  // A public base image, made by the administrator; a private one of cynthia's.
  const base = `${hub.host}/library/debian:bookworm-slim`;
  docker('import', '-c', 'CMD ["bash"]', join(dir, 'debian.tar'), base);
  await signUp(hub);
  daemon.dockerOk(['login', '-u', ADMIN.username, '--password-stdin', hub.host], { input: ADMIN.password });
  docker('push', base);
  docker('logout', hub.host);
  docker('rmi', base);
  docker('pull', base);
  daemon.dockerOk(['login', '-u', 'cynthia', '--password-stdin', hub.host], { input: PASSWORD });
  const secret = `${hub.host}/cynthia/secret:v1`;
  docker('tag', base, secret);
  docker('push', secret);
  docker('rmi', secret);
  docker('logout', hub.host);
  assert.match(
    refused('pull', secret).stderr,
    /pull access denied for .*cynthia\/secret, repository does not exist or may require 'docker login'/,
  );
  assert.match(
    daemon.docker(['login', '-u', 'cynthia', '--password-stdin', hub.host], { input: 'wrong password' })
      .stderr,
    /incorrect username or password/,
  );
  assert.match(
    daemon.dockerOk(['login', '-u', 'cynthia', '--password-stdin', hub.host], { input: PASSWORD }),
    /Login Succeeded/,
  );
  docker('pull', secret);

  // Build, twice; the second time under another file name.
  const context = join(dir, 'context');
  mkdirSync(context, { recursive: true });
  writeFileSync(join(context, 'Dockerfile'), dockerfileOf(base, image));
  copyFileSync(join(context, 'Dockerfile'), join(context, 'MyDockerfile'));
  const built = docker('build', '-t', 'demo-push:v1', context);
  assert.match(built, /^Step 1\/3 : From .*\n ---> [0-9a-f]{12}\n/m);
  assert.match(
    built,
    /^ ---> Running in [0-9a-f]{12}$[\s\S]*^Removing intermediate container [0-9a-f]{12}\n ---> [0-9a-f]{12}$/m,
  );
  assert.match(built, /\nSuccessfully built [0-9a-f]{12}\nSuccessfully tagged demo-push:v1$/);
  const again = docker('build', '-t', 'demo-push:v1', '-f', join(context, 'MyDockerfile'), context);
  assert.equal(again.match(/^ ---> Using cache$/gm)?.length, 2);
  assert.equal(/Successfully built (\w+)/.exec(again)?.[1], /Successfully built (\w+)/.exec(built)?.[1]);
  assert.match(docker('run', '--rm', 'demo-push:v1'), image.proof);

  // Publish: the wrong name first, as the tutorial does.
  const target = `${hub.host}/cynthia/demo-push`;
  const cookie = await hub.signIn('cynthia', PASSWORD);
  const created = await hub.api('POST', '/api/repositories', {
    cookie,
    body: { namespace: 'cynthia', name: 'demo-push', description: '', visibility: 'private' },
  });
  assert.equal(created.status, 201);
  const early = refused('push', `${target}:v1`);
  assert.match(
    `${early.stdout}${early.stderr}`,
    /The push refers to repository \[.*cynthia\/demo-push\]\s+An image does not exist locally with the tag: .*cynthia\/demo-push/,
  );
  docker('tag', 'demo-push:v1', `${target}:v1`);
  const pushed = docker('push', `${target}:v1`);
  const digest = /^v1: digest: (sha256:[0-9a-f]{64}) size: \d+$/m.exec(pushed)?.[1];
  assert.ok(digest, pushed);
  const tags = await hub.api('GET', '/api/tags/cynthia/demo-push', { cookie });
  assert.deepEqual(
    tags.body.tags.map((tag: { name: string; digest: string }) => [tag.name, tag.digest]),
    [['v1', digest]],
  );
  docker('rmi', '-f', 'demo-push:v1', `${target}:v1`);
  assert.match(docker('pull', `${target}:v1`), new RegExp(`Digest: ${digest}`));
  assert.match(docker('run', '--rm', `${target}:v1`), image.proof);
}

const PASSWORD = 'a long password';

async function signUp(hub: TestHub): Promise<void> {
  const answer = await hub.api('POST', '/api/signup', {
    body: { username: 'cynthia', email: 'cynthia@example.org', password: PASSWORD },
  });
  assert.equal(answer.status, 201);
}

function dockerfileOf(base: string, image: TutorialImage): string {
  return `From ${base}

RUN apt-get update \\
    && apt-get install -y --no-install-recommends \\
${image.packages.map((name) => `        ${name} \\`).join('\n')}
    && rm -rf /var/lib/apt/lists/*
CMD ["python3", "-c", ${JSON.stringify(image.check)}]
`;
}
