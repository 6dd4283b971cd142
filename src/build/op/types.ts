import type { Vertex } from '#build/graph/types.ts';
import type { OpCall } from '#build/solver/types.ts';
import type { ChainId, DiffId, Digest } from '#oci/digest/index.ts';
import type { Platform } from '#oci/platform/index.ts';
import type { ResourceLimits } from '#runtime/process/types.ts';
import type { Image } from '#store/image/types.ts';
import type { Resource } from '#store/lease/types.ts';
import type { SnapshotName } from '#store/snapshot/types.ts';
import type { FileClient } from './file/client.ts';

/** A layer as one pass over its changes described it. */
export interface LayerInfo {
  readonly diffId: DiffId;
  readonly tarSizeBytes: number;
  readonly contentSizeBytes: number;
  readonly indexDigest: Digest;
  /** No entry at all: such a layer is left out of the image, as in Docker. */
  readonly isEmpty: boolean;
}

/** A base image as the bottom of a state. */
export interface BaseImage {
  readonly image: Image;
  readonly chainIds: readonly ChainId[];
}

/** A filesystem state: a base image, or a layer on another state. */
export interface StateResult {
  readonly kind: 'state';
  readonly id: string;
  /** `undefined`: an image without layers. */
  readonly snapshot: SnapshotName | undefined;
  readonly base?: BaseImage;
  readonly parent?: StateResult;
  /** Describes this state's own layer, once; the first call starts it, and later steps run meanwhile. */
  readonly layer?: () => Promise<LayerInfo>;
  /** When the layer was made, milliseconds since 1970. */
  readonly createdAt: number;
  /** For COPY and ADD: stands for the sources in the history, such as `file:<hex>`. */
  readonly sourceHash?: string;
}

/** A tree that copies read from, open in the job's file worker. */
export interface TreeResult {
  readonly kind: 'tree';
  readonly id: string;
  readonly tree: number;
  readonly isContext: boolean;
  /** From a URL: ADD keeps an archive as it is. */
  readonly isDownload: boolean;
}

/** What vertices of a build yield. */
export type BuildResult = StateResult | TreeResult;

/** What ops know of the build they run for. */
export interface BuildJob {
  readonly id: string;
  /** Private directory; removed when the build ends. */
  readonly dir: string;
  readonly files: FileClient;
  /** Keeps things from gc until the build ends. */
  claim(resources: readonly Resource[]): void;
  readonly limits: ResourceLimits;
  readonly platform: Platform;
  /** Names under which an earlier record of the same step may be found, best first. */
  positionsOf(vertex: Vertex): readonly string[];
  /** A result out of an image named by `--cache-from`. */
  adopt(call: OpCall<BuildResult, BuildJob>): Promise<StateResult | undefined>;
  /** The build context, opened when first needed. */
  openContext(name: string): Promise<TreeResult>;
  /** A tree for the files of a state: its view is mounted until the build ends. */
  openView(state: StateResult): Promise<number>;
  /** A base image by reference, pulled when missing or asked for. */
  fetchImage(
    reference: string,
    options: { readonly platform: Platform; readonly pull: 'missing' | 'always' },
  ): Promise<Image>;
  /** Runs at the end of the build, last first. */
  defer(cleanup: () => Promise<void> | void): void;
}
