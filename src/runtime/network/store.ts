import { createHash, randomBytes } from 'node:crypto';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CodedError, hasCode } from '#base/errors/index.ts';
import { type Firewall, openFirewall, RouteSocket, withNetns } from '#base/posix/index.ts';
import type { Database } from '#store/metadata/index.ts';
import {
  chooseAddress,
  chooseSubnet,
  contains,
  formatSubnet,
  isIpv4,
  macOf,
  overlaps,
  parseSubnet,
  toAddress,
  toNumber,
} from './addresses.ts';
import { NetworkDefinitions, PREDEFINED } from './definitions.ts';
import { EndpointFiles, hostLinkOf, publishedOf, type StoredEndpoint } from './endpoints.ts';
import { claimPort, type PortClaim, publishFailed } from './host-ports.ts';
import { hostRoutes, MASQUERADE_OPTION, planNetwork, planPredefined, subnetsOf } from './planning.ts';
import { bridgeResolver, parseResolvConf } from './resolver.ts';
import { addPorts, type BridgeRule, drawTable, dropTable, removePorts } from './rules.ts';
import { SandboxPool } from './sandboxes.ts';
import type { AttachOptions, Endpoint, Network, NetworkStore, PortBinding, Sandbox } from './types.ts';

/** Options of `createNetworkStore`. */
export interface NetworkStoreOptions {
  readonly db: Database;
  /** Data root; names the bridge and the firewall table, so that engines with different roots do not meet. */
  readonly root: string;
  readonly execRoot: string;
  /** `a.b.c.d/n` of the default bridge; chosen freely when absent. */
  readonly defaultSubnet?: string;
  /** Told of networks whose definition cannot be read. */
  readonly onDamaged?: (name: string, error: unknown) => void;
}

/**
 * Opens the networks of one engine: the predefined ones exist afterwards, endpoints of containers that outlived an
 * earlier daemon are known, their ports are claimed and the firewall is drawn anew.
 */
export async function createNetworkStore(options: NetworkStoreOptions): Promise<NetworkStore> {
  const store = new BridgeNetworks(options);
  await store.open();
  return store;
}

class BridgeNetworks implements NetworkStore {
  readonly #options: NetworkStoreOptions;
  readonly #instance: string;
  readonly #definitions: NetworkDefinitions;
  readonly #endpoints: EndpointFiles;
  readonly #sandboxes: SandboxPool;
  readonly #claims = new Map<string, readonly PortClaim[]>();
  readonly #lastAddress = new Map<string, number>();
  readonly #bridges = new Map<string, number>();
  #firewall: Firewall | undefined;
  #routes: RouteSocket | undefined;

  constructor(options: NetworkStoreOptions) {
    this.#options = options;
    this.#instance = createHash('sha256').update(options.root).digest('hex').slice(0, 8);
    this.#definitions = new NetworkDefinitions(options.db, options.onDamaged);
    this.#endpoints = new EndpointFiles(join(options.execRoot, 'network', 'endpoints'));
    this.#sandboxes = new SandboxPool(join(options.execRoot, 'network', 'netns'));
  }

