import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { HostResolvers } from './host-resolvers.ts';

it('the host’s resolvers are those of its file as it is now', (context) => {
  const dir = mkdtempSync(join(tmpdir(), 'slipway-resolvers-'));
  context.after(() => rmSync(dir, { recursive: true }));
  const path = join(dir, 'resolv.conf');
  let now = 0;
  const host = new HostResolvers({ path, now: () => now });
  const addresses = (): readonly string[] => host.list().map(({ address }) => address);
  assert.deepEqual(addresses(), ['8.8.8.8', '8.8.4.4'], 'there is no file');
  writeFileSync(
    path,
    '# nameserver 1.1.1.1\nnameserver 192.0.2.1\n nameserver 127.0.0.53 \nnameserver ::1\nnameserver x\n',
  );
  assert.deepEqual(addresses(), ['8.8.8.8', '8.8.4.4'], 'not looked at for every query');
  now += 2000;
  assert.deepEqual(host.list(), [
    { address: '192.0.2.1', fromHost: false },
    { address: '127.0.0.53', fromHost: true },
    { address: '::1', fromHost: true },
  ]);
  writeFileSync(`${path}.new`, 'nameserver 192.0.2.9\n');
  renameSync(`${path}.new`, path);
  now += 2000;
  assert.deepEqual(addresses(), ['192.0.2.9']);
  rmSync(path);
  now += 2000;
  assert.deepEqual(addresses(), ['192.0.2.9'], 'while it is written anew, the old ones are asked');
  writeFileSync(path, 'search x\n');
  now += 2000;
  assert.deepEqual(addresses(), ['8.8.8.8', '8.8.4.4']);
});
