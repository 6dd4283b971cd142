import type { Volume, VolumeStore } from '#runtime/volume/types.ts';
import type { EventPublisher } from '../events/index.ts';

/** What the volume routes need. */
export interface VolumeBackend extends Pick<VolumeStore, 'listVolumes' | 'getVolume' | 'ensureVolume'> {
  readonly events: EventPublisher;
  removeVolume(name: string, options: { readonly force: boolean }): Promise<void>;
  /** Ids of containers that use the volume. */
  listUsers(name: string): readonly string[];
  /** Bytes a volume holds; walks it. */
  measureVolume(volume: Volume): Promise<number>;
}
