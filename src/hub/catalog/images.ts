import type { SqlDatabase } from '#base/database/index.ts';
import { CodedError } from '#base/errors/index.ts';
import type { ImageDetail, LayerDetail, ReferenceDetail, TagSummary } from '#hub/protocol/index.ts';
import { CONFIG_LIMIT_BYTES, decodeImageConfig, type ImageConfig } from '#oci/config/index.ts';
import type { Digest } from '#oci/digest/index.ts';
import {
  type DecodedManifest,
  type Descriptor,
  decodeManifest,
  type Manifest,
  MEDIA,
} from '#oci/manifest/index.ts';
import { formatPlatform } from '#oci/platform/index.ts';
import type { BlobStorage, RegistryMetadata, RegistryTables } from '#registry/server/index.ts';

const TAG_LIMIT = 1000;
const PLATFORM_LIMIT = 64;
const CACHE_ENTRIES = 2000;
const CONFIG_TYPES = new Set<string>([MEDIA.ociConfig, MEDIA.dockerConfig]);

/** What the pages read of the registry. */
export interface ImageSources {
  readonly db: SqlDatabase<unknown>;
  readonly metadata: Pick<RegistryMetadata, 'findManifest' | 'findBlob' | 'listReferrers'>;
  readonly storage: Pick<BlobStorage, 'openBlob'>;
}

interface ManifestSummary {
  readonly platforms: readonly string[];
  readonly sizeBytes: number;
}

/** Tags and images of a repository as the pages show them. Everything derived from a digest is kept in memory. */
export class ImageCatalog {
  readonly #sources: ImageSources;
  readonly #db: SqlDatabase<RegistryTables>;
  readonly #summaries = new Map<string, ManifestSummary>();

  constructor(sources: ImageSources) {
    this.#sources = sources;
    this.#db = sources.db as SqlDatabase<RegistryTables>;
  }

  /** Tags of a repository; `text` filters by part of the name. */
  async listTags(
    repository: string,
    query: { readonly text?: string | undefined; readonly pulls: ReadonlyMap<string, number> },
  ): Promise<readonly TagSummary[]> {
    let select = this.#db.read
      .selectFrom('tags')
      .innerJoin('repositories', 'repositories.id', 'tags.repository_id')
      .innerJoin('manifests', (join) =>
        join
          .onRef('manifests.repository_id', '=', 'tags.repository_id')
          .onRef('manifests.digest', '=', 'tags.digest'),
      )
      .select([
        'tags.name',
        'tags.digest',
        'tags.updated_at',
        'tags.updated_by',
        'manifests.media_type',
        'manifests.size',
        'manifests.content_size',
      ])
      .where('repositories.name', '=', repository);
    if (query.text) select = select.where('tags.name', 'like', `%${query.text.replace(/[%_]/g, '')}%`);
    const rows = await select.orderBy('tags.updated_at', 'desc').limit(TAG_LIMIT).execute();
    return Promise.all(
      rows.map(async (row): Promise<TagSummary> => {
        const summary = await this.#summarize(repository, row.digest as Digest);
        return {
          name: row.name,
          digest: row.digest,
          mediaType: row.media_type,
          platforms: summary.platforms,
          sizeBytes: summary.sizeBytes,
          pushedAt: row.updated_at,
          pushedBy: row.updated_by,
          pulledAt: query.pulls.get(row.name) ?? null,
        };
      }),
    );
  }

  /**
   * One tag or digest with its platforms.
   * @throws {CodedError} `not_found`.
   */
  async describe(repository: string, reference: string): Promise<ReferenceDetail> {
    const manifest = await this.#readManifest(repository, reference);
    const images = await this.#describeImages(repository, manifest);
    const pushed = await this.#db.read
      .selectFrom('manifests')
      .innerJoin('repositories', 'repositories.id', 'manifests.repository_id')
      .select(['manifests.created_at', 'manifests.pushed_by'])
      .where('repositories.name', '=', repository)
      .where('manifests.digest', '=', manifest.digest)
      .executeTakeFirst();
    const referrers = await this.#sources.metadata.listReferrers(repository, manifest.digest, { limit: 100 });
    return {
      reference,
      digest: manifest.digest,
      mediaType: manifest.mediaType,
      pushedAt: pushed?.created_at ?? 0,
      pushedBy: pushed?.pushed_by ?? '',
      images,
      referrers: referrers.map(({ digest, artifactType, size }) => ({
        digest,
        artifactType: artifactType ?? '',
        sizeBytes: size,
      })),
    };
  }

