import type { ByteStream, OutputCompression } from '#base/bytes/types.ts';
import type { ImageConfig, ImageId } from '#oci/config/index.ts';
import type { ChainId, DiffId, Digest } from '#oci/digest/index.ts';
import type { Descriptor } from '#oci/manifest/index.ts';
import type { Reference } from '#oci/reference/index.ts';

/** A layer the host holds unpacked, by diffID. */
export interface Layer {
  readonly diffId: DiffId;
  readonly tarSizeBytes: number;
  readonly contentSizeBytes: number;
  readonly indexDigest: Digest;
}

/** One image: a config whose layers are all here. */
export interface Image {
  readonly id: ImageId;
  readonly config: ImageConfig;
  readonly configBytes: Uint8Array;
  readonly chainId: ChainId | undefined;
  readonly layers: readonly Layer[];
  /** Sum of `contentSizeBytes`: what `images` prints. */
  readonly sizeBytes: number;
  readonly createdAt: Date | undefined;
  /** When it was last tagged here. */
  readonly taggedAt: Date | undefined;
  readonly parentId: ImageId | undefined;
  /** Tags, canonical. */
  readonly references: readonly Reference[];
  /** `repository@digest` under which a registry has it. */
  readonly repoDigests: readonly Reference[];
}

/** What is still known of an image whose config is not what its id names. */
export type DamagedImage = Pick<Image, 'id' | 'sizeBytes' | 'createdAt' | 'references' | 'repoDigests'>;

/** A compressed form of a layer that is being made: its bytes can be read before it is whole. */
export interface GrowingBlob {
  /** False once it is whole, or will never be. */
  readonly isGrowing: boolean;
  /** Bytes there are so far. */
  readonly sizeBytes: number;
  /** All bytes from the first, as they come; fails when the making does. Only while it grows. */
  open(): ByteStream;
}

/** A container that uses an image; while it runs not even force removes the image. */
export interface ImageUser {
  readonly containerId: string;
  readonly running: boolean;
}

/** An image to be added, with the names it gets in the same transaction. */
export interface NewImage {
  readonly configBytes: Uint8Array;
  readonly parentId?: ImageId;
  /** The manifest under which a registry or an archive has it; its blob must be in the content store. */
  readonly manifest?: Descriptor;
  readonly tags?: readonly Reference[];
  readonly repoDigests?: readonly Reference[];
}

/** What `removeImage` did, in order, as the Engine API tells it. */
export type RemovalStep = { readonly untagged: Reference } | { readonly deleted: Digest };

/**
 * Names to images. Every name taken here is checked to be complete first: an image is visible only when its config,
 * layers and snapshots have rows.
 */
export interface ImageStore {
  /** By reference, by full id or by unique id prefix (with or without `sha256:`). */
  findImage(nameOrId: string): Image | undefined;
  /**
   * @throws {CodedError} `not_found` with Docker's text `No such image: x:latest`; `invalid_argument` when a prefix is ambiguous;
   *   `data_loss` for a damaged image.
   */
  getImage(nameOrId: string): Image;
  /** Those that are whole: a damaged one does not hide the others. */
  listImages(): Iterable<Image>;
  /** Those whose config is gone or has other bytes; `getImage` says so in its error. */
  listDamagedImages(): Iterable<DamagedImage>;
  /**
   * Adds an image whose layers are all held, durably: layers that were committed without waiting are settled first.
   * Idempotent.
   * @throws {CodedError} `failed_precondition` naming the layer that is missing.
   */
  addImage(image: NewImage): Promise<Image>;
  /** All of them and all their names, or none. */
  addImages(images: readonly NewImage[]): Promise<readonly Image[]>;
  /** @throws `invalid_argument` for a digest, or the repository name `sha256`; `not_found` for an unknown image. */
  tagImage(reference: Reference, id: ImageId): void;
  addRepoDigest(reference: Reference, id: ImageId): void;
  /**
   * Untags, and deletes what is then without a name, as Docker does. `inUse` names a container that uses the image, a
   * running one first; a bare id counts as a stopped one.
   * @throws `conflict` with Docker's texts while containers or children use it; `not_found`.
   */
  removeImage(
    nameOrId: string,
    options: {
      readonly force: boolean;
      readonly noprune: boolean;
      readonly inUse: (id: ImageId) => ImageUser | string | undefined;
    },
  ): Promise<readonly RemovalStep[]>;
  /** The layer of a diffID, with where its bytes can come from. */
  findLayer(diffId: DiffId): Layer | undefined;
  /**
   * Registers a layer: its snapshot is committed under `chainId`. Idempotent; durable with the image that is added next.
   * @throws {CodedError} `failed_precondition` when there is no such snapshot.
   */
  addLayer(layer: Layer, snapshot: { readonly chainId: ChainId }): void;
  /** Known compressed forms of a layer, whether the bytes are still here or not. */
  listLayerBlobs(diffId: DiffId): readonly Descriptor[];
  /** What a power loss may forget until an image is added. */
  addLayerBlob(diffId: DiffId, descriptor: Descriptor): void;
  /** The diffID of a compressed blob seen before. */
  findDiffId(blob: Digest): DiffId | undefined;
  /**
   * A compressed form of the layer whose bytes are in the content store: made once, remembered.
   * `prefer` is used when none is held. When it has to be made, `onGrowing` is given it at the beginning; readers must not
   * trust what they read before the promise is fulfilled.
   */
  ensureLayerBlob(
    diffId: DiffId,
    prefer: OutputCompression,
    options?: {
      readonly onProgress?: (tarBytes: number) => void;
      readonly onGrowing?: (blob: GrowingBlob) => void;
      readonly signal?: AbortSignal;
    },
  ): Promise<Descriptor>;
  /**
   * Where a form that was held of the layer is known to be damaged: makes sure that its tar can be made from its tree.
   * @throws {CodedError} `data_loss` naming the damaged blob.
   */
  checkLayer(diffId: DiffId): Promise<void>;
  /** The plain tar of a layer, `Layer.tarSizeBytes` long, verified against its diffID while it streams. */
  openLayerTar(diffId: DiffId): ByteStream;
  /**
   * Whether the layer's tree gives exactly these bytes as its tar, so that no copy of them has to be kept. Stops at the first
   * difference.
   */
  isMadeFromTree(diffId: DiffId, tar: ByteStream): Promise<boolean>;
  /** Registries known to hold a blob: candidates for a cross-repository mount. */
  listBlobSources(blob: Digest): readonly { readonly registry: string; readonly repository: string }[];
  addBlobSource(blob: Digest, source: { readonly registry: string; readonly repository: string }): void;
  /** The manifest bytes under which a registry knows the image, if kept. */
  listManifests(id: ImageId): readonly Descriptor[];
}
