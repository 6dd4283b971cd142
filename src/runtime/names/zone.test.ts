import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { NamesEntry, NetworkNames } from './types.ts';
import { Zone } from './zone.ts';

function on(network: string, address: string, names: readonly string[], links = {}): NetworkNames {
  return { networkId: `id-${network}`, networkName: network, address, names, links };
}

function entry(sandboxId: string, ...networks: readonly NetworkNames[]): NamesEntry {
  return { sandboxId, netnsPath: '', networks, upstreams: [], forwards: true, keepsSingleWords: false };
}

function zoneOf(...entries: readonly NamesEntry[]): Zone {
  const zone = new Zone(() => 0);
  for (const one of entries) zone.put(one);
  return zone;
}

describe('Zone', () => {
  const web = entry('s1', on('front', '10.1.0.2', ['web', 'www', 'abcdefabcdef']));
  const app = entry('s2', on('front', '10.1.0.3', ['app']), on('back', '10.2.0.3', ['app', 'api']));
  const db = entry('s3', on('back', '10.2.0.2', ['Db']));

  it('finds names, aliases and ids on shared networks only, in any letter case', () => {
    const zone = zoneOf(web, app, db);
    assert.deepEqual(zone.findAddresses('s2', 'WWW'), ['10.1.0.2']);
    assert.deepEqual(zone.findAddresses('s2', 'abcdefabcdef'), ['10.1.0.2']);
    assert.deepEqual(zone.findAddresses('s2', 'db'), ['10.2.0.2']);
    assert.deepEqual(
      zone.findAddresses('s1', 'app'),
      ['10.1.0.3'],
      'by the address on the network both are on',
    );
    assert.equal(zone.findAddresses('s1', 'db'), undefined, 'another network');
    assert.equal(zone.findAddresses('s1', 'api'), undefined, 'an alias of another network');
    assert.equal(zone.findAddresses('nobody', 'web'), undefined);
    assert.equal(zone.findAddresses('s1', ''), undefined);
  });

  it('finds a name with its network', () => {
    const dotted = entry('s4', on('a.b', '10.3.0.2', ['x.y']));
    const zone = zoneOf(web, app, db, dotted);
    assert.deepEqual(zone.findAddresses('s2', 'app.back'), ['10.2.0.3']);
    assert.deepEqual(zone.findAddresses('s2', 'app.front'), ['10.1.0.3']);
    assert.equal(zone.findAddresses('s1', 'app.back'), undefined);
    assert.deepEqual(zone.findAddresses('s4', 'x.y.a.b'), ['10.3.0.2']);
  });

  it('follows links of this container alone', () => {
    const linked = entry('s5', on('front', '10.1.0.9', ['linked'], { Store: 'web', app: 'www' }));
    const zone = zoneOf(web, app, linked);
    assert.deepEqual(zone.findAddresses('s5', 'store'), ['10.1.0.2']);
    assert.deepEqual(zone.findAddresses('s5', 'app'), ['10.1.0.2'], 'a link comes before a name');
    assert.equal(zone.findAddresses('s2', 'store'), undefined);
  });

  it('gives all who share a name, each in turn first', () => {
    let turn = 0;
    const zone = new Zone(() => (turn++ % 3) / 3);
    for (const i of [1, 2, 3]) zone.put(entry(`w${i}`, on('front', `10.1.0.${i}`, [`w${i}`, 'worker'])));
    const firsts = [1, 2, 3].map(() => zone.findAddresses('w1', 'worker')?.[0]);
    assert.deepEqual(firsts.toSorted(), ['10.1.0.1', '10.1.0.2', '10.1.0.3']);
    assert.equal(zone.findAddresses('w1', 'worker')?.length, 3);
  });

  it('forgets who goes, and what changes', () => {
    const zone = zoneOf(web, app, db);
    zone.put(entry('s3', on('back', '10.2.0.8', ['store'])));
    assert.equal(zone.findAddresses('s2', 'db'), undefined);
    assert.deepEqual(zone.findAddresses('s2', 'store'), ['10.2.0.8']);
    assert.equal(zone.findName('s2', '10.2.0.2'), undefined);
    zone.drop('s3');
    zone.drop('s3');
    assert.equal(zone.findAddresses('s2', 'store'), undefined);
    assert.deepEqual(zone.ids(), ['s1', 's2']);
  });

  it('names who has an address, with the network', () => {
    const zone = zoneOf(web, app, db);
    assert.equal(zone.findName('s2', '10.2.0.2'), 'Db.back');
    assert.equal(zone.findName('s1', '10.2.0.2'), undefined, 'another network');
  });
});