  async #describeImages(repository: string, decoded: DecodedManifest): Promise<readonly ImageDetail[]> {
    if (decoded.kind === 'manifest')
      return [await this.#describeImage(repository, decoded, decoded.value, undefined)];
    const entries = decoded.value.manifests.filter(isRunnable).slice(0, PLATFORM_LIMIT);
    const images: ImageDetail[] = [];
    for (const entry of entries) {
      const child = await this.#sources.metadata.findManifest(repository, entry.digest);
      if (child === undefined) continue; // a sparse index: this platform was not pushed
      const manifest = decodeManifest(child.bytes, child.mediaType);
      if (manifest.kind === 'manifest')
        images.push(await this.#describeImage(repository, manifest, manifest.value, entry));
    }
    return images;
  }

  async #describeImage(
    repository: string,
    decoded: DecodedManifest,
    manifest: Manifest,
    entry: Descriptor | undefined,
  ): Promise<ImageDetail> {
    const config = await this.#readConfig(repository, manifest);
    const container = config?.config ?? {};
    return {
      platform: platformOf(config, entry),
      digest: entry?.digest ?? decoded.digest,
      mediaType: decoded.mediaType,
      sizeBytes: sizeOf(manifest),
      createdAt: config?.created ?? null,
      author: config?.author ?? '',
      artifactType: config === undefined ? (manifest.artifactType ?? manifest.config.mediaType) : null,
      layers: layersOf(manifest, config),
      config: {
        env: container.Env ?? [],
        entrypoint: container.Entrypoint ?? [],
        cmd: container.Cmd ?? [],
        user: container.User ?? '',
        workingDir: container.WorkingDir ?? '',
        exposedPorts: Object.keys(container.ExposedPorts ?? {}),
        volumes: Object.keys(container.Volumes ?? {}),
        labels: container.Labels ?? {},
        stopSignal: container.StopSignal ?? '',
      },
    };
  }

  async #summarize(repository: string, digest: Digest): Promise<ManifestSummary> {
    const known = this.#summaries.get(digest);
    if (known !== undefined) return known;
    const summary = await this.#computeSummary(repository, digest);
    if (this.#summaries.size >= CACHE_ENTRIES)
      this.#summaries.delete(this.#summaries.keys().next().value ?? '');
    this.#summaries.set(digest, summary);
    return summary;
  }

  async #computeSummary(repository: string, digest: Digest): Promise<ManifestSummary> {
    const images = await this.#describeImages(repository, await this.#readManifest(repository, digest));
    return {
      platforms: images.map((image) => image.platform).filter((platform) => platform !== ''),
      sizeBytes: images[0]?.sizeBytes ?? 0,
    };
  }

  async #readManifest(repository: string, reference: string): Promise<DecodedManifest> {
    const stored = await this.#sources.metadata.findManifest(repository, reference);
    if (stored !== undefined)
      return { ...decodeManifest(stored.bytes, stored.mediaType), digest: stored.digest };
    throw new CodedError(
      'not_found',
      `${repository} has no ${reference.includes(':') ? 'manifest' : 'tag'} ${reference}`,
      {
        subject: { kind: 'tag', name: reference },
      },
    );
  }

  /** The config of an image; `undefined` for an artifact whose config is none. */
  async #readConfig(repository: string, manifest: Manifest): Promise<ImageConfig | undefined> {
    if (!CONFIG_TYPES.has(manifest.config.mediaType) || manifest.config.size > CONFIG_LIMIT_BYTES)
      return undefined;
    const blob = await this.#sources.metadata.findBlob(repository, manifest.config.digest);
    if (blob === undefined || blob.sizeBytes > CONFIG_LIMIT_BYTES) return undefined;
    const bytes =
      'content' in blob.location
        ? blob.location.content
        : await this.#readFile(blob.location.key, blob.sizeBytes);
    try {
      return decodeImageConfig(bytes).value;
    } catch (error) {
      if (error instanceof CodedError) return undefined; // pushed by somebody: may be anything
      throw error;
    }
  }

  async #readFile(key: string, sizeBytes: number): Promise<Uint8Array> {
    const chunks: Buffer[] = [];
    for await (const chunk of this.#sources.storage.openBlob(key, { start: 0, end: sizeBytes }))
      chunks.push(Buffer.from(chunk));
    return Buffer.concat(chunks);
  }
}

/** Attestations ride in an index as manifests of platform unknown/unknown. */
function isRunnable(entry: Descriptor): boolean {
  return entry.platform?.os !== 'unknown';
}

function platformOf(config: ImageConfig | undefined, entry: Descriptor | undefined): string {
  if (entry?.platform !== undefined) return formatPlatform(entry.platform);
  if (config === undefined) return '';
  const { os, architecture, variant } = config;
  return formatPlatform({ os, architecture, ...(variant ? { variant } : {}) });
}

function sizeOf(manifest: Manifest): number {
  return manifest.layers.reduce((sum, layer) => sum + layer.size, manifest.config.size);
}

/** Layers beside the history lines that made them; an image without a history shows its layers only. */
function layersOf(manifest: Manifest, config: ImageConfig | undefined): LayerDetail[] {
  const history = config?.history ?? [];
  const layers = [...manifest.layers];
  if (history.filter((entry) => entry.empty_layer !== true).length !== layers.length) {
    return layers.map((layer) => layerOf(layer, '', null));
  }
  return history.map((entry) =>
    layerOf(
      entry.empty_layer === true ? undefined : layers.shift(),
      entry.created_by ?? '',
      entry.created ?? null,
    ),
  );
}

function layerOf(layer: Descriptor | undefined, command: string, createdAt: string | null): LayerDetail {
  return {
    digest: layer?.digest ?? null,
    mediaType: layer?.mediaType ?? null,
    sizeBytes: layer?.size ?? 0,
    command,
    createdAt,
    title: layer?.annotations?.['org.opencontainers.image.title'] ?? '',
  };
}
