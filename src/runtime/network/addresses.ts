/** IPv4 arithmetic and the choice of subnets and addresses; pure. */
import { CodedError } from '#base/errors/index.ts';

/** A subnet as numbers: `base` is the network address. */
export interface Subnet {
  readonly base: number;
  readonly prefixLength: number;
}

/** The pools a subnet is taken from when none is asked for, in Docker's order. */
const POOLS: readonly Subnet[] = [
  ...Array.from({ length: 15 }, (_, i) => ({ base: toNumber(`172.${17 + i}.0.0`), prefixLength: 16 })),
  ...Array.from({ length: 16 }, (_, i) => ({ base: toNumber(`192.168.${i * 16}.0`), prefixLength: 20 })),
];

/** `10.0.0.1` as a number; no check. */
export function toNumber(address: string): number {
  return address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
}

/** A number as `10.0.0.1`. */
export function toAddress(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.');
}

/** Whether `text` is a dotted IPv4 address. */
export function isIpv4(text: string): boolean {
  const parts = text.split('.');
  return parts.length === 4 && parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) < 256);
}

/** @throws {CodedError} `invalid_argument` for anything but `a.b.c.d/n`, with n from 1 to 30. */
export function parseSubnet(text: string): Subnet {
  const [address = '', length = ''] = text.split('/');
  const prefixLength = Number(length);
  if (!isIpv4(address) || !/^\d+$/.test(length) || prefixLength < 1 || prefixLength > 30) {
    throw new CodedError(
      'invalid_argument',
      `invalid subnet ${text}: expected an IPv4 network such as 172.28.0.0/16`,
    );
  }
  return { base: (toNumber(address) & maskOf(prefixLength)) >>> 0, prefixLength };
}

/** A subnet as `10.0.0.0/8`. */
export function formatSubnet(subnet: Subnet): string {
  return `${toAddress(subnet.base)}/${subnet.prefixLength}`;
}

/** Whether two subnets have an address in common. */
export function overlaps(a: Subnet, b: Subnet): boolean {
  const mask = maskOf(Math.min(a.prefixLength, b.prefixLength));
  return (a.base & mask) === (b.base & mask);
}

/** Whether an address is in a subnet. */
export function contains(subnet: Subnet, address: string): boolean {
  return (toNumber(address) & maskOf(subnet.prefixLength)) >>> 0 === subnet.base;
}

/**
 * The first pool no `taken` subnet overlaps.
 * @throws {CodedError} `resource_exhausted` with Docker's text.
 */
export function chooseSubnet(taken: readonly Subnet[]): Subnet {
  const free = POOLS.find((pool) => !taken.some((other) => overlaps(pool, other)));
  if (free !== undefined) return free;
  throw new CodedError(
    'resource_exhausted',
    'could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network',
  );
}

/**
 * The next free host address after `after`, wrapping around: an address that was just given back is not reused at once.
 * @throws {CodedError} `resource_exhausted`.
 */
export function chooseAddress(subnet: Subnet, taken: ReadonlySet<string>, after: number): number {
  const hosts = 2 ** (32 - subnet.prefixLength) - 2;
  const start = after > subnet.base ? after - subnet.base : 0;
  for (let step = 1; step <= hosts; step++) {
    const host = ((start + step - 1) % hosts) + 1;
    if (!taken.has(toAddress(subnet.base + host))) return subnet.base + host;
  }
  throw new CodedError(
    'resource_exhausted',
    `no available IPv4 addresses on this network's address pools: ${formatSubnet(subnet)}`,
  );
}

/** The hardware address Docker gives to an IPv4 address. */
export function macOf(address: string): string {
  const bytes = address.split('.').map((part) => Number(part).toString(16).padStart(2, '0'));
  return `02:42:${bytes.join(':')}`;
}

/** Subnets the host has routes to, from the text of `/proc/net/route`. */
export function parseRoutes(text: string): Subnet[] {
  const rows = text
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => line.split('\t'));
  return rows.flatMap((row) => {
    const [base, mask] = [swapBytes(row[1] ?? '0'), swapBytes(row[7] ?? '0')];
    const prefixLength = mask === 0 ? 0 : 32 - Math.log2(2 ** 32 - mask);
    return prefixLength === 0 ? [] : [{ base, prefixLength }];
  });
}

function swapBytes(hex: string): number {
  return Buffer.from(hex.padStart(8, '0'), 'hex').readUInt32LE(0);
}

function maskOf(prefixLength: number): number {
  return prefixLength === 0 ? 0 : (0xffffffff << (32 - prefixLength)) >>> 0;
}
