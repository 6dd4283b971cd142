import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { hasCode } from '#base/errors/index.ts';
import { openDatabase } from '#store/metadata/index.ts';
import { createNetworkStore } from './index.ts';
import type { NetworkStore, Sandbox } from './types.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root: it makes bridges and namespaces';

interface Fixture {
  readonly networks: NetworkStore;
  readonly reopen: () => Promise<NetworkStore>;
}

async function open(context: TestContext): Promise<Fixture> {
  const root = mkdtempSync(join(tmpdir(), 'slipway-network-'));
  const db = openDatabase(join(root, 'state.db'));
  let current: NetworkStore | undefined;
  const openStore = async (): Promise<NetworkStore> => {
    current = await createNetworkStore({ db, root, execRoot: join(root, 'exec') });
    return current;
  };
  context.after(async () => {
    await current?.close();
    db.close();
    rmSync(root, { recursive: true, force: true });
  });
  return { networks: await openStore(), reopen: openStore };
}

/** A web server inside a sandbox: busybox nc answers every connection with one word. */
async function answerInside(context: TestContext, sandbox: Sandbox, word: string): Promise<void> {
  const child = spawn(
    'nsenter',
    [`--net=${sandbox.path}`, 'busybox', 'nc', '-ll', '-p', '80', '-e', 'echo', word],
    { stdio: 'ignore' },
  );
  await once(child, 'spawn');
  context.after(() => child.kill('SIGKILL'));
  for (let attempt = 0; attempt < 50; attempt++) {
    const listening = execFileSync('nsenter', [
      `--net=${sandbox.path}`,
      'cat',
      '/proc/net/tcp',
      '/proc/net/tcp6',
    ]).toString();
    if (/:0050 0+:0000 0A/.test(listening)) return;
    await sleep(20);
  }
  throw new Error('the server inside the sandbox did not start');
}

async function ask(host: string, port: number): Promise<string> {
  const socket = connect({ host, port });
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(Buffer.from(chunk)));
  socket.setTimeout(5000, () => socket.destroy(new Error('no answer')));
  await once(socket, 'close');
  return Buffer.concat(chunks).toString().trim();
}

test('a new engine has the predefined networks, which cannot be removed', { skip }, async (context) => {
  const { networks } = await open(context);
  assert.deepEqual(
    networks.listNetworks().map((network) => network.name),
    ['bridge', 'host', 'none'],
  );
  await assert.rejects(networks.removeNetwork('host'), {
    message: 'host is a pre-defined network and cannot be removed',
  });
  assert.throws(() => networks.getNetwork('nope'), { message: 'network nope not found' });
});

test('a published port reaches the container from loopback, IPv6 and an address of the host, and is free again later', {
  skip,
}, async (context) => {
  const { networks } = await open(context);
  const bridge = networks.getNetwork('bridge');
  const sandbox = await networks.acquireSandbox();
  const port = { containerPort: 80, protocol: 'tcp', hostIp: '0.0.0.0', hostPort: 0 } as const;
  const endpoint = await networks.attach(sandbox, {
    networkId: bridge.id,
    containerId: 'c1',
    containerName: 'web',
    ports: [port],
  });
  const hostPort = endpoint.ports[0]?.hostPort ?? 0;
  await answerInside(context, sandbox, 'hello');
  assert.equal(await ask('127.0.0.1', hostPort), 'hello', 'loopback');
  assert.equal(await ask('::1', hostPort), 'hello', 'IPv6 loopback');
  assert.equal(await ask(bridge.gateway ?? '', hostPort), 'hello', 'the host seen from the bridge');
  assert.equal(await ask(endpoint.ipAddress, 80), 'hello', 'the container itself');
  const clash = { ...port, hostPort };
  const other = await networks.acquireSandbox();
  await assert.rejects(
    networks.attach(other, { networkId: bridge.id, containerId: 'c2', containerName: 'x', ports: [clash] }),
    {
      message: new RegExp(
        `^driver failed programming external connectivity on endpoint [^ ]+ \\([0-9a-f]{64}\\): Bind for 0.0.0.0:${hostPort} failed: port is already allocated$`,
      ),
    },
  );
  assert.deepEqual(
    networks.listEndpoints(bridge.id).map((each) => each.containerId),
    ['c1'],
    'the failed attach left nothing',
  );
  await networks.releaseSandbox(sandbox);
  await networks.releaseSandbox(other);
  const server = createServer().listen(hostPort, '0.0.0.0');
  await once(server, 'listening');
  server.close();
});

