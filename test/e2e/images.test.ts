import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createReadStream, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import Docker from 'dockerode';
import { makeImageArchive, makeRootfsTar, NEEDS_BUSYBOX } from '../support/busybox.ts';
import { NEEDS_DOCKER_CLI, NEEDS_RECENT_DOCKER_CLI, type TestDaemon, withDaemon } from '../support/daemon.ts';
import { NEEDS_DOCKER_REGISTRY, withDockerRegistry } from '../support/docker-registry.ts';

const options = { skip: NEEDS_DOCKER_CLI || NEEDS_BUSYBOX };

function load(daemon: TestDaemon, ...tags: string[]): { id: string; diffId: string } {
  const { archive, id, diffId } = makeImageArchive({ tags, labels: { tier: 'front' } });
  const output = daemon.dockerOk(['load'], { input: archive });
  assert.equal(output, tags.map((tag) => `Loaded image: ${tag}`).join('\n'));
  return { id, diffId };
}

describe('images with the docker CLI', options, () => {
  it('loads, lists, inspects, tags and removes', async () => {
    await withDaemon(async (daemon) => {
      const { id, diffId } = load(daemon, 'box:v1', 'team/box:latest');
      assert.equal(daemon.dockerOk(['images', '--no-trunc', '-q', 'box']), id);
      assert.equal(
        daemon.dockerOk([
          'inspect',
          '-f',
          '{{.Id}} {{index .RootFS.Layers 0}} {{.Config.Labels.tier}}',
          'box:v1',
        ]),
        `${id} ${diffId} front`,
      );
      assert.match(
        daemon.dockerOk(['history', '--no-trunc', 'box:v1']),
        /CMD \["sh"\][\s\S]*ADD file:busybox/,
      );
      daemon.dockerOk(['tag', 'box:v1', 'other:v2']);
      assert.equal(
        daemon.dockerOk([
          'images',
          '--format',
          '{{.Repository}}:{{.Tag}}',
          '-f',
          'label=tier=front',
          '-f',
          'reference=o*',
        ]),
        'other:v2',
      );
      assert.equal(daemon.dockerOk(['rmi', 'other:v2']), 'Untagged: other:v2');
      assert.match(
        daemon.docker(['rmi', id]).stderr,
        /\(must be forced\) - image is referenced in multiple repositories/,
      );
      const removed = daemon.dockerOk(['rmi', '-f', id]).split('\n');
      assert.deepEqual(removed.slice(0, 3), [
        'Untagged: box:v1',
        'Untagged: team/box:latest',
        `Deleted: ${id}`,
      ]);
      assert.equal(daemon.dockerOk(['images', '-q']), '');
    });
  });

  it('saves what it loads again, with the same ids', async () => {
    await withDaemon(async (daemon) => {
      const { id } = load(daemon, 'box:v1', 'box:v2');
      const path = join(daemon.dir, 'saved.tar');
      daemon.dockerOk(['save', '-o', path, 'box']);
      const listed = execFileSync('tar', ['-tf', path], { encoding: 'utf8' });
      assert.match(listed, /^manifest\.json$/m);
      assert.match(listed, /^index\.json$/m);
      daemon.dockerOk(['rmi', '-f', id]);
      assert.equal(
        daemon.dockerOk(['load', '-i', path]).split('\n').toSorted().join(' '),
        'Loaded image: box:v1 Loaded image: box:v2',
      );
      assert.equal(daemon.dockerOk(['images', '--no-trunc', '-q', 'box:v2']), id);
    });
  });

  it('imports a root file system with changes', async () => {
    await withDaemon(async (daemon) => {
      const path = join(daemon.dir, 'rootfs.tar');
      writeFileSync(path, makeRootfsTar());
      const id = daemon.dockerOk([
        'import',
        '-m',
        'by hand',
        '-c',
        'CMD ["sh"]',
        '-c',
        'ENV A=1',
        path,
        'fresh:v1',
      ]);
      assert.equal(
        daemon.dockerOk([
          'inspect',
          '-f',
          '{{.Id}} {{.Config.Cmd}} {{.Config.Env}} {{.Comment}}',
          'fresh:v1',
        ]),
        `${id} [sh] [A=1] by hand`,
      );
    });
  });

  it('tells what is wrong in the words of Docker', { skip: NEEDS_RECENT_DOCKER_CLI }, async () => {
    await withDaemon(async (daemon) => {
      load(daemon, 'demo-push:v1');
      const rows: readonly [readonly string[], RegExp][] = [
        [['tag', 'nothing', 'x'], /No such image: nothing:latest/],
        [
          ['tag', 'demo-push:v1', 'UPPER:v1'],
          /invalid reference format: repository name \(library\/UPPER\) must be lowercase/,
        ],
        [['rmi', 'nothing'], /No such image: nothing:latest/],
        [
          ['push', 'cynthia/demo-push:v1'],
          /An image does not exist locally with the tag: cynthia\/demo-push/,
        ],
        [['push', 'demo-push:v9'], /tag does not exist: demo-push:v9/],
        [['save', 'nothing'], /No such image: nothing/],
        [['load', '-i', '/etc/passwd'], /./],
      ];
      for (const [args, want] of rows) {
        const result = daemon.docker(args);
        assert.equal(result.code, 1, args.join(' '));
        assert.match(result.stderr + result.stdout, want);
      }
      const lines = await Array.fromAsync(
        daemon.client.bytes('POST', '/images/cynthia/demo-push/push', { query: { tag: 'v1' } }),
      );
      const last = JSON.parse(Buffer.concat(lines).toString().trim().split('\r\n').at(-1) ?? '') as {
        help: { id: string; fix: string[] };
      };
      assert.equal(last.help.id, 'push/no-local-tag');
      assert.deepEqual(last.help.fix, [
        'docker tag demo-push:v1 cynthia/demo-push:v1 && docker push cynthia/demo-push:v1',
      ]);
    });
  });

  it('prunes what nothing names', async () => {
    await withDaemon(async (daemon) => {
      const { id } = load(daemon, 'box:v1');
      const second = makeImageArchive({ tags: ['box:v1'], cmd: ['true'] });
      daemon.dockerOk(['load', '-q'], { input: second.archive });
      assert.equal(daemon.dockerOk(['images', '-q', '--no-trunc', '-f', 'dangling=true']), id);
      assert.match(
        daemon.dockerOk(['image', 'prune', '-f']),
        new RegExp(`Deleted Images:\\ndeleted: ${id}\\n[\\s\\S]*Total reclaimed space: 0B`),
      );
      assert.match(
        daemon.dockerOk(['image', 'prune', '-a', '-f']),
        /untagged: box:v1[\s\S]*Total reclaimed space: [1-9]/,
      );
      assert.equal(daemon.dockerOk(['images', '-aq']), '');
    });
  });

  it('keeps images over kill -9', async () => {
    await withDaemon(async (daemon) => {
      const { id } = load(daemon, 'box:v1');
      await daemon.kill();
      const again = await daemon.restart();
      assert.equal(again.dockerOk(['images', '--no-trunc', '-q']), id);
    });
  });
});

