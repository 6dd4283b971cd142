import { CodedError } from '#base/errors/index.ts';
import type { FrontendBridge } from '#build/frontend/types.ts';
import type { ImageConfig } from '#oci/config/index.ts';
import type { Digest } from '#oci/digest/index.ts';
import { formatPlatform, type Platform, samePlatform } from '#oci/platform/index.ts';
import { formatFamiliar, parseReference, type Reference } from '#oci/reference/index.ts';
import type { ImageTransfer, TransferOptions } from '#registry/transfer/types.ts';
import type { Image, ImageStore } from '#store/image/types.ts';

/** Base images of one build: planned by their config alone, brought when a step needs their files. */
export class BaseImages implements FrontendBridge {
  readonly #images: Pick<ImageStore, 'findImage' | 'tagImage'>;
  readonly #transfer: Pick<ImageTransfer, 'pullImage' | 'resolveImage'>;
  readonly #options: TransferOptions;
  readonly #isPlatformAsked: boolean;
  /** Manifest digests that were planned with; what is pulled later must be the same. */
  readonly #planned = new Map<string, Digest>();

  constructor(parts: {
    readonly images: Pick<ImageStore, 'findImage' | 'tagImage'>;
    readonly transfer: Pick<ImageTransfer, 'pullImage' | 'resolveImage'>;
    readonly options: TransferOptions;
    /** The user named a platform: a local image for another one does not do. */
    readonly isPlatformAsked: boolean;
  }) {
    this.#images = parts.images;
    this.#transfer = parts.transfer;
    this.#options = parts.options;
    this.#isPlatformAsked = parts.isPlatformAsked;
  }

  async resolveImageConfig(
    reference: string,
    options: { readonly platform: Platform; readonly pull: 'missing' | 'always' },
  ): Promise<{ readonly imageId: Digest; readonly reference: string; readonly config: ImageConfig }> {
    const local = options.pull === 'always' ? undefined : this.#findLocal(reference, options.platform);
    if (local !== undefined) return { imageId: local.id, reference, config: local.config };
    const { digest, config } = await this.#transfer.resolveImage(parseReference(reference), {
      ...this.#options,
      ...this.#platform(options.platform),
    });
    this.#planned.set(keyOf(reference, options.platform), digest);
    return { imageId: digest, reference, config };
  }

  /** The image with its layers; pulled when `resolveImageConfig` did not find it here. */
  async fetch(reference: string, platform: Platform, pull: 'missing' | 'always'): Promise<Image> {
    const planned = this.#planned.get(keyOf(reference, platform));
    const local =
      planned === undefined && pull === 'missing' ? this.#findLocal(reference, platform) : undefined;
    if (local !== undefined) return local;
    const named = parseReference(reference);
    const options = { ...this.#options, ...this.#platform(platform) };
    const pulled = await this.#transfer.pullImage(named, options);
    if (planned === undefined || pulled.digest === planned) return pulled.image;
    // The tag has moved since the plan was made: the build goes on with what it was planned for.
    const { tag: _, ...rest } = named;
    return (await this.#transfer.pullImage({ ...rest, digest: planned }, options)).image;
  }

  #platform(platform: Platform): { readonly platform?: Platform } {
    return this.#isPlatformAsked ? { platform } : {};
  }

  #findLocal(reference: string, platform: Platform): Image | undefined {
    const image = this.#images.findImage(reference) ?? this.#findById(parseReference(reference));
    if (image === undefined || !this.#isPlatformAsked) return image;
    const { os, architecture, variant } = image.config;
    const offered = { os, architecture, ...(variant === undefined ? {} : { variant }) };
    return samePlatform(offered, platform) ? image : undefined;
  }

  /** `FROM 2c7464ff7613`: a name that is also the beginning of an id. */
  #findById(reference: Reference): Image | undefined {
    const { tag: _, ...rest } = reference;
    const name = formatFamiliar(rest);
    if (reference.tag !== 'latest' || !/^[0-9a-f]{4,63}$/.test(name)) return undefined;
    try {
      return this.#images.findImage(name);
    } catch (error) {
      if (error instanceof CodedError && error.code === 'invalid_argument') return undefined;
      throw error;
    }
  }
}

function keyOf(reference: string, platform: Platform): string {
  return `${reference} ${formatPlatform(platform)}`;
}