test('containers reach each other on one network and not across networks', { skip }, async (context) => {
  const { networks } = await open(context);
  const bridge = networks.getNetwork('bridge');
  const own = await networks.createNetwork({ name: 'own' });
  const [a, b, c] = [
    await networks.acquireSandbox(),
    await networks.acquireSandbox(),
    await networks.acquireSandbox(),
  ];
  const attach = (sandbox: Sandbox, networkId: string, name: string) =>
    networks.attach(sandbox, { networkId, containerId: name, containerName: name, ports: [] });
  const first = await attach(a, bridge.id, 'a');
  await attach(b, bridge.id, 'b');
  await attach(c, own.id, 'c');
  await answerInside(context, a, 'from-a');
  const fetchFrom = (sandbox: Sandbox) =>
    execFileSync('nsenter', [`--net=${sandbox.path}`, 'busybox', 'nc', '-w', '1', first.ipAddress, '80'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    }).toString();
  assert.equal(fetchFrom(b).trim(), 'from-a');
  assert.throws(() => fetchFrom(c), 'another network gets no answer');
  await assert.rejects(networks.removeNetwork('own'), (error) => hasCode(error, 'permission_denied'));
  for (const sandbox of [a, b, c]) await networks.releaseSandbox(sandbox);
  await networks.removeNetwork('own');
});

test('a restarted daemon finds endpoints again and publishes their ports again', {
  skip,
}, async (context) => {
  const { networks, reopen } = await open(context);
  const bridge = networks.getNetwork('bridge');
  const sandbox = await networks.acquireSandbox();
  const port = { containerPort: 80, protocol: 'tcp', hostIp: '127.0.0.1', hostPort: 0 } as const;
  const endpoint = await networks.attach(sandbox, {
    networkId: bridge.id,
    containerId: 'c1',
    containerName: 'web',
    ports: [port],
  });
  await answerInside(context, sandbox, 'still here');
  await networks.close();
  const again = await reopen();
  assert.deepEqual(
    again.listEndpoints(bridge.id).map((each) => each.ipAddress),
    [endpoint.ipAddress],
  );
  assert.equal(await ask('127.0.0.1', endpoint.ports[0]?.hostPort ?? 0), 'still here');
  await again.releaseSandbox(sandbox);
});

test('closing without endpoints leaves no bridge, no rule and no namespace', { skip }, async (context) => {
  const { networks } = await open(context);
  const bridge = networks.getNetwork('bridge');
  const sandbox = await networks.acquireSandbox();
  await networks.attach(sandbox, { networkId: bridge.id, containerId: 'c1', containerName: 'x', ports: [] });
  await networks.releaseSandbox(sandbox);
  await networks.close();
  const links = execFileSync('ip', ['-br', 'link']).toString();
  assert.equal(links.includes(bridge.bridgeName ?? '?'), false);
  const tables = execFileSync('nft', ['list', 'tables']).toString();
  assert.equal(tables.includes((bridge.bridgeName ?? '?').replace('sw-', 'slipway_')), false);
});

test('two engines that chose the same subnet before either raised its bridge do not meet', {
  skip,
}, async (context) => {
  const [first, second] = [await open(context), await open(context)];
  const bridges = [first, second].map(({ networks }) => networks.getNetwork('bridge'));
  assert.equal(bridges[0]?.subnet, bridges[1]?.subnet, 'nobody has raised one yet');
  const attached = [];
  for (const { networks } of [first, second]) {
    const sandbox = await networks.acquireSandbox();
    const networkId = networks.getNetwork('bridge').id;
    const endpoint = await networks.attach(sandbox, {
      networkId,
      containerId: 'c',
      containerName: 'c',
      ports: [],
    });
    attached.push({ networks, sandbox, endpoint });
  }
  const [one, two] = attached.map(({ endpoint }) => endpoint.gateway);
  assert.notEqual(one, two);
  assert.equal(second.networks.getNetwork('bridge').gateway, two, 'the definition says the same');
  for (const { networks, sandbox } of attached) await networks.releaseSandbox(sandbox);
});

test('an engine that ends without endpoints takes the bridge of a killed one with it', {
  skip,
}, async (context) => {
  const { networks, reopen } = await open(context);
  const bridge = networks.getNetwork('bridge');
  const sandbox = await networks.acquireSandbox();
  await networks.attach(sandbox, { networkId: bridge.id, containerId: 'c1', containerName: 'x', ports: [] });
  // The first one is not closed: that is what a kill looks like.
  const again = await reopen();
  again.sweepSandboxes(new Set());
  await again.close();
  assert.equal(
    execFileSync('ip', ['-br', 'link'])
      .toString()
      .includes(bridge.bridgeName ?? '?'),
    false,
  );
  assert.equal(
    execFileSync('nft', ['list', 'tables'])
      .toString()
      .includes((bridge.bridgeName ?? '?').replace('sw-', 'slipway_')),
    false,
  );
  await networks.close();
});