describe('push and pull', { skip: options.skip || NEEDS_DOCKER_REGISTRY }, () => {
  it('pushes to a registry, and pulls the same image back', async () => {
    await withDockerRegistry(async (host) => {
      await withDaemon(async (daemon) => {
        const { id } = load(daemon, 'box:v1');
        const name = `${host}/team/box:v1`;
        daemon.dockerOk(['tag', 'box:v1', name]);
        const pushed = daemon.dockerOk(['push', name]);
        const digest = /v1: digest: (sha256:[0-9a-f]{64}) size: \d+/.exec(pushed)?.[1];
        assert.ok(digest, pushed);
        assert.match(pushed, new RegExp(`^The push refers to repository \\[${host}/team/box\\]`));
        assert.match(daemon.dockerOk(['push', name]), /Layer already exists/);
        assert.equal(
          daemon.dockerOk(['inspect', '-f', '{{index .RepoDigests 0}}', name]),
          `${host}/team/box@${digest}`,
        );
        daemon.dockerOk(['rmi', '-f', id]);
        const pulled = daemon.dockerOk(['pull', name]);
        assert.match(pulled, /v1: Pulling from team\/box[\s\S]*Pull complete/);
        assert.ok(pulled.includes(`Digest: ${digest}\nStatus: Downloaded newer image for ${name}`), pulled);
        assert.equal(daemon.dockerOk(['images', '--no-trunc', '-q', name]), id);
        assert.match(daemon.dockerOk(['pull', name]), /Status: Image is up to date for/);
        assert.match(daemon.dockerOk(['pull', '-a', `${host}/team/box`]), /Status: Image is up to date for/);
        assert.match(
          daemon.docker(['pull', `${host}/team/box:v9`]).stderr,
          new RegExp(`manifest for ${host}/team/box:v9 not found: manifest unknown`),
        );
        assert.equal(daemon.docker(['manifest', 'inspect', '--insecure', name]).code, 0);
      });
    });
  });
});

