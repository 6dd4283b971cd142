/** A published port. `hostPort` 0: one is chosen. */
export interface PortBinding {
  readonly containerPort: number;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  readonly hostIp: string;
  readonly hostPort: number;
}

/** A network as the API shows it. */
export interface Network {
  readonly id: string;
  readonly name: string;
  readonly driver: 'bridge' | 'host' | 'none';
  readonly internal: boolean;
  readonly ipv6: boolean;
  readonly bridgeName: string | undefined;
  readonly subnet: string | undefined;
  readonly gateway: string | undefined;
  /** Nobody asked for this subnet: another one is taken should it be in use when the bridge is raised. */
  readonly isSubnetChosen?: boolean;
  readonly options: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly createdAt: Date;
}

/** Where a container is on one network. */
export interface Endpoint {
  readonly networkId: string;
  readonly endpointId: string;
  readonly ipAddress: string;
  readonly prefixLength: number;
  readonly gateway: string;
  readonly macAddress: string;
  readonly ports: readonly PortBinding[];
}

/** How a container joins a network. */
export interface AttachOptions {
  readonly networkId: string;
  readonly containerId: string;
  readonly containerName: string;
  readonly aliases?: readonly string[];
  readonly ipAddress?: string;
  readonly ports: readonly PortBinding[];
}

/** A network namespace made ahead of time: `path` is bind-mounted and can be given to the runtime. */
export interface Sandbox {
  readonly id: string;
  readonly path: string;
}

/**
 * Bridges, addresses, names and published ports over rtnetlink and nftables. State is in the database, so that a
 * restarted daemon finds what it made; rules are re-checked on start. Several daemons on one host do not disturb each
 * other or Docker.
 */
export interface NetworkStore {
  listNetworks(): readonly Network[];
  /** By name, id or unique id prefix. @throws `not_found` with Docker's text `network x not found`. */
  getNetwork(nameOrId: string): Network;
  createNetwork(options: {
    readonly name: string;
    readonly driver?: string;
    readonly internal?: boolean;
    readonly ipv6?: boolean;
    readonly subnet?: string;
    readonly gateway?: string;
    readonly options?: Readonly<Record<string, string>>;
    readonly labels?: Readonly<Record<string, string>>;
  }): Promise<Network>;
  /** @throws `conflict` while it has endpoints; `permission_denied` for a predefined one, with Docker's texts. */
  removeNetwork(nameOrId: string): Promise<void>;
  /** Takes a namespace from the ready pool (loopback is up). */
  acquireSandbox(): Promise<Sandbox>;
  /** Connects a sandbox; publishes ports. @throws `conflict` with Docker's text when a port is taken. */
  attach(sandbox: Sandbox, options: AttachOptions): Promise<Endpoint>;
  detach(sandbox: Sandbox, networkId: string, containerId: string): Promise<void>;
  /** Takes down everything of a sandbox. Idempotent. */
  releaseSandbox(sandbox: Sandbox): Promise<void>;
  listEndpoints(
    networkId: string,
  ): readonly (Endpoint & { readonly containerId: string; readonly containerName: string })[];
  /** DNS servers a container on this network should use, and its search domains. */
  resolverFor(networkId: string): {
    readonly nameservers: readonly string[];
    readonly search: readonly string[];
    readonly options: readonly string[];
  };
  /** A container has another name from now on. */
  renameContainer(containerId: string, name: string): void;
  /** Drops namespaces and endpoints that belong to none of the `live` sandbox ids: what a crash left behind. */
  sweepSandboxes(live: ReadonlySet<string>): void;
  /** Lets go of ports and of namespaces nobody uses; what running containers use stays. */
  close(): Promise<void>;
}
