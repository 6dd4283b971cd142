/**
 * The firewall of one engine: one nftables table of its own, so that several engines and Docker live side by side.
 *
 *     packet to this host ─ prerouting/output ─ port in `published`? ── dnat ──► container
 *     container ─► elsewhere ─ postrouting ─ source in a bridge's subnet, other link out ── masquerade
 *     127.0.0.1 ─► container, container ─► itself by the host's address ── masquerade (answers find the way back)
 *     forward:  answers pass · published pass · same bridge passes · other bridge, or unpublished from outside: drop
 *               internal networks reach nothing outside
 */
import type { PortBinding } from './types.ts';

/** What the rules need to know of a bridge. */
export interface BridgeRule {
  readonly bridgeName: string;
  readonly subnet: string;
  readonly internal: boolean;
  readonly masquerade: boolean;
}

/** A port and the container address it leads to. */
export interface PublishedPort extends PortBinding {
  readonly address: string;
}

/** The whole table as one transaction: what was there is replaced. */
export function drawTable(
  table: string,
  bridges: readonly BridgeRule[],
  ports: readonly PublishedPort[],
): string {
  const names = bridges.map((bridge) => `"${bridge.bridgeName}"`);
  const outward = bridges.filter((bridge) => !bridge.internal);
  return `
${dropTable(table)}table ip ${table} {
  set bridges { type ifname; ${elements(names)} }
  set internal { type ifname; ${elements(bridges.filter((b) => b.internal).map((b) => `"${b.bridgeName}"`))} }
  map published { type inet_proto . inet_service : ipv4_addr . inet_service; ${elements(ports.filter(isWildcard).map(wildcardElement))} }
  map published_at { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; ${elements(ports.filter((port) => !isWildcard(port)).map(addressElement))} }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    dnat ip to ip daddr . meta l4proto . th dport map @published_at
    fib daddr type local dnat ip to meta l4proto . th dport map @published
  }
  chain output {
    type nat hook output priority -100; policy accept;
    dnat ip to ip daddr . meta l4proto . th dport map @published_at
    fib daddr type local dnat ip to meta l4proto . th dport map @published
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr 127.0.0.0/8 oifname @bridges masquerade
    iifname @bridges oifname @bridges ct status dnat masquerade
    ${outward
      .filter((b) => b.masquerade)
      .map((b) => `ip saddr ${b.subnet} oifname != "${b.bridgeName}" masquerade`)
      .join('\n    ')}
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    ct state established,related accept
    iifname @internal oifname != @internal drop
    ${bridges.map((b) => `iifname "${b.bridgeName}" oifname "${b.bridgeName}" accept`).join('\n    ')}
    oifname @internal drop
    oifname @bridges ct status dnat accept
    oifname @bridges drop
  }
}
`;
}

/** Removes the table, should it be there. */
export function dropTable(table: string): string {
  return `add table ip ${table}\ndelete table ip ${table}\n`;
}

/** Commands that publish ports of one container. */
export function addPorts(table: string, ports: readonly PublishedPort[]): string {
  return portCommands('add', table, ports);
}

/** Commands that take ports back. */
export function removePorts(table: string, ports: readonly PublishedPort[]): string {
  return portCommands('delete', table, ports);
}

function portCommands(verb: 'add' | 'delete', table: string, ports: readonly PublishedPort[]): string {
  const line = (port: PublishedPort): string =>
    isWildcard(port)
      ? `${verb} element ip ${table} published { ${wildcardElement(port)} }`
      : `${verb} element ip ${table} published_at { ${addressElement(port)} }`;
  return ports.map(line).join('\n');
}

function isWildcard(port: PortBinding): boolean {
  return port.hostIp === '0.0.0.0' || port.hostIp === '';
}

function wildcardElement(port: PublishedPort): string {
  return `${port.protocol} . ${port.hostPort} : ${port.address} . ${port.containerPort}`;
}

function addressElement(port: PublishedPort): string {
  return `${port.hostIp} . ${wildcardElement(port)}`;
}

function elements(list: readonly string[]): string {
  return list.length === 0 ? '' : `elements = { ${list.join(', ')} };`;
}

/**
 * Inside a container's namespace: what it sends to `address` port 53 reaches `port`, and comes back as from 53. So a program in
 * the container can have port 53 itself. Ports are rewritten without connection tracking, which would watch all its packets.
 */
export function drawResolverRedirect(address: string, port: number): string {
  const rules = ['udp', 'tcp'].flatMap((protocol) => [
    `    ip daddr ${address} ${protocol} dport 53 ${protocol} dport set ${port}`,
    `    ip saddr ${address} ${protocol} sport ${port} ${protocol} sport set 53`,
  ]);
  return `table ip slipway_names {
  chain output {
    type filter hook output priority raw; policy accept;
${rules.join('\n')}
  }
}
`;
}
