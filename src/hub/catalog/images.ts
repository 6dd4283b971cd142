import type { SqlDatabase } from '#base/database/index.ts';
import type { HealthcheckDetail, ImageDetail, LayerDetail, ReferenceDetail } from '#hub/protocol/index.ts';
import type { Healthcheck, ImageConfig } from '#oci/config/index.ts';
import type { Digest } from '#oci/digest/index.ts';
import type { DecodedManifest, Descriptor, Manifest } from '#oci/manifest/index.ts';
import { formatPlatform } from '#oci/platform/index.ts';
import type { RegistryTables } from '#registry/server/index.ts';
import { reconstruct } from './history.ts';
import { mapOf, textOf, textsOf } from './loose.ts';
import { DocumentReader, type DocumentSources, historyOf } from './reader.ts';
import type { ManifestFacts } from './tags.ts';

const PLATFORM_LIMIT = 64;

/** What the pages read of the registry. */
export interface ImageSources extends DocumentSources {
  readonly db: SqlDatabase<unknown>;
}

/** Images of a repository as the pages show them. */
export class ImageCatalog {
  readonly #reader: DocumentReader;
  readonly #db: SqlDatabase<RegistryTables>;

  constructor(sources: ImageSources) {
    this.#reader = new DocumentReader(sources);
    this.#db = sources.db as SqlDatabase<RegistryTables>;
  }

  /**
   * One tag or digest with its platforms.
   * @throws {CodedError} `not_found`.
   */
  async describe(repository: string, reference: string): Promise<ReferenceDetail> {
    const manifest = await this.#reader.getManifest(repository, reference);
    const images = await this.#describeImages(repository, manifest);
    const pushed = await this.#db.read
      .selectFrom('manifests')
      .innerJoin('repositories', 'repositories.id', 'manifests.repository_id')
      .select(['manifests.created_at', 'manifests.pushed_by'])
      .where('repositories.name', '=', repository)
      .where('manifests.digest', '=', manifest.digest)
      .executeTakeFirst();
    const referrers = await this.#reader.listReferrers(repository, manifest.digest, 100);
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
      const manifest = await this.#reader.findManifest(repository, entry.digest);
      // In a sparse index a platform was not pushed.
      if (manifest?.kind === 'manifest')
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
    const config = await this.#reader.readConfig(repository, manifest);
    const container = config?.config ?? {};
    return {
      platform: platformOf(config, entry),
      digest: entry?.digest ?? decoded.digest,
      mediaType: decoded.mediaType,
      sizeBytes: sizeOf(manifest),
      createdAt: textOf(config?.created) || null,
      author: textOf(config?.author),
      artifactType: config === undefined ? (manifest.artifactType ?? manifest.config.mediaType) : null,
      layers: layersOf(manifest, config),
      config: {
        env: textsOf(container.Env),
        entrypoint: textsOf(container.Entrypoint),
        cmd: textsOf(container.Cmd),
        user: textOf(container.User),
        workingDir: textOf(container.WorkingDir),
        exposedPorts: Object.keys(mapOf(container.ExposedPorts)),
        volumes: Object.keys(mapOf(container.Volumes)),
        labels: mapOf(container.Labels),
        stopSignal: textOf(container.StopSignal),
        shell: textsOf(container.Shell),
        onBuild: textsOf(container.OnBuild),
        healthcheck: healthcheckOf(container.Healthcheck),
      },
    };
  }

  /**
   * What the list of tags shows of a manifest.
   * @throws {CodedError} `not_found`.
   */
  async summarize(repository: string, digest: Digest): Promise<ManifestFacts> {
    const images = await this.#describeImages(repository, await this.#reader.getManifest(repository, digest));
    return {
      platforms: images.map((image) => image.platform).filter((platform) => platform !== ''),
      sizeBytes: images[0]?.sizeBytes ?? 0,
    };
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

function healthcheckOf(check: Healthcheck | undefined): HealthcheckDetail | null {
  const test = textsOf(check?.Test);
  if (test.length === 0) return null;
  const { Interval, Timeout, StartPeriod, Retries } = check ?? {};
  return {
    test,
    interval: Number(Interval ?? 0),
    timeout: Number(Timeout ?? 0),
    startPeriod: Number(StartPeriod ?? 0),
    retries: Number(Retries ?? 0),
  };
}

/** Layers beside the history lines that made them; an image without a history shows its layers only. */
function layersOf(manifest: Manifest, config: ImageConfig | undefined): LayerDetail[] {
  const history = historyOf(config);
  const { layers } = manifest;
  if (history.filter((entry) => entry.empty_layer !== true).length !== layers.length) {
    return layers.map((layer, position) => layerOf(layer, position, undefined));
  }
  let next = 0;
  return history.map(({ empty_layer, created_by, created }) => {
    const position = empty_layer === true ? null : next++;
    const layer = position === null ? undefined : layers[position];
    return layerOf(layer, position, { created_by: textOf(created_by), created: textOf(created) });
  });
}

function layerOf(
  layer: Descriptor | undefined,
  position: number | null,
  entry: { readonly created_by: string; readonly created: string } | undefined,
): LayerDetail {
  const command = entry?.created_by ?? '';
  return {
    digest: layer?.digest ?? null,
    position,
    mediaType: layer?.mediaType ?? null,
    sizeBytes: layer?.size ?? 0,
    command,
    instruction: command === '' ? '' : instructionIn(command),
    createdAt: entry?.created || null,
    title: textOf(layer?.annotations?.['org.opencontainers.image.title']),
  };
}

function instructionIn(command: string): string {
  const { lines, gap } = reconstruct({ created_by: command });
  return gap === 'unknown' ? command : lines.join('\n');
}
