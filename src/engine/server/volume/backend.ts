import type { Volume, VolumeStore } from '#runtime/volume/types.ts';

/** What the volume routes need. */
export interface VolumeBackend extends Pick<VolumeStore, 'listVolumes' | 'getVolume' | 'ensureVolume'> {
  removeVolume(name: string, options: { readonly force: boolean }): Promise<void>;
  /** Ids of containers that use the volume. */
  listUsers(name: string): readonly string[];
  /** Bytes a volume holds; walks it. */
  measureVolume(volume: Volume): Promise<number>;
}
