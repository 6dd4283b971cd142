import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { closeSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { createNetns, inNetns, openInternetSocket, removeNetns } from '#base/posix/index.ts';
import { redirectQueries } from '#runtime/network/index.ts';
import { CODE, codeOfAnswer, encodeAnswer, isQuery, parseQuery, TYPE } from './message.ts';
import { NamesService } from './service.ts';
import { makeQuery } from './testing.ts';
import type { NamesEntry } from './types.ts';

const skip =
  process.getuid?.() !== 0
    ? 'needs root: it makes network namespaces'
    : spawnSync('busybox').error !== undefined
      ? 'busybox is not installed'
      : false;

interface Fixture {
  readonly service: NamesService;
  readonly errors: readonly string[];
  makeEntry(more?: Partial<NamesEntry>): NamesEntry;
}

function open(context: TestContext): Fixture {
  const dir = mkdtempSync(join(tmpdir(), 'slipway-names-'));
  const errors: string[] = [];
  const service = new NamesService({ onError: (message) => errors.push(message), memoryMb: 24 });
  const paths: string[] = [];
  context.after(async () => {
    await service.close();
    for (const path of paths) removeNetns(path);
    rmSync(dir, { recursive: true });
  });
  return {
    service,
    errors,
    makeEntry(more = {}) {
      const path = join(dir, `n${paths.length}`);
      createNetns(path, (socket) => socket.setUp(1));
      paths.push(path);
      const own = {
        networkId: 'n1',
        networkName: 'net',
        address: '10.0.0.2',
        names: ['web', 'www'],
        links: {},
      };
      return {
        sandboxId: `s${paths.length}`,
        netnsPath: path,
        networks: [own],
        upstreams: [],
        forwards: true,
        keepsSingleWords: false,
        ...more,
      };
    },
  };
}

/** Asks from inside a namespace. */
async function ask(
  entry: NamesEntry,
  port: number,
  packet: Buffer,
  { overTcp = false, timeoutMs = 5000 } = {},
): Promise<Buffer> {
  const kind = overTcp ? 'tcp' : 'udp';
  const fd = inNetns(entry.netnsPath, () => openInternetSocket({ kind, address: '127.0.0.1', port: 0 }));
  if (!overTcp) {
    const socket = createSocket('udp4').bind({ fd });
    socket.on('error', () => {});
    socket.send(packet, port, '127.0.0.11');
    try {
      const signal = AbortSignal.timeout(timeoutMs);
      const [answer] = (await once(socket, 'message', { signal })) as [Buffer];
      return answer;
    } finally {
      socket.close();
    }
  }
  const socket = new Socket({ fd, manualStart: true } as object);
  socket.connect({ port, host: '127.0.0.11' });
  const length = Buffer.alloc(2);
  length.writeUInt16BE(packet.length);
  socket.write(Buffer.concat([length, packet]));
  let held = Buffer.alloc(0);
  for await (const chunk of socket) {
    held = Buffer.concat([held, chunk as Buffer]);
    if (held.length >= 2 && held.length >= 2 + held.readUInt16BE(0)) break;
  }
  return held.subarray(2);
}

/** A resolver on the host's loopback that knows every name as 192.0.2.1; `seen` are its queries. */
async function openUpstream(
  context: TestContext,
  code: number = CODE.ok,
): Promise<{
  readonly port: number;
  readonly seen: string[];
  readonly udp: UdpSocket;
  readonly tcp: Server;
}> {
  const seen: string[] = [];
  const reply = (packet: Buffer, overTcp: boolean): Buffer => {
    const query = parseQuery(packet);
    assert.ok(isQuery(query));
    seen.push(query.name);
    const answer = encodeAnswer(query, { type: TYPE.a, addresses: ['192.0.2.1'] }, { overTcp });
    answer[3] = (answer[3] ?? 0) | code;
    return answer;
  };
  const udp = createSocket('udp4');
  udp.on('message', (packet, from) => udp.send(reply(packet, false), from.port, from.address));
  udp.bind(0, '127.0.0.1');
  await once(udp, 'listening');
  const { port } = udp.address();
  const tcp = createServer((socket) => {
    socket.once('data', (chunk: Buffer) => {
      const answer = reply(chunk.subarray(2), true);
      const length = Buffer.alloc(2);
      length.writeUInt16BE(answer.length);
      socket.end(Buffer.concat([length, answer]));
    });
  });
  tcp.listen(port, '127.0.0.1');
  await once(tcp, 'listening');
  context.after(() => {
    udp.close();
    tcp.close();
  });
  return { port, seen, udp, tcp };
}

describe('resolver', { skip }, () => {
  it('answers programs that ask port 53, over UDP and TCP, while the port stays free', async (context) => {
    const { service, makeEntry } = open(context);
    const entry = makeEntry();
    const { port, isNew } = await service.change({ kind: 'put', entry });
    assert.equal(isNew, true);
    redirectQueries({ id: 's', path: entry.netnsPath }, { address: '127.0.0.11', port });
    const lookUp = (name: string): string =>
      spawnSync('nsenter', [`--net=${entry.netnsPath}`, 'busybox', 'nslookup', name, '127.0.0.11'], {
        encoding: 'utf8',
      }).stdout;
    assert.match(lookUp('web'), /Address: 10\.0\.0\.2/);
    assert.match(lookUp('10.0.0.2'), /name = web\.net/);
    for (const overTcp of [false, true]) {
      const answer = await ask(entry, 53, makeQuery('www', TYPE.a), { overTcp });
      assert.deepEqual([...answer.subarray(-4)], [10, 0, 0, 2], overTcp ? 'TCP' : 'UDP');
    }
    const own = inNetns(entry.netnsPath, () => [
      openInternetSocket({ kind: 'udp', address: '0.0.0.0', port: 53 }),
      openInternetSocket({ kind: 'tcp', address: '0.0.0.0', port: 53 }),
    ]);
    assert.equal(own.length, 2);
    for (const fd of own) closeSync(fd);
  });

  it('follows changes at once, and keeps its port', async (context) => {
    const { service, makeEntry } = open(context);
    const entry = makeEntry();
    const other = makeEntry({
      networks: [{ networkId: 'n1', networkName: 'net', address: '10.0.0.3', names: ['db'], links: {} }],
    });
    const { port } = await service.change({ kind: 'put', entry });
    const codeOf = async (): Promise<number> => codeOfAnswer(await ask(entry, port, makeQuery('db', TYPE.a)));
    assert.equal(await codeOf(), CODE.serverFailure, 'nobody is called so, and there is nobody to ask');
    await service.change({ kind: 'put', entry: other });
    assert.equal(await codeOf(), CODE.ok);
    assert.deepEqual(await service.change({ kind: 'put', entry }), { port, isNew: false });
    await service.change({ kind: 'drop', sandboxId: other.sandboxId });
    assert.equal(await codeOf(), CODE.serverFailure);
    await service.change({ kind: 'keep', sandboxIds: [] });
    assert.equal((await service.change({ kind: 'put', entry })).isNew, true);
  });

  it('passes other names on, to the next server when one fails, and never from an internal network', async (context) => {
    const { service, makeEntry } = open(context);
    const good = await openUpstream(context);
    const bad = await openUpstream(context, CODE.serverFailure);
    const at = (port: number, fromHost: boolean) => ({ address: '127.0.0.1', port, fromHost });
    // Nobody listens there inside the namespace: refused at once.
    const upstreams = [at(good.port, false), at(bad.port, true), at(good.port, true)];
    const entry = makeEntry({ upstreams });
    const { port } = await service.change({ kind: 'put', entry });
    for (const overTcp of [false, true]) {
      const answer = await ask(entry, port, makeQuery('Example.com', TYPE.a), { overTcp });
      assert.equal(answer.readUInt16BE(0), 0xabcd);
      assert.ok(answer.includes(Buffer.from([192, 0, 2, 1])), overTcp ? 'TCP' : 'UDP');
    }
    assert.deepEqual([good.seen.length, bad.seen.length], [2, 2]);
    await ask(entry, port, makeQuery('web', 16));
    assert.equal(good.seen.length, 2, 'a container’s name is not asked elsewhere, whatever the type');
    await service.change({ kind: 'put', entry: { ...entry, keepsSingleWords: true } });
    assert.equal(codeOfAnswer(await ask(entry, port, makeQuery('word', TYPE.a))), CODE.ok);
    await service.change({ kind: 'put', entry: { ...entry, forwards: false } });
    const refused = await ask(entry, port, makeQuery('example.com', TYPE.a));
    assert.equal(codeOfAnswer(refused), CODE.serverFailure);
    assert.equal(good.seen.length, 2, 'an internal network asks nobody');
  });

  it('asks from inside the container’s network when the server is there', async (context) => {
    const { service, makeEntry } = open(context);
    const entry = makeEntry({ upstreams: [{ address: '127.0.0.1', port: 5300, fromHost: false }] });
    const inside = inNetns(entry.netnsPath, () =>
      openInternetSocket({ kind: 'udp', address: '127.0.0.1', port: 5300 }),
    );
    const upstream = createSocket('udp4').bind({ fd: inside });
    context.after(() => void upstream.close());
    upstream.on('message', (packet, from) => {
      const query = parseQuery(packet);
      assert.ok(isQuery(query));
      const forged = encodeAnswer(
        { ...query, id: query.id ^ 1 },
        { type: TYPE.a, addresses: ['6.6.6.6'] },
        { overTcp: false },
      );
      upstream.send(forged, from.port, from.address);
      const answer = encodeAnswer(query, { type: TYPE.a, addresses: ['192.0.2.9'] }, { overTcp: false });
      upstream.send(answer, from.port, from.address);
    });
    const { port } = await service.change({ kind: 'put', entry });
    const answer = await ask(entry, port, makeQuery('example.com', TYPE.a));
    assert.ok(
      answer.includes(Buffer.from([192, 0, 2, 9])),
      'and is not misled by an answer to another query',
    );
  });

  it('goes on after any bytes, and after clients that misbehave', async (context) => {
    const { service, makeEntry, errors } = open(context);
    const entry = makeEntry();
    const { port } = await service.change({ kind: 'put', entry });
    const openUdp = () =>
      inNetns(entry.netnsPath, () => openInternetSocket({ kind: 'udp', address: '127.0.0.1', port: 0 }));
    const socket = createSocket('udp4').bind({ fd: openUdp() });
    const good = makeQuery('web', TYPE.a);
    for (let round = 0; round < 2000; round++) {
      const packet = Buffer.from(good.subarray(0, 1 + (round % good.length)));
      packet[round % packet.length] = round % 256;
      socket.send(round % 7 === 0 ? Buffer.alloc(round) : packet, port, '127.0.0.11');
    }
    await new Promise((resolve) => socket.send(good, port, '127.0.0.11', resolve));
    socket.close();
    const connections = Array.from({ length: 60 }, (_, i) => {
      const fd = inNetns(entry.netnsPath, () =>
        openInternetSocket({ kind: 'tcp', address: '127.0.0.1', port: 0 }),
      );
      const client = new Socket({ fd, manualStart: true } as object);
      client.on('error', () => {});
      client.connect({ port, host: '127.0.0.11' });
      client.write(i % 2 === 0 ? Buffer.from([0xff, 0xff, 1]) : Buffer.alloc(i * 100, i));
      return client;
    });
    assert.equal(codeOfAnswer(await ask(entry, port, good)), CODE.ok);
    for (const client of connections) client.destroy();
    assert.equal(codeOfAnswer(await ask(entry, port, good, { overTcp: true })), CODE.ok);
    assert.deepEqual(errors, []);
  });

  it('has another thread take over on the same port when one fails', async (context) => {
    const { service, makeEntry, errors } = open(context);
    const entry = makeEntry();
    const { port } = await service.change({ kind: 'put', entry });
    const names = Array.from({ length: 800_000 }, (_, i) => `name-${i}-that-takes-its-room`);
    const networks = [{ networkId: 'n1', networkName: 'net', address: '10.0.0.9', names, links: {} }];
    await assert.rejects(service.change({ kind: 'put', entry: makeEntry({ networks }) }), {
      code: 'internal',
    });
    assert.match(errors.join(), /the thread that answers for names failed/);
    const query = makeQuery('web', TYPE.a);
    for (const end = Date.now() + 10_000; Date.now() < end; ) {
      const answer = await ask(entry, port, query, { timeoutMs: 300 }).catch(() => undefined);
      if (answer === undefined) continue;
      assert.equal(codeOfAnswer(answer), CODE.ok);
      return;
    }
    assert.fail('nobody took over');
  });
});
