import type { ByteStream } from '#base/bytes/types.ts';
import type { Progress } from '#engine/protocol/index.ts';
import type { ContainerConfig, ImageId } from '#oci/config/index.ts';
import type { Platform } from '#oci/platform/index.ts';
import type { Reference } from '#oci/reference/index.ts';
import type { Credentials } from '#registry/auth/types.ts';
import type { ImageTransfer } from '#registry/transfer/types.ts';
import type { Image, ImageStore, ImageUser } from '#store/image/types.ts';
import type { EventPublisher } from '../events/index.ts';

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

/** Archives of images and of root file systems. */
export interface ImageArchives {
  /** A tar that Docker and OCI tools read. */
  saveImages(images: readonly SavedImage[], signal: AbortSignal): ByteStream;
  /** All or nothing. */
  loadImages(
    archive: ByteStream,
    options: { readonly onProgress: (progress: Progress) => void; readonly signal: AbortSignal },
  ): Promise<readonly LoadedImage[]>;
  /** A root file system as an image of one layer. */
  importImage(
    rootfs: ByteStream,
    options: {
      readonly config: ContainerConfig;
      readonly comment: string;
      readonly platform?: Platform;
      readonly reference?: Reference;
      readonly onProgress: (progress: Progress) => void;
      readonly signal: AbortSignal;
    },
  ): Promise<ImageId>;
}

/** One hit of a search on a registry. */
export interface SearchHit {
  readonly name: string;
  readonly description: string;
  readonly stars: number;
  readonly official: boolean;
  readonly automated: boolean;
}

/** What the image routes need. */
export interface ImageBackend {
  readonly images: Pick<ImageStore, 'findImage' | 'getImage' | 'listImages' | 'tagImage' | 'removeImage'>;
  readonly transfer: Pick<ImageTransfer, 'pullImage' | 'pushImage' | 'listRemoteTags'>;
  readonly archives: ImageArchives;
  readonly events: EventPublisher;
  /** Containers made from an image, running ones first. */
  listUsers(id: ImageId): readonly ImageUser[];
  /** Where the image's root file system is, as `inspect` shows it. */
  describeStorage(image: Image): {
    readonly Name: string;
    readonly Data: Readonly<Record<string, string>> | null;
  };
  /** `changes` of import: instructions applied to an empty config. @throws `invalid_argument`. */
  applyChanges(changes: readonly string[]): ContainerConfig;
  search(
    term: string,
    options: {
      readonly limit: number;
      readonly credentials: Credentials | undefined;
      readonly signal: AbortSignal;
    },
  ): Promise<readonly SearchHit[]>;
}
