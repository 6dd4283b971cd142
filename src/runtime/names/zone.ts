import type { NamesEntry, NetworkNames } from './types.ts';

interface NetworkZone {
  /** Sandboxes by lower-case name, with their addresses. */
  readonly addressesByName: Map<string, Map<string, string>>;
  /** Full name by address. */
  readonly nameByAddress: Map<string, string>;
}

/** What a name came to: addresses, in another order each time. Empty ones do not occur. */
export type Found = readonly string[];

/** Who is called what on which network; pure, and each change costs as much as the container has names. */
export class Zone {
  readonly #entries = new Map<string, NamesEntry>();
  readonly #zones = new Map<string, NetworkZone>();
  readonly #random: () => number;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(sandboxId: string): NamesEntry | undefined {
    return this.#entries.get(sandboxId);
  }

  ids(): readonly string[] {
    return [...this.#entries.keys()];
  }

  /** Adds a sandbox, or replaces what was known of it. */
  put(entry: NamesEntry): void {
    this.drop(entry.sandboxId);
    this.#entries.set(entry.sandboxId, entry);
    for (const network of entry.networks) this.#add(entry.sandboxId, network);
  }

  drop(sandboxId: string): void {
    const old = this.#entries.get(sandboxId);
    this.#entries.delete(sandboxId);
    for (const network of old?.networks ?? []) this.#remove(sandboxId, network);
  }

  /**
   * Addresses of a name as `sandboxId` sees it, from the first of its networks that knows it; a link comes before a name.
   * `name.network` names a network the sandbox is on.
   */
  findAddresses(sandboxId: string, name: string): Found | undefined {
    const entry = this.#entries.get(sandboxId);
    const wanted = name.toLowerCase();
    if (entry === undefined || wanted === '') return undefined;
    for (const network of entry.networks) {
      const found = this.#lookUp(network, wanted);
      if (found !== undefined) return found;
    }
    for (let dot = wanted.lastIndexOf('.'); dot > 0; dot = wanted.lastIndexOf('.', dot - 1)) {
      const network = entry.networks.find((one) => one.networkName.toLowerCase() === wanted.slice(dot + 1));
      const found = network === undefined ? undefined : this.#lookUp(network, wanted.slice(0, dot));
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** `name.network` of an address on one of the sandbox's networks. */
  findName(sandboxId: string, address: string): string | undefined {
    for (const { networkId } of this.#entries.get(sandboxId)?.networks ?? []) {
      const name = this.#zones.get(networkId)?.nameByAddress.get(address);
      if (name !== undefined) return name;
    }
    return undefined;
  }

  #lookUp(network: NetworkNames, name: string): Found | undefined {
    const zone = this.#zones.get(network.networkId);
    const target = Object.entries(network.links).find(([alias]) => alias.toLowerCase() === name)?.[1];
    const found = zone?.addressesByName.get(target?.toLowerCase() ?? name) ?? undefined;
    return found === undefined ? undefined : this.#turn([...new Set(found.values())]);
  }

  /** Starts at another place each time: who takes the first address spreads over all. */
  #turn(addresses: readonly string[]): Found {
    const start = addresses.length < 2 ? 0 : Math.floor(this.#random() * addresses.length);
    return [...addresses.slice(start), ...addresses.slice(0, start)];
  }

  #add(sandboxId: string, network: NetworkNames): void {
    let zone = this.#zones.get(network.networkId);
    if (zone === undefined) {
      zone = { addressesByName: new Map(), nameByAddress: new Map() };
      this.#zones.set(network.networkId, zone);
    }
    for (const name of network.names) {
      const key = name.toLowerCase();
      const holders = zone.addressesByName.get(key) ?? new Map<string, string>();
      holders.set(sandboxId, network.address);
      zone.addressesByName.set(key, holders);
    }
    const [first] = network.names;
    if (first !== undefined) zone.nameByAddress.set(network.address, `${first}.${network.networkName}`);
  }

  #remove(sandboxId: string, network: NetworkNames): void {
    const zone = this.#zones.get(network.networkId);
    if (zone === undefined) return;
    for (const name of network.names) {
      const key = name.toLowerCase();
      const holders = zone.addressesByName.get(key);
      holders?.delete(sandboxId);
      if (holders?.size === 0) zone.addressesByName.delete(key);
    }
    const [first] = network.names;
    const own = `${first}.${network.networkName}`;
    if (zone.nameByAddress.get(network.address) === own) zone.nameByAddress.delete(network.address);
    if (zone.addressesByName.size === 0) this.#zones.delete(network.networkId);
  }
}
