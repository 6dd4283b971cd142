/** dockerode as the judge of the engine: build, attach, exec, archives, statistics, events, progress. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import Docker from 'dockerode';
import { makeImageArchive, NEEDS_BUSYBOX } from '../support/busybox.ts';
import { NEEDS_ENGINE, startDaemon, type TestDaemon } from '../support/daemon.ts';
import { ADMIN, startHub } from '../support/hub.ts';

const options = { skip: NEEDS_ENGINE || NEEDS_BUSYBOX };

interface Line {
  readonly stream?: string;
  readonly status?: string;
  readonly error?: string;
  readonly aux?: { readonly ID?: string; readonly Tag?: string; readonly Digest?: string };
}

/** Every line of a stream of progress; one with an error rejects. */
function follow(docker: Docker, stream: NodeJS.ReadableStream): Promise<readonly Line[]> {
  return new Promise((resolve, reject) => {
    docker.modem.followProgress(stream, (error: Error | null, lines: readonly Line[]) => {
      const failed = lines?.find((line) => line.error !== undefined)?.error;
      if (error !== null || failed !== undefined) reject(error ?? new Error(failed));
      else resolve(lines);
    });
  });
}

/** Output and error output of a framed stream, to its end. */
async function demux(docker: Docker, stream: NodeJS.ReadableStream): Promise<readonly [string, string]> {
  const [out, err] = [new PassThrough(), new PassThrough()];
  docker.modem.demuxStream(stream, out, err);
  stream.on('end', () => {
    out.end();
    err.end();
  });
  return Promise.all([text(out), text(err)]);
}