  async open(): Promise<void> {
    const bridge = { bridgeName: `sw-${this.#instance}`, subnet: this.#options.defaultSubnet };
    for (const plan of planPredefined(this.#definitions.list(), bridge)) this.#definitions.add(plan);
    for (const endpoint of this.#endpoints.all()) {
      if (endpoint.ports.length > 0)
        this.#claims.set(endpoint.endpointId, await this.#claim(endpoint.ports, endpoint.ipAddress));
    }
    if (this.#endpoints.all().length > 0) this.#drawFirewall();
  }

  listNetworks(): readonly Network[] {
    return this.#definitions.list();
  }

  getNetwork(nameOrId: string): Network {
    return this.#definitions.get(nameOrId);
  }

  async createNetwork(options: Parameters<NetworkStore['createNetwork']>[0]): Promise<Network> {
    return this.#definitions.add(planNetwork(options, this.#definitions.list()));
  }

  async removeNetwork(nameOrId: string): Promise<void> {
    const network = this.#definitions.get(nameOrId);
    if (PREDEFINED.includes(network.name)) {
      throw new CodedError(
        'permission_denied',
        `${network.name} is a pre-defined network and cannot be removed`,
      );
    }
    const users = this.#endpoints.of(network.id);
    if (users.length > 0) {
      const names = users
        .map((user) => `name:"${user.containerName}" id:"${user.containerId.slice(0, 12)}"`)
        .join(', ');
      throw new CodedError(
        'permission_denied',
        `error while removing network: network ${network.name} has active endpoints (${names})`,
      );
    }
    this.#definitions.delete(network);
    if (this.#bridges.delete(network.id)) {
      this.#drawFirewall();
      if (network.bridgeName !== undefined) this.#socket().removeLink(network.bridgeName);
    }
  }

  async acquireSandbox(): Promise<Sandbox> {
    return this.#sandboxes.acquire();
  }

  async attach(sandbox: Sandbox, options: AttachOptions): Promise<Endpoint> {
    const network = this.#definitions.get(options.networkId);
    if (network.driver !== 'bridge')
      throw new CodedError(
        'invalid_argument',
        `cannot attach to the ${network.driver} network "${network.name}"`,
      );
    const bridgeIndex = this.#ensureBridge(network);
    const endpoint = this.#planEndpoint(this.#definitions.get(network.id), sandbox, options);
    // The address is taken from here on: a second attach sees it while this one still binds ports.
    this.#endpoints.put(endpoint);
    try {
      this.#plug(endpoint, sandbox, bridgeIndex);
      const claims = await this.#claim(options.ports, endpoint.ipAddress).catch((error) => {
        throw publishFailed(endpoint, error);
      });
      this.#claims.set(endpoint.endpointId, claims);
      const bound: StoredEndpoint = { ...endpoint, ports: claims.map((claim) => claim.binding) };
      if (claims.length > 0) {
        this.#endpoints.put(bound);
        this.#changeRules(addPorts(this.#table, publishedOf(bound)));
      }
      return bound;
    } catch (error) {
      this.#unplug(endpoint);
      throw error;
    }
  }

  async detach(sandbox: Sandbox, networkId: string, containerId: string): Promise<void> {
    const endpoint = this.#endpoints.find(networkId, containerId);
    if (endpoint === undefined) return;
    this.#unplug(endpoint);
    this.#reroute(sandbox);
  }

  async releaseSandbox(sandbox: Sandbox): Promise<void> {
    for (const endpoint of this.#endpoints.inSandbox(sandbox.id)) this.#forget(endpoint);
    // The kernel takes down both ends of every veth with the namespace.
    this.#sandboxes.remove(sandbox);
  }

  renameContainer(containerId: string, name: string): void {
    for (const endpoint of this.#endpoints.all())
      if (endpoint.containerId === containerId) this.#endpoints.put({ ...endpoint, containerName: name });
  }

  listEndpoints(networkId: string): readonly StoredEndpoint[] {
    return this.#endpoints.of(networkId);
  }

  resolverFor(networkId: string): ReturnType<NetworkStore['resolverFor']> {
    const network = this.#definitions.get(networkId);
    return network.driver === 'host'
      ? parseResolvConf(readFileSync('/etc/resolv.conf', 'utf8'))
      : bridgeResolver();
  }

  sweepSandboxes(live: ReadonlySet<string>): void {
    for (const endpoint of this.#endpoints.all()) {
      if (!live.has(endpoint.sandboxId)) this.#forget(endpoint);
    }
    this.#sandboxes.sweep(live);
  }

  async close(): Promise<void> {
    for (const claims of this.#claims.values()) for (const claim of claims) claim.release();
    this.#claims.clear();
    this.#sandboxes.close();
    if (this.#endpoints.all().length === 0) this.#removeLinks();
    this.#routes?.[Symbol.dispose]();
    this.#routes = undefined;
  }

  get #table(): string {
    return `slipway_${this.#instance}`;
  }

  #planEndpoint(network: Network, sandbox: Sandbox, options: AttachOptions): StoredEndpoint {
    const subnet = parseSubnet(network.subnet ?? '');
    const gateway = network.gateway ?? '';
    const taken = new Set([gateway, ...this.#endpoints.of(network.id).map((endpoint) => endpoint.ipAddress)]);
    const ipAddress =
      options.ipAddress ??
      toAddress(chooseAddress(subnet, taken, this.#lastAddress.get(network.id) ?? subnet.base));
    if (options.ipAddress !== undefined && (!isIpv4(ipAddress) || !contains(subnet, ipAddress))) {
      throw new CodedError(
        'invalid_argument',
        `invalid address ${ipAddress}: it does not belong to the subnet ${network.subnet}`,
      );
    }
    if (taken.has(ipAddress)) throw new CodedError('permission_denied', 'Address already in use');
    this.#lastAddress.set(network.id, toNumber(ipAddress));
    return {
      networkId: network.id,
      endpointId: randomBytes(32).toString('hex'),
      ipAddress,
      prefixLength: subnet.prefixLength,
      gateway,
      macAddress: macOf(ipAddress),
      ports: [],
      containerId: options.containerId,
      containerName: options.containerName,
      aliases: options.aliases ?? [],
      sandboxId: sandbox.id,
      interfaceName: this.#endpoints.freeInterface(sandbox.id),
    };
  }

  /** Routes over another network of the sandbox when the one that was routed over has gone. */
  #reroute(sandbox: Sandbox): void {
    const next = this.#endpoints
      .inSandbox(sandbox.id)
      .find(({ networkId }) => !this.#definitions.get(networkId).internal);
    if (next === undefined) return;
    withNetns(sandbox.path, (socket) => {
      const index = socket.findLink(next.interfaceName);
      if (index !== undefined) socket.addDefaultRoute(index, next.gateway);
    });
  }

  #plug(endpoint: StoredEndpoint, sandbox: Sandbox, bridgeIndex: number): void {
    const netnsFd = openSync(sandbox.path, 'r');
    try {
      this.#socket().createVeth({
        hostName: hostLinkOf(endpoint),
        bridgeIndex,
        peerName: endpoint.interfaceName,
        peerMac: endpoint.macAddress,
        netnsFd,
      });
    } finally {
      closeSync(netnsFd);
    }
    const internal = this.#definitions.get(endpoint.networkId).internal;
    withNetns(sandbox.path, (socket) => {
      const index = socket.findLink(endpoint.interfaceName) ?? 0;
      socket.addAddress(index, endpoint.ipAddress, endpoint.prefixLength);
      socket.setUp(index);
      if (!internal) socket.addDefaultRoute(index, endpoint.gateway);
    });
  }

  /** Links of containers whose bridge went away under them. */
  #replug(networkId: string, bridgeIndex: number): void {
    for (const endpoint of this.#endpoints.of(networkId)) {
      const link = this.#socket().findLink(hostLinkOf(endpoint));
      if (link !== undefined) this.#socket().setMaster(link, bridgeIndex);
    }
  }

  #unplug(endpoint: StoredEndpoint): void {
    this.#forget(endpoint);
    this.#socket().removeLink(hostLinkOf(endpoint));
  }

  #forget(endpoint: StoredEndpoint): void {
    const claims = this.#claims.get(endpoint.endpointId) ?? [];
    this.#claims.delete(endpoint.endpointId);
    for (const claim of claims) claim.release();
    this.#endpoints.delete(endpoint);
    const ports = publishedOf({ ...endpoint, ports: claims.map((claim) => claim.binding) });
    if (ports.length > 0) this.#changeRules(removePorts(this.#table, ports));
  }

  async #claim(ports: readonly PortBinding[], address: string): Promise<readonly PortClaim[]> {
    const claims: PortClaim[] = [];
    try {
      for (const port of ports) claims.push(await claimPort(port, address));
    } catch (error) {
      for (const claim of claims) claim.release();
      throw error;
    }
    return claims;
  }

  #ensureBridge(network: Network): number {
    const known = this.#bridges.get(network.id);
    // Somebody may have deleted it, or the host's network was set up anew.
    if (known !== undefined && this.#socket().findLink(network.bridgeName ?? '') === known) return known;
    const index = this.#raiseBridge(network);
    this.#drawFirewall();
    return index;
  }

  #raiseBridge(wanted: Network): number {
    const isNew = this.#socket().findLink(wanted.bridgeName ?? '') === undefined;
    const network = isNew ? this.#withFreeSubnet(wanted) : wanted;
    const [name, gateway, subnet] = [
      network.bridgeName ?? '',
      network.gateway ?? '',
      parseSubnet(network.subnet ?? ''),
    ];
    const index = this.#socket().ensureBridge(name, macOf(gateway));
    this.#socket().addAddress(index, gateway, subnet.prefixLength);
    this.#socket().setUp(index);
    this.#bridges.set(network.id, index);
    if (isNew) this.#replug(network.id, index);
    if (!network.internal) writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
    // A port published on 127.0.0.1 is reached through the bridge with a loopback source.
    writeFileSync(`/proc/sys/net/ipv4/conf/${name}/route_localnet`, '1');
    return index;
  }

