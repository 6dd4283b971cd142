import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Context } from './context.ts';
import { checkLinks, hostsLineOf, linkEnvironment, parseLink } from './links.ts';
import type { ContainerRecord } from './types.ts';

const target = {
  name: 'store',
  config: {
    Hostname: 'abc',
    Env: ['A=b', 'PATH=/bin', 'HOME=/', 'EMPTY='],
    ExposedPorts: { '6379/tcp': {}, '53/udp': {}, '53/tcp': {} },
  },
} as unknown as ContainerRecord;

describe('parseLink', () => {
  const rows: readonly [string, string, string][] = [
    ['store', 'store', 'store'],
    ['store:db', 'store', 'db'],
    ['/store:/app/db', 'store', 'db'],
  ];
  for (const [text, name, alias] of rows) {
    it(`reads ${text}`, () => assert.deepEqual(parseLink(text), { name, alias }));
  }
  for (const text of ['', ':db', 'store:', 'a:b:c']) {
    it(`refuses "${text}"`, () => {
      assert.throws(() => parseLink(text), {
        code: 'invalid_argument',
        message: `bad format for links: ${text}`,
      });
    });
  }
});

describe('checkLinks', () => {
  const records = {
    get: (name: string) => {
      if (name === 'store') return target;
      throw Object.assign(new Error('no'), { code: 'not_found' });
    },
  } as unknown as Context['records'];
  const check = (NetworkMode: string, ...Links: readonly string[]): void =>
    checkLinks({ records }, { NetworkMode, Links });

  it('takes links to containers that exist, and any on a network with names', () => {
    check('bridge', 'store:db');
    check('net', 'later:db');
    check('host');
  });

  it('refuses them where they cannot work', () => {
    const message = (kind: string): string =>
      `conflicting options: ${kind} can't be used with links. This would result in undefined behavior`;
    assert.throws(() => check('host', 'store'), { message: message('host type networking') });
    assert.throws(() => check('container:x', 'store'), { message: message('container type network') });
    assert.throws(() => check('net', 'a:b:c'), { message: 'bad format for links: a:b:c' });
  });
});

describe('a link on the default bridge', () => {
  const link = { alias: 'my-db', address: '172.17.0.2', target, owner: 'app' };

  it('is a line of names', () => {
    assert.equal(hostsLineOf(link), '172.17.0.2\tmy-db abc store');
    assert.equal(hostsLineOf({ ...link, alias: 'store' }), '172.17.0.2\tstore abc');
  });

  it('is a set of variables', () => {
    assert.deepEqual(linkEnvironment(link), [
      'MY_DB_PORT=tcp://172.17.0.2:53',
      'MY_DB_PORT_53_TCP=tcp://172.17.0.2:53',
      'MY_DB_PORT_53_TCP_ADDR=172.17.0.2',
      'MY_DB_PORT_53_TCP_PORT=53',
      'MY_DB_PORT_53_TCP_PROTO=tcp',
      'MY_DB_PORT_53_UDP=udp://172.17.0.2:53',
      'MY_DB_PORT_53_UDP_ADDR=172.17.0.2',
      'MY_DB_PORT_53_UDP_PORT=53',
      'MY_DB_PORT_53_UDP_PROTO=udp',
      'MY_DB_PORT_6379_TCP=tcp://172.17.0.2:6379',
      'MY_DB_PORT_6379_TCP_ADDR=172.17.0.2',
      'MY_DB_PORT_6379_TCP_PORT=6379',
      'MY_DB_PORT_6379_TCP_PROTO=tcp',
      'MY_DB_NAME=/app/my-db',
      'MY_DB_ENV_A=b',
      'MY_DB_ENV_EMPTY=',
    ]);
  });
});