test('a bridge that somebody deleted is raised again, with the containers that were on it', {
  skip,
}, async (context) => {
  const { networks } = await open(context);
  const bridge = networks.getNetwork('bridge');
  const [first, second] = [await networks.acquireSandbox(), await networks.acquireSandbox()];
  const join = { networkId: bridge.id, ports: [] };
  const old = await networks.attach(first, { ...join, containerId: 'c1', containerName: 'one' });
  execFileSync('ip', ['link', 'delete', bridge.bridgeName ?? '']);
  const fresh = await networks.attach(second, { ...join, containerId: 'c2', containerName: 'two' });
  const ping = (from: Sandbox, to: string): void => {
    execFileSync('nsenter', [`--net=${from.path}`, 'busybox', 'ping', '-c', '1', '-W', '2', to]);
  };
  ping(second, bridge.gateway ?? '');
  ping(second, old.ipAddress);
  ping(first, fresh.ipAddress);
  ping(first, bridge.gateway ?? '');
  await networks.releaseSandbox(first);
  await networks.releaseSandbox(second);
});

test('a container that leaves its first network goes out over the next, and can join a third', {
  skip,
}, async (context) => {
  const { networks } = await open(context);
  const sandbox = await networks.acquireSandbox();
  const member = { containerId: 'c1', containerName: 'one', ports: [] };
  const made: string[] = [];
  for (const name of ['first', 'second', 'third']) made.push((await networks.createNetwork({ name })).id);
  const [first = '', second = '', third = ''] = made;
  await networks.attach(sandbox, { ...member, networkId: first });
  const next = await networks.attach(sandbox, { ...member, networkId: second });
  await networks.detach(sandbox, first, 'c1');
  const routes = (): string => execFileSync('nsenter', [`--net=${sandbox.path}`, 'ip', 'route']).toString();
  assert.match(routes(), new RegExp(`default via ${next.gateway} dev eth1`));
  await networks.attach(sandbox, { ...member, networkId: third });
  assert.match(routes(), /dev eth0/);
  await networks.releaseSandbox(sandbox);
  for (const id of made) await networks.removeNetwork(id);
});

test('rules that somebody flushed are drawn again when a port is published or given back', {
  skip,
}, async (context) => {
  const { networks } = await open(context);
  const bridge = networks.getNetwork('bridge');
  const [first, second] = [await networks.acquireSandbox(), await networks.acquireSandbox()];
  const port = { containerPort: 80, protocol: 'tcp', hostIp: '0.0.0.0', hostPort: 0 } as const;
  const attach = (sandbox: Sandbox, name: string) =>
    networks.attach(sandbox, { networkId: bridge.id, containerId: name, containerName: name, ports: [port] });
  await attach(first, 'one');
  const table = `slipway_${(bridge.bridgeName ?? '').slice('sw-'.length)}`;
  execFileSync('nft', ['delete', 'table', 'ip', table]);
  const endpoint = await attach(second, 'two');
  const rules = execFileSync('nft', ['list', 'table', 'ip', table]).toString();
  assert.match(rules, new RegExp(`tcp . ${endpoint.ports[0]?.hostPort} : ${endpoint.ipAddress}`));
  assert.equal(rules.match(/tcp \. \d+ : /g)?.length, 2, 'the other container’s port as well');
  execFileSync('nft', ['delete', 'table', 'ip', table]);
  await networks.releaseSandbox(first);
  await networks.releaseSandbox(second);
  assert.deepEqual(networks.listEndpoints(bridge.id), []);
});

test('the rules go with the last bridge, also when a network is removed', { skip }, async (context) => {
  const { networks } = await open(context);
  const own = await networks.createNetwork({ name: 'own' });
  const sandbox = await networks.acquireSandbox();
  await networks.attach(sandbox, { networkId: own.id, containerId: 'c', containerName: 'c', ports: [] });
  const table = `slipway_${(networks.getNetwork('bridge').bridgeName ?? '').slice('sw-'.length)}`;
  const tables = (): string => execFileSync('nft', ['list', 'tables']).toString();
  assert.match(tables(), new RegExp(table));
  await networks.releaseSandbox(sandbox);
  await networks.removeNetwork('own');
  assert.doesNotMatch(tables(), new RegExp(table));
  await networks.close();
  assert.doesNotMatch(tables(), new RegExp(table));
});