  /** The network, with another subnet when somebody else on this host has taken its own since it was defined. */
  #withFreeSubnet(network: Network): Network {
    const subnet = parseSubnet(network.subnet ?? '');
    const routes = hostRoutes();
    if (!routes.some((route) => overlaps(route, subnet)) || this.#endpoints.of(network.id).length > 0)
      return network;
    if (network.isSubnetChosen !== true) {
      throw new CodedError(
        'failed_precondition',
        `cannot raise network ${network.name}: its subnet ${network.subnet} is in use on this host`,
        {
          help: { id: 'network/subnet-taken', fix: ['ip route', `slipway network rm ${network.name}`] },
        },
      );
    }
    const others = this.#definitions.list().filter(({ id }) => id !== network.id);
    const free = chooseSubnet([...routes, ...subnetsOf(others)]);
    const moved = { ...network, subnet: formatSubnet(free), gateway: toAddress(free.base + 1) };
    this.#definitions.replace(moved);
    return moved;
  }

  /** Should the rules not be what they were left as (someone has flushed them), all are drawn anew. */
  #changeRules(commands: string): void {
    try {
      this.#firewallOrThrow().run(commands);
    } catch (error) {
      if (!hasCode(error, 'internal')) throw error;
      this.#drawFirewall();
    }
  }

  #drawFirewall(): void {
    for (const endpoint of this.#endpoints.all()) {
      const network = this.#definitions.list().find(({ id }) => id === endpoint.networkId);
      if (network !== undefined && !this.#bridges.has(network.id)) this.#raiseBridge(network);
    }
    const bridges = this.#definitions
      .list()
      .filter((network) => this.#bridges.has(network.id))
      .map(
        (network): BridgeRule => ({
          bridgeName: network.bridgeName ?? '',
          subnet: network.subnet ?? '',
          internal: network.internal,
          masquerade: network.options[MASQUERADE_OPTION] !== 'false',
        }),
      );
    const ports = this.#endpoints.all().flatMap(publishedOf);
    // Without a bridge every packet of the host would pass rules for nothing, and nobody would remove them.
    const text = bridges.length === 0 ? dropTable(this.#table) : drawTable(this.#table, bridges, ports);
    this.#firewallOrThrow().run(text);
  }

  /** Bridges and rules go, also those of a daemon that was killed before. */
  #removeLinks(): void {
    const raised = this.#definitions
      .list()
      .flatMap(({ bridgeName }) =>
        bridgeName !== undefined && this.#socket().findLink(bridgeName) !== undefined ? [bridgeName] : [],
      );
    this.#bridges.clear();
    if (raised.length === 0) return;
    this.#firewallOrThrow().run(dropTable(this.#table));
    for (const bridgeName of raised) this.#socket().removeLink(bridgeName);
  }

  #socket(): RouteSocket {
    this.#routes ??= new RouteSocket();
    return this.#routes;
  }

  #firewallOrThrow(): Firewall {
    this.#firewall ??= openFirewall();
    return this.#firewall;
  }
}
