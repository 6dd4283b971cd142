import type { ContainerConfig, ImageId } from '#oci/config/index.ts';
import type { Credentials } from '#registry/auth/types.ts';
import type { ImageTransfer } from '#registry/transfer/types.ts';
import type { Archives } from '#store/archive/types.ts';
import type { Image, ImageStore, ImageUser } from '#store/image/types.ts';
import type { EventPublisher } from '../events/index.ts';

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
  readonly images: Pick<
    ImageStore,
    'findImage' | 'getImage' | 'listImages' | 'listDamagedImages' | 'tagImage' | 'removeImage'
  >;
  readonly transfer: Pick<ImageTransfer, 'pullImage' | 'pushImage' | 'listRemoteTags'>;
  readonly archives: Pick<Archives, 'saveImages' | 'loadImages' | 'importImage'>;
  readonly events: EventPublisher;
  /** Containers made from an image, running ones first. */
  listUsers(id: ImageId): readonly ImageUser[];
  /** Where the image's root file system is, as `inspect` shows it. */
  describeStorage(image: Image): {
    readonly Name: string;
    readonly Data: Readonly<Record<string, string>> | null;
  };
  /** `changes` of import: instructions applied to an empty config. @throws `invalid_argument`. */
  applyChanges(changes: readonly string[]): Promise<ContainerConfig>;
  search(
    term: string,
    options: {
      readonly limit: number;
      readonly credentials: Credentials | undefined;
      readonly signal: AbortSignal;
    },
  ): Promise<readonly SearchHit[]>;
}
