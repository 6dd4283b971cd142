/** The `slipway` program as people use it, beside the docker CLI on the same engine, with a hub. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { makeImageArchive, NEEDS_BUSYBOX } from '../support/busybox.ts';
import {
  type CommandResult,
  NEEDS_ENGINE,
  NEEDS_RECENT_DOCKER_CLI,
  type TestDaemon,
  withDaemon,
} from '../support/daemon.ts';
import { ADMIN, startHub } from '../support/hub.ts';

const PROGRAM = resolve(import.meta.dirname, '../../bin/slipway');

type Slipway = (
  args: readonly string[],
  options?: { readonly input?: string; readonly cwd?: string },
) => CommandResult;

function slipwayOn(daemon: TestDaemon): Slipway {
  return (args, options = {}) => {
    const { status, stdout, stderr, error } = spawnSync(PROGRAM, args, {
      input: options.input ?? '',
      cwd: options.cwd ?? daemon.dir,
      encoding: 'utf8',
      env: {
        PATH: process.env['PATH'] ?? '',
        HOME: daemon.dir,
        DOCKER_HOST: daemon.host,
        DOCKER_CONFIG: join(daemon.dir, 'docker-config'),
      },
    });
    if (error !== undefined) throw error;
    return { code: status ?? -1, stdout, stderr };
  };
}

function ok(result: CommandResult): string {
  assert.equal(result.code, 0, result.stdout + result.stderr);
  return result.stdout;
}

test(
  'lists, templates, documents and exit codes are those of the docker CLI',
  { skip: NEEDS_RECENT_DOCKER_CLI || NEEDS_BUSYBOX },
  () =>
    withDaemon(async (daemon) => {
      const slipway = slipwayOn(daemon);
      const { archive } = makeImageArchive({ tags: ['box:1', 'box:2'], labels: { a: 'b' } });
      daemon.dockerOk(['load'], { input: archive });
      daemon.dockerOk(['volume', 'create', 'v1']);
      const lines = [
        'images',
        'images -q',
        'images --digests',
        'images --no-trunc',
        'images box:1',
        'images nosuch',
        'images --format json',
        'image ls --format {{.Repository}}:{{.Tag}}',
        'ps -a',
        'history box:1',
        'history --no-trunc box:1',
        'inspect box:1',
        ['inspect', '-f', '{{json .Config.Labels}}{{.Os}}{{range .RepoTags}}[{{.}}]{{end}}', 'box:1'],
        'inspect nosuch',
        'image inspect nosuch',
        'network ls',
        'volume ls',
        'volume inspect v1',
        'version --format {{.Server.Version}}',
        'info --format {{.Driver}}',
        'tag box:1 other:1',
        'tag nosuch x',
        'rmi nosuch',
        'rm nosuch',
        'push nobody/nothing:1',
        'ps --bogus',
        'tag one',
      ];
      for (const line of lines) {
        const words = typeof line === 'string' ? line.split(' ') : line;
        const [docker, ours] = [daemon.docker(words), slipway(words)];
        assert.equal(ours.stdout, docker.stdout, words.join(' '));
        assert.equal(ours.code, docker.code, `${words.join(' ')}\n${ours.stderr}`);
      }
    }),
);

test('build, run, login, push, pull: the way from a folder to the hub and back', {
  skip: NEEDS_ENGINE || NEEDS_BUSYBOX,
}, async () => {
  const hub = await startHub();
  try {
    await withDaemon(async (daemon) => {
      const slipway = slipwayOn(daemon);
      const box = join(daemon.dir, 'box.tar');
      writeFileSync(box, makeImageArchive({ tags: ['box:1'] }).archive);
      assert.match(ok(slipway(['load', '-i', box])), /Loaded image: box:1/);
      const context = mkdtempSync(join(daemon.dir, 'ctx-'));
      mkdirSync(join(context, 'ignored'));
      writeFileSync(join(context, 'ignored/x'), '');
      writeFileSync(join(context, '.dockerignore'), 'ignored\n');
      writeFileSync(
        join(context, 'MyDockerfile'),
        'From box:1\nCOPY . /app\nRUN echo made > /made \\\n    && ls /app\nCMD ["cat", "/made"]\n',
      );
      const missing = slipway(['build', '-t', 'demo-push:v1', context]);
      assert.match(missing.stderr, /error\[build\/no-dockerfile\].*\n.*found MyDockerfile/);
      const built = ok(
        slipway(['build', '-t', 'demo-push:v1', '-f', join(context, 'MyDockerfile'), context]),
      );
      assert.match(built, /Step 1\/4 : F/);
      assert.match(built, /Successfully tagged demo-push:v1\n$/);
      const [id] =
        /sha256:[0-9a-f]{64}/.exec(ok(slipway(['inspect', '-f', '{{.Id}}', 'demo-push:v1']))) ?? [];
      assert.equal(ok(slipway(['run', '--rm', '--network', 'none', 'demo-push:v1'])), 'made\n');
      assert.equal(
        slipway(['run', '--rm', '--network', 'none', 'demo-push:v1', 'sh', '-c', 'exit 7']).code,
        7,
      );
      assert.equal(slipway(['run', '--rm', '--network', 'none', 'demo-push:v1', 'nosuch']).code, 127);
      assert.equal(
        ok(slipway(['run', '-i', '--rm', '--network', 'none', 'demo-push:v1', 'cat'], { input: 'in' })),
        'in',
      );

      const name = `${hub.host}/${ADMIN.username}/demo-push:v1`;
      const early = slipway(['push', name]);
      assert.equal(early.code, 1);
      assert.match(early.stdout, /The push refers to repository \[/);
      assert.match(early.stderr, /An image does not exist locally with the tag: /);
      const denied = slipway(['push', 'demo-push:v1', name]);
      assert.match(denied.stderr, new RegExp(`slipway login ${hub.host}`));
      const wrong = slipway(['login', '-u', ADMIN.username, '--password-stdin', hub.host], {
        input: 'wrong',
      });
      assert.match(wrong.stderr, /unauthorized: incorrect username or password/);
      const login = slipway(['login', '-u', ADMIN.username, '--password-stdin', hub.host], {
        input: ADMIN.password,
      });
      assert.equal(ok(login), 'Login Succeeded\n');
      const pushed = ok(slipway(['push', name]));
      const digest = /v1: digest: (sha256:[0-9a-f]{64}) size: \d+/.exec(pushed)?.[1];
      assert.ok(digest, pushed);
      assert.match(ok(slipway(['push', name])), /Layer already exists/);
      ok(slipway(['rmi', name, 'demo-push:v1']));
      const pulled = ok(slipway(['pull', name]));
      assert.match(
        pulled,
        new RegExp(`Digest: ${digest}\nStatus: Downloaded newer image for ${name}\n${name}\n$`),
      );
      assert.match(ok(slipway(['pull', name])), /Status: Image is up to date for /);
      assert.equal(ok(slipway(['inspect', '-f', '{{.Id}}', name])).trim(), id);
      assert.equal(ok(slipway(['run', '--rm', '--network', 'none', name])), 'made\n');
      const unknown = slipway(['pull', `${name}x`]);
      assert.match(unknown.stderr, /manifest for .* not found: manifest unknown: manifest unknown/);
      assert.match(unknown.stderr, /nearest: v1/);
      ok(slipway(['logout', hub.host]));
      assert.doesNotMatch(
        readFileSync(join(daemon.dir, 'docker-config/config.json'), 'utf8'),
        new RegExp(hub.host),
      );
      rmSync(context, { recursive: true });
    });
  } finally {
    await hub.dispose();
  }
});
