import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PublishedPort } from './rules.ts';
import type { Endpoint } from './types.ts';

/** An endpoint with its owner and its namespace. */
export interface StoredEndpoint extends Endpoint {
  readonly containerId: string;
  readonly containerName: string;
  readonly aliases: readonly string[];
  readonly sandboxId: string;
  readonly interfaceName: string;
}

/**
 * Addresses in use, one file each under the exec root. They live and die with the namespaces they describe (a reboot
 * ends both), so they need to survive the daemon but not the power: no sync, no row.
 */
export class EndpointFiles {
  readonly #dir: string;
  readonly #endpoints = new Map<string, StoredEndpoint>();

  constructor(dir: string) {
    this.#dir = dir;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(dir)) this.#load(name);
  }

  all(): readonly StoredEndpoint[] {
    return [...this.#endpoints.values()];
  }

  of(networkId: string): readonly StoredEndpoint[] {
    return this.all().filter((endpoint) => endpoint.networkId === networkId);
  }

  inSandbox(sandboxId: string): readonly StoredEndpoint[] {
    return this.all().filter((endpoint) => endpoint.sandboxId === sandboxId);
  }

  /** A name for one more interface in a sandbox. */
  freeInterface(sandboxId: string): string {
    const taken = new Set(this.inSandbox(sandboxId).map(({ interfaceName }) => interfaceName));
    for (let number = 0; ; number++) if (!taken.has(`eth${number}`)) return `eth${number}`;
  }

  find(networkId: string, containerId: string): StoredEndpoint | undefined {
    return this.#endpoints.get(keyOf(networkId, containerId));
  }

  put(endpoint: StoredEndpoint): void {
    const key = keyOf(endpoint.networkId, endpoint.containerId);
    writeFileSync(join(this.#dir, key), JSON.stringify(endpoint), { mode: 0o600 });
    this.#endpoints.set(key, endpoint);
  }

  delete(endpoint: StoredEndpoint): void {
    const key = keyOf(endpoint.networkId, endpoint.containerId);
    rmSync(join(this.#dir, key), { force: true });
    this.#endpoints.delete(key);
  }

  #load(name: string): void {
    const path = join(this.#dir, name);
    try {
      this.#endpoints.set(name, JSON.parse(readFileSync(path, 'utf8')) as StoredEndpoint);
    } catch {
      // Torn by a crash while it was written: the container behind it never started.
      rmSync(path, { force: true });
    }
  }
}

/** Published ports of an endpoint that a firewall rule leads to it. */
export function publishedOf(endpoint: StoredEndpoint): PublishedPort[] {
  return endpoint.ports
    .filter((port) => !port.hostIp.includes(':'))
    .map((port) => ({ ...port, address: endpoint.ipAddress }));
}

/** Name of the host's end of an endpoint's link. */
export function hostLinkOf(endpoint: StoredEndpoint): string {
  return `swv${endpoint.endpointId.slice(0, 10)}`;
}

function keyOf(networkId: string, containerId: string): string {
  return `${networkId.slice(0, 24)}.${containerId.slice(0, 40)}`;
}