const NEEDS_SKOPEO = spawnSync('skopeo', ['--version']).status === 0 ? false : 'skopeo is not installed';

describe('skopeo', { skip: options.skip || NEEDS_SKOPEO }, () => {
  it('copies an image out of the engine and into it', async () => {
    await withDaemon(async (daemon) => {
      const { id } = load(daemon, 'box:v1');
      const copy = (...args: string[]): void => {
        const { status, stderr } = spawnSync('skopeo', ['--insecure-policy', 'copy', ...args], {
          encoding: 'utf8',
        });
        assert.equal(status, 0, stderr);
      };
      copy('--src-daemon-host', daemon.host, 'docker-daemon:box:v1', `dir:${daemon.dir}/out`);
      copy('--dest-daemon-host', daemon.host, `dir:${daemon.dir}/out`, 'docker-daemon:copied:v2');
      assert.equal(daemon.dockerOk(['images', '--no-trunc', '-q', 'copied:v2']), id);
    });
  });
});

describe('dockerode', { skip: options.skip || NEEDS_DOCKER_REGISTRY }, () => {
  it('loads, lists, pushes, pulls, inspects a distribution and removes', async () => {
    await withDockerRegistry(async (host) => {
      await withDaemon(async (daemon) => {
        const docker = new Docker({ socketPath: daemon.socketPath });
        const { archive, id } = makeImageArchive({ tags: ['box:v1'] });
        const path = join(daemon.dir, 'box.tar');
        writeFileSync(path, archive);
        const follow = (stream: NodeJS.ReadableStream): Promise<readonly { error?: string }[]> =>
          new Promise((done, failed) =>
            docker.modem.followProgress(stream, (error, lines) => (error ? failed(error) : done(lines))),
          );
        await follow(await docker.loadImage(createReadStream(path)));
        const [listed] = await docker.listImages();
        assert.equal(listed?.Id, id);
        await docker.getImage('box:v1').tag({ repo: `${host}/box`, tag: 'v1' });
        const pushed = await follow(
          await docker
            .getImage(`${host}/box`)
            .push({ tag: 'v1', authconfig: { username: '', password: '', serveraddress: host } }),
        );
        assert.equal(
          pushed.some((line) => line.error),
          false,
        );
        await docker.getImage(id).remove({ force: true });
        await follow(await docker.pull(`${host}/box:v1`));
        assert.equal((await docker.getImage(`${host}/box:v1`).inspect()).Id, id);
        const distribution = await docker.getImage(`${host}/box:v1`).distribution();
        assert.match(distribution.Descriptor.digest, /^sha256:/);
        await assert.rejects(docker.getImage('nothing').inspect(), { statusCode: 404 });
        const saved = join(daemon.dir, 'saved.tar');
        const chunks: Buffer[] = [];
        for await (const chunk of await docker.getImage(`${host}/box:v1`).get()) chunks.push(chunk as Buffer);
        writeFileSync(saved, Buffer.concat(chunks));
        assert.ok(readFileSync(saved).length > 1_000_000);
      });
    });
  });
});
