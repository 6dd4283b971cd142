import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bridgeResolver, parseResolvConf } from './resolver.ts';

test('parseResolvConf reads servers, search domains and options, and skips comments', () => {
  const text =
    '# made by hand\nnameserver 10.0.0.1 ; first\nnameserver 10.0.0.2\nsearch a.example b.example\noptions ndots:2\n';
  assert.deepEqual(parseResolvConf(text), {
    nameservers: ['10.0.0.1', '10.0.0.2'],
    search: ['a.example', 'b.example'],
    options: ['ndots:2'],
  });
});

test('bridgeResolver looks behind a stub on the loopback', () => {
  const files: Record<string, string> = {
    '/etc/resolv.conf': 'nameserver 127.0.0.53\nsearch corp\n',
    '/run/systemd/resolve/resolv.conf': 'nameserver 10.9.9.9\n',
  };
  assert.deepEqual(
    bridgeResolver((path) => files[path]),
    { nameservers: ['10.9.9.9'], search: ['corp'], options: [] },
  );
});

test('bridgeResolver falls back to public servers when the host names none that can be reached', () => {
  assert.deepEqual(bridgeResolver(() => undefined).nameservers, ['8.8.8.8', '8.8.4.4']);
});
