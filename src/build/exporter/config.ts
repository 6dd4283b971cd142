import type { ContainerConfig, HistoryEntry, ImageConfig } from '#oci/config/index.ts';
import type { DiffId } from '#oci/digest/index.ts';
import { encodeDocument } from '#oci/manifest/index.ts';
import type { Platform } from '#oci/platform/index.ts';

/** An image while its stage is built, after one of its steps. */
export interface ImageState {
  readonly platform: Platform;
  readonly config: ContainerConfig;
  readonly history: readonly HistoryEntry[];
  readonly diffIds: readonly DiffId[];
  readonly author: string | undefined;
  /** When the last step was made. */
  readonly created: string | undefined;
}

/** The state a stage on `base` begins with; without `base`: scratch. */
export function beginImage(base: ImageConfig | undefined, platform: Platform): ImageState {
  return {
    platform: base === undefined ? platform : platformOf(base),
    config: base?.config ?? {},
    history: base?.history ?? [],
    diffIds: base?.rootfs.diff_ids ?? [],
    author: base?.author,
    created: base?.created,
  };
}

/** The image config document of a state; the same state has the same bytes. */
export function encodeImage(state: ImageState): Uint8Array {
  const { platform } = state;
  const document: ImageConfig = {
    ...(state.created === undefined ? {} : { created: state.created }),
    ...(state.author === undefined ? {} : { author: state.author }),
    architecture: platform.architecture,
    ...(platform.variant === undefined ? {} : { variant: platform.variant }),
    os: platform.os,
    ...(platform['os.version'] === undefined ? {} : { 'os.version': platform['os.version'] }),
    config: state.config,
    rootfs: { type: 'layers', diff_ids: state.diffIds },
    history: state.history,
  };
  return encodeDocument(document);
}

function platformOf(config: ImageConfig): Platform {
  return {
    os: config.os,
    architecture: config.architecture,
    ...(config.variant === undefined ? {} : { variant: config.variant }),
    ...(config['os.version'] === undefined ? {} : { 'os.version': config['os.version'] }),
  };
}
