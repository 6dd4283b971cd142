import type { Endpoint, Network, NetworkStore } from '#runtime/network/types.ts';
import type { EventPublisher } from '../events/index.ts';

/** What an endpoint looks like from outside. */
export interface NetworkMember extends Endpoint {
  readonly containerId: string;
  readonly containerName: string;
}

/** How a container joins a network that is not its first. */
export interface ConnectOptions {
  readonly aliases: readonly string[];
  readonly ipAddress: string | undefined;
  /** `name:alias`, names for this container alone. */
  readonly links?: readonly string[];
}

/** What the network routes need. */
export interface NetworkBackend
  extends Pick<NetworkStore, 'listNetworks' | 'getNetwork' | 'createNetwork' | 'removeNetwork'> {
  readonly events: EventPublisher;
  listMembers(networkId: string): readonly NetworkMember[];
  /** Containers, running or not, whose settings name the network. */
  listUsers(networkId: string): readonly string[];
  connectContainer(network: Network, container: string, options: ConnectOptions): Promise<void>;
  disconnectContainer(
    network: Network,
    container: string,
    options: { readonly force: boolean },
  ): Promise<void>;
}
