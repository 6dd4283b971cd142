import type { ImageConfig } from '#oci/config/index.ts';
import type { Digest } from '#oci/digest/index.ts';
import type { Platform } from '#oci/platform/index.ts';
import type { Reference } from '#oci/reference/index.ts';
import type { CredentialSource } from '#registry/auth/types.ts';
import type { Image } from '#store/image/types.ts';

/** One line of progress, in the words of Docker's pull and push: `{id: '9f86d081884c', status: 'Downloading', current, total}`. */
export interface TransferProgress {
  readonly id?: string;
  readonly status: string;
  readonly current?: number;
  readonly total?: number;
}

/** What a transfer is given besides its reference. */
export interface TransferOptions {
  readonly credentials: CredentialSource;
  readonly onProgress?: (progress: TransferProgress) => void;
  readonly signal?: AbortSignal;
}

/** Pull and push: a copy of a descriptor graph between a registry and the store. */
export interface ImageTransfer {
  /**
   * Makes the image of `reference` for `platform` local, tags it, remembers its repo digest. Layers are fetched in
   * parallel and unpacked while others download; whatever the store has is skipped; an interrupted pull resumes.
   */
  pullImage(
    reference: Reference,
    options: TransferOptions & { readonly platform?: Platform },
  ): Promise<{ readonly image: Image; readonly digest: Digest; readonly changed: boolean }>;
  /** Every tag of a repository. */
  listRemoteTags(reference: Reference, options: TransferOptions): AsyncIterable<string>;
  /** Config and digest without the layers, for planning a build. */
  resolveImage(
    reference: Reference,
    options: TransferOptions & { readonly platform?: Platform },
  ): Promise<{ readonly digest: Digest; readonly config: ImageConfig }>;
  /** Pushes a local image; layers are compressed once, mounted or skipped where the registry has them. */
  pushImage(
    image: Image,
    reference: Reference,
    options: TransferOptions,
  ): Promise<{ readonly digest: Digest; readonly sizeBytes: number }>;
  /** Checks credentials against a registry, as `POST /auth` does. */
  checkLogin(
    registry: string,
    credentials: import('#registry/auth/types.ts').Credentials,
  ): Promise<{ readonly status: string; readonly identityToken?: string }>;
  /** For `GET /distribution/{name}/json`. */
  inspectDistribution(
    reference: Reference,
    options: TransferOptions,
  ): Promise<{
    readonly descriptor: import('#oci/manifest/index.ts').Descriptor;
    readonly platforms: readonly Platform[];
  }>;
}
