import type { ByteStream } from '#base/bytes/types.ts';
import type { ContainerConfig, ImageId } from '#oci/config/index.ts';
import type { Platform } from '#oci/platform/index.ts';
import type { Reference } from '#oci/reference/index.ts';
import type { Image } from '#store/image/types.ts';

/** One image to be saved, with the names it is saved under. */
export interface SavedImage {
  readonly image: Image;
  readonly references: readonly Reference[];
}

/** What an archive held. */
export interface LoadedImage {
  readonly id: ImageId;
  readonly references: readonly Reference[];
}

/** A step of a load, in Docker's words: `{id: '9f86d081884c', status: 'Loading layer', current, total}`. */
export interface ArchiveProgress {
  readonly id?: string;
  readonly status: string;
  readonly current?: number;
  readonly total?: number;
}

/** How a load is followed. */
export interface LoadOptions {
  readonly onProgress?: (progress: ArchiveProgress) => void;
  readonly signal?: AbortSignal;
  /** The platform taken from an index; this host's unless given. */
  readonly platform?: Platform;
}

/** What an imported root file system becomes. */
export interface ImportOptions {
  /** What `--change` lines made. */
  readonly config: ContainerConfig;
  readonly comment: string;
  readonly platform?: Platform;
  readonly reference?: Reference;
  readonly onProgress?: (progress: ArchiveProgress) => void;
  readonly signal?: AbortSignal;
}

/** Archives of images and of root file systems. */
export interface Archives {
  /**
   * A tar that is a Docker archive (`manifest.json`, `repositories`) and an OCI layout at once, as docker ≥ 25 writes it. Layers are plain tars, written once
   * however many images share them. Made while it is read; ending the loop early gives everything back.
   */
  saveImages(images: readonly SavedImage[], signal?: AbortSignal): ByteStream;
  /**
   * Loads a Docker archive (old or new) or an OCI layout, plain or compressed. All images and names, or none.
   * @throws {CodedError} `invalid_argument` for an archive that is hostile or damaged.
   */
  loadImages(archive: ByteStream, options?: LoadOptions): Promise<readonly LoadedImage[]>;
  /** Makes an image of one layer from the tar of a root file system, plain or compressed. */
  importImage(rootfs: ByteStream, options: ImportOptions): Promise<ImageId>;
  /** The tar of a whole tree, such as a container's mounted root. */
  exportTree(dir: string, signal?: AbortSignal): ByteStream;
}
