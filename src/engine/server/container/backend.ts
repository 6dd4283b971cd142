import type { ContainerRecord, ContainerService } from '#container/types.ts';
import type { Network } from '#runtime/network/types.ts';
import type { EventPublisher } from '../events/index.ts';

/** What the container routes need: the containers themselves, and names of networks. */
export interface ContainerBackend {
  readonly containers: ContainerService;
  readonly events: EventPublisher;
  /** `undefined` when there is no such network any more. */
  findNetwork(id: string): Network | undefined;
  /** The name a container's image goes by: as it was named, while that still means it; else its id. */
  shownImage(record: ContainerRecord): string;
  /** What `GraphDriver` shows of a container. */
  describeStorage(id: string): {
    readonly Name: string;
    readonly Data: Readonly<Record<string, string>> | null;
  };
  /** Where a container's own files are, for `inspect`. */
  pathsOf(id: string): { readonly dir: string; readonly log: string };
}