describe('dockerode', options, () => {
  let daemon: TestDaemon;
  let docker: Docker;
  before(async () => {
    daemon = await startDaemon();
    docker = new Docker({ socketPath: daemon.socketPath });
    const { archive } = makeImageArchive({ tags: ['box:1'] });
    await follow(docker, await docker.loadImage(Readable.from([archive])));
  });
  after(() => daemon.dispose());

  it('builds from a tar and from files, and follows the progress to the image', async () => {
    const context = join(daemon.dir, 'context');
    mkdirSync(context);
    writeFileSync(join(context, 'Dockerfile'), 'FROM box:1\nARG WORD\nCOPY a /a\nRUN echo said $WORD\n');
    writeFileSync(join(context, 'a'), 'hello\n');
    const src = { context, src: ['Dockerfile', 'a'] };
    const lines = await follow(
      docker,
      await docker.buildImage(src, { t: 'ode:1', buildargs: { WORD: 'it' } }),
    );
    const said = lines.map(({ stream }) => stream ?? '').join('');
    assert.match(said, /Step 1\/4 : FROM box:1\n[\s\S]*said it\n[\s\S]*Successfully tagged ode:1\n/);
    const id = lines.find(({ aux }) => aux?.ID !== undefined)?.aux?.ID;
    assert.equal((await docker.getImage('ode:1').inspect()).Id, id);
    const tar = execFileSync('tar', ['-C', context, '-c', '.']);
    const again = await follow(
      docker,
      await docker.buildImage(Readable.from([tar]), { t: 'ode:2', q: true }),
    );
    assert.match(again.at(-1)?.stream ?? '', /^sha256:[0-9a-f]{64}\n$/);
    writeFileSync(join(context, 'Dockerfile'), 'FROM box:1\nRUN exit 3\n');
    await assert.rejects(
      async () => follow(docker, await docker.buildImage({ context, src: ['Dockerfile'] })),
      /returned a non-zero code: 3/,
    );
    await assert.rejects(docker.getImage('nosuch').inspect(), { statusCode: 404, reason: 'no such image' });
  });

  it('attaches with a hijacked stdin, and runs with streams', async () => {
    const container = await docker.createContainer({
      Image: 'box:1',
      Cmd: ['sh', '-c', 'cat; echo end >&2; exit 6'],
      OpenStdin: true,
      StdinOnce: true,
    });
    const stream = await container.attach({
      stream: true,
      hijack: true,
      stdin: true,
      stdout: true,
      stderr: true,
    });
    const output = demux(docker, stream);
    await container.start();
    stream.write('typed\n');
    stream.end();
    assert.deepEqual(await output, ['typed\n', 'end\n']);
    assert.equal((await container.wait()).StatusCode, 6);
    assert.equal(String(await container.logs({ stdout: true, stderr: false })).slice(8), 'typed\n');
    await container.remove();
    const [out, err] = [new PassThrough(), new PassThrough()];
    const [result] = await docker.run('box:1', ['sh', '-c', 'echo o; echo e >&2'], [out, err], {
      Tty: false,
      HostConfig: { AutoRemove: true },
    });
    assert.equal(result.StatusCode, 0);
    assert.deepEqual([String(out.read()), String(err.read())], ['o\n', 'e\n']);
    const terminal = new PassThrough();
    await docker.run('box:1', ['echo', 'tty'], terminal, { HostConfig: { AutoRemove: true } });
    assert.equal(String(terminal.read()), 'tty\r\n');
  });

  it('runs further commands, with and without a hijacked connection', async () => {
    const container = await docker.createContainer({ Image: 'box:1', Cmd: ['sleep', '99'] });
    await container.start();
    for (const hijack of [true, false]) {
      const exec = await container.exec({
        Cmd: ['sh', '-c', 'echo $X; cat; echo e >&2; exit 5'],
        Env: ['X=y'],
        AttachStdin: hijack,
        AttachStdout: true,
        AttachStderr: true,
      });
      const stream = await exec.start({ hijack, stdin: hijack });
      const output = demux(docker, stream);
      if (hijack) stream.end('in\n');
      assert.deepEqual(await output, [hijack ? 'y\nin\n' : 'y\n', 'e\n']);
      const { ExitCode, Running } = await exec.inspect();
      assert.deepEqual([ExitCode, Running], [5, false]);
    }
    const tty = await container.exec({
      Cmd: ['sh', '-c', 'sleep 0.3; stty size'],
      Tty: true,
      AttachStdout: true,
    });
    const stream = await tty.start({ Tty: true, hijack: true });
    await tty.resize({ h: 20, w: 70 });
    assert.equal(await text(stream), '20 70\r\n');
    await assert.rejects(docker.getExec('0'.repeat(64)).inspect(), { statusCode: 404 });
    await container.remove({ force: true });
  });

  it('carries archives both ways, and takes images out and in', async () => {
    const container = await docker.createContainer({ Image: 'box:1', Cmd: ['sleep', '99'] });
    const tar = execFileSync('tar', ['-C', '/etc', '-c', 'hostname']);
    await container.putArchive(tar, { path: '/root' });
    await container.putArchive(Readable.from([tar]), { path: '/tmp' });
    const out = await buffer(await container.getArchive({ path: '/root/hostname' }));
    assert.equal(String(execFileSync('tar', ['t'], { input: out })), 'hostname\n');
    const { statusCode } = (await container.infoArchive({ path: '/tmp/hostname' })) as unknown as {
      statusCode: number;
    };
    assert.equal(statusCode, 200);
    await assert.rejects(container.getArchive({ path: '/nosuch' }), { statusCode: 404 });
    await assert.rejects(container.putArchive(tar, { path: '/nosuch' }), { statusCode: 404 });
    const names = String(
      execFileSync('tar', ['t'], { input: await buffer(await container.export()), maxBuffer: 2 ** 26 }),
    );
    assert.match(names, /^(\.\/)?root\/hostname$/m);
    const { Id } = (await container.commit({
      repo: 'ode',
      tag: 'c',
      changes: 'CMD ["cat", "/root/hostname"]',
    })) as { Id: string };
    const saved = await buffer(await docker.getImage('ode:c').get());
    await docker.getImage('ode:c').remove();
    await follow(docker, await docker.loadImage(Readable.from([saved])));
    assert.equal((await docker.getImage('ode:c').inspect()).Id, Id);
    await docker.getImage('ode:c').tag({ repo: 'other', tag: '2' });
    assert.deepEqual((await docker.getImage(Id).inspect()).RepoTags.sort(), ['ode:c', 'other:2']);
    await container.remove();
    assert.ok((await docker.listImages({ filters: { reference: ['other'] } })).length === 1);
  });

  it('reads statistics, processes, changes, events and lists', async () => {
    const events = await docker.getEvents({ filters: { type: ['container'], label: ['told'] } });
    const seen: string[] = [];
    events.on('data', (chunk) => {
      for (const line of String(chunk).trim().split('\n'))
        seen.push((JSON.parse(line) as { Action: string }).Action);
    });
    const container = await docker.createContainer({
      Image: 'box:1',
      name: 'looked-at',
      Cmd: ['sh', '-c', 'echo 1 > /new; sleep 99'],
      Labels: { told: '1' },
      ExposedPorts: { '80/tcp': {} },
      HostConfig: { PortBindings: { '80/tcp': [{ HostPort: '0' }] }, Memory: 64 * 1024 * 1024 },
    });
    await container.start();
    const once_ = await container.stats({ stream: false });
    assert.ok(once_.memory_stats.limit === 64 * 1024 * 1024 && once_.cpu_stats.online_cpus > 0);
    const stats = await container.stats();
    const [first] = (await once(stats as unknown as Readable, 'data')) as [Buffer];
    assert.ok('cpu_stats' in JSON.parse(String(first)));
    (stats as unknown as Readable).destroy();
    assert.ok(
      (await container.top({ ps_args: '-ef' })).Processes.some((line: string[]) =>
        line.join(' ').includes('sleep 99'),
      ),
    );
    assert.deepEqual(await container.changes(), [{ Kind: 1, Path: '/new' }]);
    const { NetworkSettings, State } = await container.inspect();
    assert.match(NetworkSettings.Ports['80/tcp']?.[0]?.HostPort ?? '', /^\d+$/);
    assert.equal(State.Running, true);
    const [listed] = await docker.listContainers({ filters: { name: ['looked-at'] } });
    assert.deepEqual([listed?.Names, listed?.Ports[0]?.PrivatePort], [['/looked-at'], 80]);
    await container.update({ Memory: 32 * 1024 * 1024, MemorySwap: 64 * 1024 * 1024 });
    await container.rename({ name: 'renamed' });
    await container.pause();
    await container.unpause();
    await container.restart({ t: 0 });
    await container.kill({ signal: 'KILL' });
    await assert.rejects(container.kill(), { statusCode: 409 });
    await assert.rejects(container.stop(), { statusCode: 304 });
    await container.remove({ v: true });
    await assert.rejects(container.inspect(), { statusCode: 404, reason: 'no such container' });
    const wanted =
      'create start top update rename pause unpause kill kill die stop start restart kill die destroy';
    for (const end = Date.now() + 5000; !seen.includes('destroy') && Date.now() < end; ) await docker.ping();
    (events as unknown as Readable).destroy();
    assert.deepEqual(seen, wanted.split(' '));
  });

  it('takes null for what is not asked, as many clients send it', async () => {
    const config =
      'Hostname Domainname User AttachStdin AttachStdout AttachStderr ExposedPorts Tty OpenStdin StdinOnce Env Healthcheck ArgsEscaped Volumes WorkingDir Entrypoint NetworkDisabled MacAddress OnBuild Labels StopSignal StopTimeout Shell NetworkingConfig';
    const host =
      'CpuShares Memory CgroupParent BlkioWeight BlkioWeightDevice CpuPeriod CpuQuota CpusetCpus CpusetMems Devices DeviceCgroupRules DeviceRequests MemoryReservation MemorySwap MemorySwappiness NanoCpus OomKillDisable Init PidsLimit Ulimits Binds NetworkMode PortBindings AutoRemove VolumeDriver VolumesFrom ConsoleSize Annotations CapAdd CapDrop CgroupnsMode Dns DnsOptions DnsSearch ExtraHosts GroupAdd IpcMode Links OomScoreAdj PidMode Privileged PublishAllPorts ReadonlyRootfs SecurityOpt StorageOpt Tmpfs UTSMode UsernsMode ShmSize Sysctls Runtime Isolation MaskedPaths ReadonlyPaths';
    const nulls = (names: string): object => Object.fromEntries(names.split(' ').map((name) => [name, null]));
    const nested = {
      RestartPolicy: { Name: null, MaximumRetryCount: null },
      LogConfig: { Type: null, Config: null },
      Mounts: [
        {
          Type: 'volume',
          Target: '/v',
          Source: null,
          ReadOnly: null,
          VolumeOptions: { Labels: null, DriverConfig: null },
        },
      ],
    };
    const container = await docker.createContainer({
      ...nulls(config),
      Image: 'box:1',
      Cmd: ['true'],
      HostConfig: { ...nulls(host), ...nested } as unknown as Docker.HostConfig,
    });
    await container.start();
    assert.equal((await container.wait()).StatusCode, 0);
    await container.remove({ v: true });
  });

  it('has networks and volumes, and knows the engine', async () => {
    const volume = await docker.createVolume({ Name: 'ode', Labels: { a: 'b' } });
    assert.equal((await docker.getVolume('ode').inspect()).Labels['a'], 'b');
    assert.ok((await docker.listVolumes()).Volumes.some(({ Name }) => Name === 'ode'));
    await docker.getVolume(volume.name).remove();
    const network = await docker.createNetwork({ Name: 'ode-net', CheckDuplicate: true });
    await network.remove();
    await assert.rejects(network.inspect(), { statusCode: 404 });
    assert.equal(String(await docker.ping()), 'OK');
    assert.equal((await docker.version()).Os, 'linux');
    assert.equal((await docker.info()).OSType, 'linux');
    assert.ok('LayersSize' in (await docker.df()));
    await docker.pruneContainers();
    await docker.pruneImages({ filters: { dangling: { true: true } } });
    await docker.pruneVolumes();
    await docker.pruneNetworks();
  });

  it('pushes to and pulls from a registry with credentials', async () => {
    const hub = await startHub();
    try {
      const authconfig = { ...ADMIN, serveraddress: hub.host };
      const name = `${hub.host}/${ADMIN.username}/ode`;
      assert.equal(((await docker.checkAuth(authconfig)) as { Status: string }).Status, 'Login Succeeded');
      await assert.rejects(docker.checkAuth({ ...authconfig, password: 'no' }), { statusCode: 401 });
      await docker.getImage('box:1').tag({ repo: name, tag: '1' });
      const pushed = await follow(docker, await docker.getImage(name).push({ tag: '1', authconfig }));
      const { aux } = pushed.find((line) => line.aux !== undefined) ?? {};
      assert.equal(aux?.Tag, '1');
      await docker.getImage(`${name}:1`).remove();
      const pulled = await follow(docker, await docker.pull(`${name}:1`, { authconfig }));
      assert.match(pulled.at(-1)?.status ?? '', /^Status: Downloaded newer image for/);
      const { RepoDigests } = await docker.getImage(`${name}:1`).inspect();
      assert.deepEqual(RepoDigests, [`${name}@${aux?.Digest}`]);
      await assert.rejects(docker.pull(`${name}:nosuch`, { authconfig }), { statusCode: 404 });
    } finally {
      await hub.dispose();
    }
  });
});
