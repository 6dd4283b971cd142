/** skopeo, buildah and podman as the judges of hub and engine: images go every way between them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { makeImageArchive, NEEDS_BUSYBOX } from '../support/busybox.ts';
import { NEEDS_DOCKER_CLI, startDaemon, type TestDaemon } from '../support/daemon.ts';
import { ADMIN, startHub, type TestHub } from '../support/hub.ts';

const missing = ['skopeo', 'buildah', 'podman'].filter(
  (program) => spawnSync(program, ['--version']).status !== 0,
);
const skip =
  NEEDS_DOCKER_CLI || NEEDS_BUSYBOX || (missing.length > 0 ? `${missing.join(', ')}: not installed` : false);
const { username, password } = ADMIN;

describe('container tools', { skip }, () => {
  let daemon: TestDaemon;
  let hub: TestHub;
  let dir: string;
  let env: Record<string, string>;

  before(async () => {
    daemon = await startDaemon();
    hub = await startHub();
    daemon.dockerOk(['load'], { input: makeImageArchive({ tags: ['box:1'] }).archive });
    dir = join(daemon.dir, 'tools');
    for (const name of ['run', 'home/.config/containers']) mkdirSync(join(dir, name), { recursive: true });
    const write = (name: string, text: string): string => {
      writeFileSync(join(dir, name), text);
      return join(dir, name);
    };
    write('home/.config/containers/policy.json', '{"default":[{"type":"insecureAcceptAnything"}]}');
    env = {
      PATH: process.env['PATH'] ?? '',
      HOME: join(dir, 'home'),
      XDG_RUNTIME_DIR: join(dir, 'run'),
      DOCKER_CONFIG: join(daemon.dir, 'docker-config'),
      REGISTRY_AUTH_FILE: join(dir, 'auth.json'),
      CONTAINERS_STORAGE_CONF: write(
        'storage.conf',
        `[storage]\ndriver="vfs"\ngraphroot="${dir}/storage"\nrunroot="${dir}/run/storage"\n`,
      ),
      CONTAINERS_REGISTRIES_CONF: write(
        'registries.conf',
        `[[registry]]\nlocation="${hub.host}"\ninsecure=true\n`,
      ),
    };
  });
  after(async () => {
    rmSync(dir, { recursive: true, force: true });
    await hub.dispose();
    await daemon.dispose();
  });

  function run(program: string, ...args: string[]): string {
    const { status, stdout, stderr } = spawnSync(program, args, {
      cwd: dir,
      env,
      encoding: 'utf8',
      timeout: 60_000,
    });
    assert.equal(status, 0, `${program} ${args.join(' ')}\n${stdout}${stderr}`);
    return stdout;
  }
  function refused(program: string, ...args: string[]): string {
    const { status, stderr } = spawnSync(program, args, { cwd: dir, env, encoding: 'utf8', timeout: 60_000 });
    assert.notEqual(status, 0, `${program} ${args.join(' ')}`);
    return stderr;
  }
  const plain = '--tls-verify=false';

  it('each signs in and out, and is refused with a wrong password', () => {
    for (const program of ['skopeo', 'buildah', 'podman']) {
      assert.match(
        refused(program, 'login', plain, '-u', username, '-p', 'wrong', hub.host),
        /invalid username\/password/,
      );
      assert.match(run(program, 'login', plain, '-u', username, '-p', password, hub.host), /Login Succeeded/);
    }
    daemon.dockerOk(['login', '-u', username, '--password-stdin', hub.host], { input: password });
  });

  it('skopeo copies from the engine to every form and back', () => {
    const from = ['--src-daemon-host', daemon.host];
    const to = ['--dest-daemon-host', daemon.host];
    assert.match(
      run('skopeo', 'inspect', '--daemon-host', daemon.host, 'docker-daemon:box:1'),
      /"Os": "linux"/,
    );
    run('skopeo', 'copy', ...from, 'docker-daemon:box:1', 'oci:layout:1');
    run('skopeo', 'copy', ...from, 'docker-daemon:box:1', 'docker-archive:box.tar:box:2');
    run('skopeo', 'copy', ...to, 'docker-archive:box.tar', 'docker-daemon:box:3');
    run('skopeo', 'copy', ...to, 'oci:layout:1', 'docker-daemon:box:4');
    for (const tag of [3, 4])
      assert.equal(daemon.dockerOk(['run', '--rm', `box:${tag}`, 'echo', 'ran']), 'ran');
    const id = (tag: number): string => daemon.dockerOk(['inspect', '-f', '{{.Id}}', `box:${tag}`]);
    assert.equal(id(3), id(1));
  });

  it('skopeo copies, lists, inspects and deletes in the hub, and the engine runs what it pushed', () => {
    const name = `docker://${hub.host}/${username}/sk`;
    run(
      'skopeo',
      'copy',
      '--src-daemon-host',
      daemon.host,
      '--dest-tls-verify=false',
      'docker-daemon:box:1',
      `${name}:docker`,
    );
    run('skopeo', 'copy', '--dest-tls-verify=false', 'oci:layout:1', `${name}:oci`);
    run(
      'skopeo',
      'copy',
      '--dest-tls-verify=false',
      '--dest-compress-format',
      'zstd',
      '--dest-compress-level',
      '3',
      'oci:layout:1',
      `${name}2:zstd`,
    );
    assert.deepEqual(JSON.parse(run('skopeo', 'list-tags', plain, name)).Tags, ['docker', 'oci']);
    assert.match(run('skopeo', 'inspect', plain, `${name}:oci`), /"Digest": "sha256:/);
    run('skopeo', 'copy', '--src-tls-verify=false', '--dest-tls-verify=false', `${name}:oci`, `${name}:copy`);
    run('skopeo', 'delete', plain, `${name}:copy`);
    for (const tag of ['sk:docker', 'sk2:zstd']) {
      const image = `${hub.host}/${username}/${tag}`;
      daemon.dockerOk(['pull', '-q', image]);
      assert.equal(daemon.dockerOk(['run', '--rm', image, 'echo', 'ran']), 'ran');
    }
    assert.match(refused('skopeo', 'inspect', plain, `${name}:nosuch`), /manifest unknown/);
  });

  it('buildah builds on what the hub has, and the engine runs the result', () => {
    const image = `${hub.host}/${username}`;
    const container = run('buildah', 'from', '-q', plain, `${image}/sk:docker`).trim();
    writeFileSync(join(dir, 'made'), 'by buildah\n');
    run('buildah', 'copy', container, join(dir, 'made'), '/made');
    run('buildah', 'config', '--cmd', 'cat /made', container);
    run('buildah', 'commit', '-q', '--rm', container, 'made:1');
    for (const format of ['oci', 'docker'])
      run('buildah', 'push', plain, '--format', format, 'made:1', `docker://${image}/made:${format}`);
    for (const format of ['oci', 'docker'])
      assert.equal(
        daemon.dockerOk(['run', '--rm', '--pull', 'always', '-q', `${image}/made:${format}`]),
        'by buildah',
      );
  });

  it('podman pulls, pushes, makes lists of platforms, and searches', () => {
    const image = `${hub.host}/${username}`;
    run('podman', 'pull', '-q', plain, `${image}/made:oci`);
    run('podman', 'tag', `${image}/made:oci`, `${image}/pm:1`);
    run('podman', 'push', '-q', plain, `${image}/pm:1`);
    run('podman', 'manifest', 'create', plain, 'list:1', `docker://${image}/pm:1`);
    run('podman', 'manifest', 'push', plain, '--all', 'list:1', `docker://${image}/list:1`);
    assert.equal(daemon.dockerOk(['run', '--rm', '-q', `${image}/list:1`]), 'by buildah');
    assert.match(refused('podman', 'pull', plain, `${image}/nosuch:1`), /manifest unknown/);
    assert.match(run('podman', 'search', plain, `${hub.host}/`), new RegExp(`${image}/pm`));
  });

  it('docker search finds in the hub what the caller may see', async () => {
    const search = (): string => daemon.dockerOk(['search', '--format', '{{.Name}}', `${hub.host}/sk`]);
    assert.equal(search().split('\n').sort().join(' '), `${username}/sk ${username}/sk2`);
    daemon.dockerOk(['logout', hub.host]);
    assert.equal(search(), '', 'what a push created is private');
    const cookie = await hub.signIn(username, password);
    const path = `/api/repositories/${username}/sk`;
    const body = { visibility: 'public', confirm: `${username}/sk` };
    assert.equal((await hub.api('PATCH', path, { cookie, body })).status, 200);
    assert.equal(search(), `${username}/sk`);
    assert.match(run('podman', 'search', plain, `${hub.host}/sk`), new RegExp(`${hub.host}/${username}/sk `));
    const wrong = { authorization: `Basic ${Buffer.from(`${username}:wrong`).toString('base64')}` };
    assert.equal((await hub.api('GET', '/v1/search?q=sk', { headers: wrong })).status, 401);
    assert.equal((await hub.api('GET', '/v1/_ping')).status, 404);
  });
});
