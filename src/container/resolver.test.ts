import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CodedError } from '#base/errors/index.ts';
import type { NamesChange, NamesEntry } from '#runtime/names/types.ts';
import type { Network, NetworkStore } from '#runtime/network/types.ts';
import type { Context } from './context.ts';
import { dnsNames, drawResolvConf, hasNames, serveNames } from './resolver.ts';
import type { Attachment, ContainerRecord } from './types.ts';
import type { HostSettings } from './wire.ts';

const NETWORKS = [
  { id: 'id-bridge', name: 'bridge', driver: 'bridge', internal: false },
  { id: 'id-net', name: 'net', driver: 'bridge', internal: false },
  { id: 'id-inside', name: 'inside', driver: 'bridge', internal: true },
  { id: 'id-host', name: 'host', driver: 'host', internal: false },
] as unknown as readonly Network[];
const HOST = { nameservers: ['192.0.2.53'], search: ['corp.test'], options: ['edns0'] };
const networks = { listNetworks: () => NETWORKS, resolverFor: () => HOST } as unknown as NetworkStore;

function on(name: string, more: Partial<Attachment> = {}): Attachment {
  const endpoint = { ipAddress: '10.0.0.2' } as Attachment['endpoint'];
  return {
    networkId: `id-${name}`,
    networkName: name,
    aliases: [],
    request: {},
    ...(endpoint === undefined ? {} : { endpoint }),
    ...more,
  };
}

function record(host: HostSettings, ...attachments: readonly Attachment[]): ContainerRecord {
  return {
    id: 'f'.repeat(64),
    name: 'app',
    config: { Hostname: 'own' },
    hostConfig: host,
    attachments,
  } as unknown as ContainerRecord;
}

/** The entry that the keeper is told; it has a resolver already. */
async function entryOf(container: ContainerRecord): Promise<NamesEntry> {
  const changes: NamesChange[] = [];
  const keeper = {
    names: async (change: NamesChange) => {
      changes.push(change);
      return { port: 4000, isNew: false };
    },
  };
  const context = { networks, keeper } as unknown as Context;
  const isServed = await serveNames(context, container, { id: 's', path: '/ns' }, container.attachments);
  const [change] = changes;
  assert.ok(isServed && change?.kind === 'put');
  return change.entry;
}

describe('drawResolvConf', () => {
  const rows: readonly [string, HostSettings, boolean, string][] = [
    ['host’s', {}, false, 'nameserver 192.0.2.53\nsearch corp.test\noptions edns0\n'],
    ['host’s search', {}, true, 'nameserver 127.0.0.11\nsearch corp.test\noptions edns0 ndots:0\n'],
    ['own server', { Dns: ['192.0.2.1'] }, false, 'nameserver 192.0.2.1\nsearch corp.test\noptions edns0\n'],
    [
      'own server behind the resolver',
      { Dns: ['192.0.2.1'], DnsSearch: ['a.test', 'b.test'], DnsOptions: ['ndots:2'] },
      true,
      'nameserver 127.0.0.11\nsearch a.test b.test\noptions ndots:2\n',
    ],
    ['no search', { DnsSearch: ['.'] }, true, 'nameserver 127.0.0.11\noptions edns0 ndots:0\n'],
  ];
  for (const [what, host, isServed, text] of rows) {
    it(`gives ${what}${isServed ? ' on a network with names' : ''}`, () => {
      assert.equal(drawResolvConf(record(host, on('net')), networks, { isServed }), text);
    });
  }
});

describe('serveNames', () => {
  it('is for bridges of the user’s making', () => {
    const context = { networks };
    assert.equal(hasNames(context, [on('bridge')]), false);
    assert.equal(hasNames(context, [on('host')]), false);
    assert.equal(hasNames(context, [on('gone')]), false);
    assert.equal(hasNames(context, [on('bridge'), on('net')]), true);
  });

  it('tells names, links and resolvers', async () => {
    const host = { Dns: ['127.0.0.1', '2001:db8::1', 'nonsense'], Links: ['store:db'] };
    const entry = await entryOf(
      record(host, on('net', { aliases: ['web', 'app'], request: { Links: ['c:d'] } }), on('bridge')),
    );
    assert.deepEqual(entry, {
      sandboxId: 's',
      netnsPath: '/ns',
      networks: [
        {
          networkId: 'id-net',
          networkName: 'net',
          address: '10.0.0.2',
          names: ['app', 'web', 'ffffffffffff', 'own'],
          links: { d: 'c', db: 'store' },
        },
      ],
      upstreams: [
        { address: '127.0.0.1', fromHost: false },
        { address: '2001:db8::1', fromHost: true },
      ],
      forwards: true,
      keepsSingleWords: false,
    });
  });

  it('forwards nothing from internal networks alone, and no single words against the user’s ndots', async () => {
    assert.equal((await entryOf(record({}, on('net')))).upstreams, 'host');
    assert.equal((await entryOf(record({}, on('inside')))).forwards, false);
    assert.equal((await entryOf(record({}, on('inside'), on('bridge')))).forwards, true);
    assert.equal((await entryOf(record({ DnsOptions: ['ndots:1'] }, on('net')))).keepsSingleWords, true);
    assert.equal((await entryOf(record({ DnsOptions: ['ndots:0'] }, on('net')))).keepsSingleWords, false);
  });

  it('goes without when the keeper is of an earlier version', async () => {
    const warnings: string[] = [];
    const context = {
      networks,
      keeper: {
        names: async () => {
          throw new CodedError('unimplemented', 'the keeper does not know "names"');
        },
      },
      log: { warn: (message: string) => warnings.push(message) },
    } as unknown as Context;
    const container = record({}, on('net'));
    assert.equal(
      await serveNames(context, container, { id: 's', path: '/ns' }, container.attachments),
      false,
    );
    assert.equal(warnings.length, 1);
  });
});

describe('dnsNames', () => {
  it('are unique, the container’s name first', () => {
    const container = record({}, on('net'));
    assert.deepEqual(dnsNames(container, on('net', { aliases: ['own', 'b'] })), [
      'app',
      'own',
      'b',
      'ffffffffffff',
    ]);
  });
});
