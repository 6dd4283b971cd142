import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '#base/errors/index.ts';
import {
  chooseAddress,
  chooseSubnet,
  formatSubnet,
  macOf,
  overlaps,
  parseRoutes,
  parseSubnet,
  toAddress,
  toNumber,
} from './addresses.ts';

test('parseSubnet keeps the network address and refuses what is no IPv4 network', () => {
  assert.equal(formatSubnet(parseSubnet('172.28.5.9/16')), '172.28.0.0/16');
  for (const wrong of [
    '172.28.0.0',
    '172.28.0/16',
    '300.1.1.1/8',
    '10.0.0.0/31',
    '10.0.0.0/x',
    'fd00::/64',
  ]) {
    assert.throws(
      () => parseSubnet(wrong),
      (error) => hasCode(error, 'invalid_argument'),
      wrong,
    );
  }
});

test('chooseSubnet skips pools that overlap a network or a route of the host', () => {
  const taken = [parseSubnet('172.17.0.0/16'), parseSubnet('172.18.4.0/24')];
  assert.equal(formatSubnet(chooseSubnet(taken)), '172.19.0.0/16');
  assert.throws(
    () => chooseSubnet([parseSubnet('172.0.0.0/8'), parseSubnet('192.168.0.0/16')]),
    (error) => hasCode(error, 'resource_exhausted'),
  );
});

test('overlaps sees a network inside another from both sides', () => {
  const [wide, narrow, other] = [
    parseSubnet('10.0.0.0/8'),
    parseSubnet('10.9.0.0/24'),
    parseSubnet('11.0.0.0/8'),
  ];
  assert.equal(overlaps(wide, narrow) && overlaps(narrow, wide), true);
  assert.equal(overlaps(wide, other), false);
});

test('chooseAddress goes on after the last one, wraps around, and ends when all are taken', () => {
  const subnet = parseSubnet('10.1.1.0/29');
  const taken = new Set(['10.1.1.1', '10.1.1.3']);
  assert.equal(toAddress(chooseAddress(subnet, taken, toNumber('10.1.1.2'))), '10.1.1.4');
  assert.equal(toAddress(chooseAddress(subnet, taken, toNumber('10.1.1.6'))), '10.1.1.2');
  const full = new Set(['10.1.1.1', '10.1.1.2', '10.1.1.3', '10.1.1.4', '10.1.1.5', '10.1.1.6']);
  assert.throws(
    () => chooseAddress(subnet, full, 0),
    (error) => hasCode(error, 'resource_exhausted'),
  );
});

test('parseRoutes reads subnets from /proc/net/route and leaves the default route out', () => {
  const text =
    'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n' +
    'eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n' +
    'eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n';
  assert.deepEqual(parseRoutes(text).map(formatSubnet), ['192.0.2.0/24']);
});

test('macOf is the address Docker gives', () => {
  assert.equal(macOf('172.17.0.2'), '02:42:ac:11:00:02');
});
