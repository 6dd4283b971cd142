/** The OCI image config document, with Docker's additions. Spec: image-spec v1.1, config.md. */
import { CodedError, messageOf } from '#base/errors/index.ts';
import { type DiffId, type Digest, digestOf, isDigest } from '#oci/digest/index.ts';
import type { Decoded } from '#oci/manifest/index.ts';
import { MEDIA } from '#oci/manifest/index.ts';

/** Largest image config we accept, in bytes. */
export const CONFIG_LIMIT_BYTES = 8 * 1024 * 1024;

/** Health check; durations are nanoseconds, as Docker keeps them. */
export interface Healthcheck {
  readonly Test?: readonly string[];
  readonly Interval?: number;
  readonly Timeout?: number;
  readonly StartPeriod?: number;
  readonly StartInterval?: number;
  readonly Retries?: number;
}

/** The defaults a container takes from its image (`containerConfig`). Field names are the wire's. */
export interface ContainerConfig {
  readonly User?: string;
  readonly ExposedPorts?: Readonly<Record<string, Record<string, never>>>;
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[] | null;
  readonly Cmd?: readonly string[] | null;
  readonly Volumes?: Readonly<Record<string, Record<string, never>>>;
  readonly WorkingDir?: string;
  readonly Labels?: Readonly<Record<string, string>>;
  readonly StopSignal?: string;
  readonly Shell?: readonly string[];
  readonly Healthcheck?: Healthcheck;
  readonly OnBuild?: readonly string[];
  readonly ArgsEscaped?: boolean;
}

/** One line of the history; `empty_layer` entries have no layer in `rootfs`. */
export interface HistoryEntry {
  readonly created?: string;
  readonly created_by?: string;
  readonly author?: string;
  readonly comment?: string;
  readonly empty_layer?: boolean;
}

/** The whole document. */
export interface ImageConfig {
  readonly created?: string;
  readonly author?: string;
  readonly architecture: string;
  readonly os: string;
  readonly variant?: string;
  readonly 'os.version'?: string;
  readonly config?: ContainerConfig;
  readonly rootfs: { readonly type: 'layers'; readonly diff_ids: readonly DiffId[] };
  readonly history?: readonly HistoryEntry[];
}

/** Digest of an image config: what the Engine API prints as `Id`. */
export type ImageId = Digest;

/**
 * Reads an image config and checks what we rely on.
 * @throws {CodedError} `invalid_argument`, or `resource_exhausted` beyond the size limit.
 */
export function decodeImageConfig(bytes: Uint8Array): Decoded<ImageConfig> {
  if (bytes.byteLength > CONFIG_LIMIT_BYTES) {
    throw new CodedError('resource_exhausted', `image config is larger than ${CONFIG_LIMIT_BYTES} bytes`);
  }
  let value: Partial<ImageConfig> | null;
  try {
    value = JSON.parse(
      new TextDecoder('utf-8', { fatal: true }).decode(bytes),
    ) as Partial<ImageConfig> | null;
  } catch (error) {
    throw new CodedError('invalid_argument', `cannot read image config: ${messageOf(error)}`);
  }
  const diffIds = value?.rootfs?.diff_ids ?? [];
  if (value === null || typeof value !== 'object' || !Array.isArray(diffIds)) {
    throw new CodedError('invalid_argument', 'cannot read image config: it has no rootfs.diff_ids');
  }
  const wrong = diffIds.find((id) => typeof id !== 'string' || !isDigest(id));
  if (wrong !== undefined)
    throw new CodedError('invalid_argument', `cannot read image config: "${String(wrong)}" is not a diffID`);
  const whole: ImageConfig = {
    ...value,
    os: value.os || 'linux',
    architecture: value.architecture || 'amd64',
    rootfs: { type: 'layers', diff_ids: diffIds },
  };
  return { bytes, digest: digestOf(bytes), mediaType: MEDIA.ociConfig, value: whole };
}
