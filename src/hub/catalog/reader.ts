import { CodedError } from '#base/errors/index.ts';
import {
  CONFIG_LIMIT_BYTES,
  decodeImageConfig,
  type HistoryEntry,
  type ImageConfig,
} from '#oci/config/index.ts';
import type { Digest } from '#oci/digest/index.ts';
import { type DecodedManifest, decodeManifest, type Manifest, MEDIA } from '#oci/manifest/index.ts';
import type { BlobStorage, RegistryMetadata } from '#registry/server/index.ts';

const CONFIG_TYPES = new Set<string>([MEDIA.ociConfig, MEDIA.dockerConfig]);

/** Where documents are read from. */
export interface DocumentSources {
  readonly metadata: Pick<RegistryMetadata, 'findManifest' | 'findBlob' | 'listReferrers'>;
  readonly storage: Pick<BlobStorage, 'openBlob'>;
}

/** An image of a repository; `config` is `undefined` for an artifact. */
export interface StoredImage {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly manifest: Manifest;
  readonly config: ImageConfig | undefined;
}

/** Reads the small documents of images: manifests, configs, and what is attached to them. Never a layer. */
export class DocumentReader {
  readonly #sources: DocumentSources;

  constructor(sources: DocumentSources) {
    this.#sources = sources;
  }

  /** @throws {CodedError} `not_found`. */
  async getManifest(repository: string, reference: string): Promise<DecodedManifest> {
    const found = await this.findManifest(repository, reference);
    if (found !== undefined) return found;
    const kind = reference.includes(':') ? 'manifest' : 'tag';
    throw new CodedError('not_found', `${repository} has no ${kind} ${reference.slice(0, 200)}`, {
      subject: { kind: 'tag', name: reference },
    });
  }

  async findManifest(repository: string, reference: string): Promise<DecodedManifest | undefined> {
    const stored = await this.#sources.metadata.findManifest(repository, reference);
    return (
      stored && {
        ...decodeManifest(stored.bytes, stored.mediaType),
        digest: stored.digest,
        bytes: stored.bytes,
      }
    );
  }

  /** The manifest of one platform. @throws {CodedError} `not_found`, `invalid_argument` for an index. */
  async getImage(repository: string, digest: string): Promise<StoredImage> {
    const decoded = await this.getManifest(repository, digest);
    if (decoded.kind === 'index')
      throw new CodedError('invalid_argument', `${digest.slice(0, 200)} is an index: name one of its images`);
    const config = await this.readConfig(repository, decoded.value);
    return { digest: decoded.digest, mediaType: decoded.mediaType, manifest: decoded.value, config };
  }

  /** The config of an image; `undefined` for an artifact, whose config is none. */
  async readConfig(repository: string, manifest: Manifest): Promise<ImageConfig | undefined> {
    if (!CONFIG_TYPES.has(manifest.config.mediaType) || manifest.config.size > CONFIG_LIMIT_BYTES)
      return undefined;
    const bytes = await this.readBlob(repository, manifest.config.digest, CONFIG_LIMIT_BYTES);
    if (bytes === undefined) return undefined;
    try {
      return decodeImageConfig(bytes).value;
    } catch (error) {
      if (error instanceof CodedError) return undefined; // pushed by somebody: may be anything
      throw error;
    }
  }

  /** A blob of the repository of at most `limitBytes`; `undefined` if it is not there or larger. */
  async readBlob(repository: string, digest: Digest, limitBytes: number): Promise<Uint8Array | undefined> {
    const blob = await this.#sources.metadata.findBlob(repository, digest);
    if (blob === undefined || blob.sizeBytes > limitBytes) return undefined;
    if ('content' in blob.location) return blob.location.content;
    const chunks: Buffer[] = [];
    const range = { start: 0, end: blob.sizeBytes };
    for await (const chunk of this.#sources.storage.openBlob(blob.location.key, range))
      chunks.push(Buffer.from(chunk));
    return Buffer.concat(chunks);
  }

  /** Size of a blob of the repository; `undefined` if it is not there. */
  async blobSize(repository: string, digest: Digest): Promise<number | undefined> {
    return (await this.#sources.metadata.findBlob(repository, digest))?.sizeBytes;
  }

  listReferrers(repository: string, subject: Digest, limit: number) {
    return this.#sources.metadata.listReferrers(repository, subject, { limit });
  }
}

/** The history of an image as far as it is one: it was pushed by somebody. */
export function historyOf(config: ImageConfig | undefined): readonly HistoryEntry[] {
  const history: unknown = config?.history;
  if (!Array.isArray(history)) return [];
  return history.filter((entry): entry is HistoryEntry => typeof entry === 'object' && entry !== null);
}
