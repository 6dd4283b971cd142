import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { CodedError } from '#base/errors/index.ts';
import {
  chooseSubnet,
  contains,
  formatSubnet,
  isIpv4,
  overlaps,
  parseRoutes,
  parseSubnet,
  type Subnet,
  toAddress,
} from './addresses.ts';
import { PREDEFINED } from './definitions.ts';
import type { Network, NetworkStore } from './types.ts';

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
const BRIDGE_OPTION = 'com.docker.network.bridge.name';
/** Docker's option that switches masquerading off. */
export const MASQUERADE_OPTION = 'com.docker.network.bridge.enable_ip_masquerade';

/** A network before it has an id. */
export type NetworkPlan = Omit<Network, 'id' | 'createdAt'>;

/**
 * What a request for a network comes to, beside the networks known already.
 * @throws {CodedError} with Docker's texts.
 */
export function planNetwork(
  options: Parameters<NetworkStore['createNetwork']>[0],
  known: readonly Network[],
): NetworkPlan {
  if (!NAME.test(options.name)) {
    throw new CodedError(
      'invalid_argument',
      `invalid network name ${JSON.stringify(options.name)}: only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed`,
    );
  }
  if (PREDEFINED.includes(options.name)) {
    throw new CodedError(
      'permission_denied',
      `operation is not permitted on predefined ${options.name} network`,
    );
  }
  const driver = options.driver || 'bridge';
  if (driver === 'host' || driver === 'null' || driver === 'none') {
    throw new CodedError(
      'permission_denied',
      `only one instance of "${driver === 'none' ? 'null' : driver}" network is allowed`,
    );
  }
  if (driver !== 'bridge') {
    throw new CodedError('not_found', `plugin "${driver}" not found`);
  }
  if (options.ipv6)
    throw new CodedError('unimplemented', 'networks with IPv6 addresses are not supported yet');
  const subnet = chooseOrCheck(options.subnet, known);
  const gateway = options.gateway ?? toAddress(subnet.base + 1);
  if (!isIpv4(gateway) || !contains(subnet, gateway)) {
    throw new CodedError(
      'invalid_argument',
      `invalid gateway ${gateway}: it is not in the subnet ${formatSubnet(subnet)}`,
    );
  }
  return {
    name: options.name,
    driver: 'bridge',
    internal: options.internal ?? false,
    ipv6: false,
    bridgeName: options.options?.[BRIDGE_OPTION] ?? `sw-${randomBytes(6).toString('hex')}`,
    subnet: formatSubnet(subnet),
    gateway,
    isSubnetChosen: options.subnet === undefined && options.gateway === undefined,
    options: options.options ?? {},
    labels: options.labels ?? {},
  };
}

/** The networks that every engine has and `known` lacks. */
export function planPredefined(
  known: readonly Network[],
  options: { readonly bridgeName: string; readonly subnet: string | undefined },
): readonly NetworkPlan[] {
  const names = new Set(known.map((network) => network.name));
  const plain = {
    internal: false,
    ipv6: false,
    bridgeName: undefined,
    subnet: undefined,
    gateway: undefined,
    options: {},
    labels: {},
  };
  const plans: NetworkPlan[] = [
    { ...plain, name: 'host', driver: 'host' },
    { ...plain, name: 'none', driver: 'none' },
  ];
  if (!names.has('bridge')) {
    const subnet = chooseOrCheck(options.subnet, known);
    plans.unshift({
      ...plain,
      name: 'bridge',
      driver: 'bridge',
      bridgeName: options.bridgeName,
      subnet: formatSubnet(subnet),
      gateway: toAddress(subnet.base + 1),
      isSubnetChosen: options.subnet === undefined,
      options: {
        [BRIDGE_OPTION]: options.bridgeName,
        [MASQUERADE_OPTION]: 'true',
        'com.docker.network.bridge.default_bridge': 'true',
      },
    });
  }
  return plans.filter(({ name }) => !names.has(name));
}

function chooseOrCheck(asked: string | undefined, known: readonly Network[]): Subnet {
  const own = subnetsOf(known);
  if (asked === undefined) return chooseSubnet([...own, ...hostRoutes()]);
  const subnet = parseSubnet(asked);
  if (own.some((other) => overlaps(other, subnet))) {
    throw new CodedError('permission_denied', 'Pool overlaps with other one on this address space');
  }
  return subnet;
}

/** Subnets this host has routes to now. */
export function hostRoutes(): Subnet[] {
  return parseRoutes(readFileSync('/proc/net/route', 'utf8'));
}

/** Subnets of networks that have one. */
export function subnetsOf(networks: readonly Network[]): Subnet[] {
  return networks.flatMap((network) => (network.subnet === undefined ? [] : [parseSubnet(network.subnet)]));
}
