import { CodedError } from '#base/errors/index.ts';
import { decodeImageConfig, type ImageConfig, type ImageId } from '#oci/config/index.ts';
import type { Digest } from '#oci/digest/index.ts';
import type { Descriptor } from '#oci/manifest/index.ts';
import { formatFamiliar, type Reference, withDefaultTag } from '#oci/reference/index.ts';
import type { Changesets } from '#store/changeset/types.ts';
import { blobNotFound } from '#store/content/index.ts';
import type { ContentStore } from '#store/content/types.ts';
import type { Reclaimer } from '#store/lease/types.ts';
import type { Database, Durability, Row } from '#store/metadata/index.ts';
import type { SnapshotStore } from '#store/snapshot/types.ts';
import { ImageReader } from './image-reader.ts';
import { chainsOf, LayerRegistry } from './layer-registry.ts';
import { ImageRemoval } from './removal.ts';
import type { Image, ImageStore, NewImage } from './types.ts';

/** What the image store joins. */
export interface ImageStoreOptions {
  readonly db: Database;
  readonly content: ContentStore;
  readonly snapshots: SnapshotStore;
  readonly changesets: Changesets;
  readonly reclaimer: Reclaimer;
  readonly durability: Durability;
}

/** Makes the image store. */
export function createImageStore(options: ImageStoreOptions): ImageStore {
  const { db, content, reclaimer } = options;
  const reader = new ImageReader(db, content);
  const layers = new LayerRegistry(options);
  const writer = new ImageWriter(options, reader);
  const sources = new BlobSources(db);
  return {
    findImage: (nameOrId) => {
      const id = reader.findId(nameOrId);
      return id === undefined ? undefined : reader.findById(id);
    },
    getImage: (nameOrId) => reader.get(nameOrId),
    listImages: () => reader.list(),
    listDamagedImages: () => reader.listDamaged(),
    addImage: async (image) => (await writer.add([image]))[0] as Image,
    addImages: (images) => writer.add(images),
    tagImage: (reference, id) => writer.tag(reference, id),
    addRepoDigest: (reference, id) => writer.addRepoDigest(reference, id),
    removeImage: async (nameOrId, removal) => new ImageRemoval(db, reader, reclaimer, removal).run(nameOrId),
    findLayer: (diffId) => layers.findLayer(diffId),
    addLayer: (layer, snapshot) => layers.addLayer(layer, snapshot),
    listLayerBlobs: (diffId) => layers.listBlobs(diffId),
    addLayerBlob: (diffId, descriptor) => layers.addBlob(diffId, descriptor),
    findDiffId: (blob) => layers.findDiffId(blob),
    ensureLayerBlob: (diffId, prefer, packing) => layers.ensureBlob(diffId, prefer, packing),
    openLayerTar: (diffId) => layers.openTar(diffId),
    checkLayer: (diffId) => layers.checkLayer(diffId),
    isMadeFromTree: (diffId, tar) => layers.isMadeFromTree(diffId, tar),
    listBlobSources: (blob) => sources.list(blob),
    addBlobSource: (blob, source) => sources.add(blob, source),
    listManifests: (id) =>
      db
        .all('SELECT digest, media_type, size FROM image_manifests WHERE image_id = ? ORDER BY digest', id)
        .map((row) => ({
          digest: row['digest'] as Digest,
          mediaType: String(row['media_type']),
          size: Number(row['size']),
        })),
  };
}

/** Registries known to hold a blob. */
class BlobSources {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  list(blob: Digest): readonly { readonly registry: string; readonly repository: string }[] {
    return this.#db
      .all('SELECT registry, repository FROM blob_sources WHERE digest = ? ORDER BY seen_at DESC', blob)
      .map((row) => ({ registry: String(row['registry']), repository: String(row['repository']) }));
  }

  add(blob: Digest, source: { readonly registry: string; readonly repository: string }): void {
    this.#db.runSoon(
      `INSERT INTO blob_sources (digest, registry, repository, seen_at) VALUES (?, ?, ?, ?)
       ON CONFLICT (digest, registry, repository) DO UPDATE SET seen_at = excluded.seen_at`,
      blob,
      source.registry,
      source.repository,
      Date.now(),
    );
  }
}

/** Adds images and names. */
class ImageWriter {
  readonly #options: ImageStoreOptions;
  readonly #db: Database;
  readonly #reader: ImageReader;

  constructor(options: ImageStoreOptions, reader: ImageReader) {
    this.#options = options;
    this.#db = options.db;
    this.#reader = reader;
  }

  async add(images: readonly NewImage[]): Promise<readonly Image[]> {
    const { content, durability } = this.#options;
    const decoded = images.map((image) => ({ image, config: decodeImageConfig(image.configBytes) }));
    for (const { image, config } of decoded) this.#checkComplete(config.value, image.manifest);
    // One sync for everything, or one file when nothing else waits for the disk.
    const durable = !durability.isPending();
    for (const { image } of decoded) await content.putBlob(image.configBytes, { durable });
    await durability.settle();
    this.#db.transaction(() => {
      for (const { image, config } of decoded) {
        this.#checkComplete(config.value, image.manifest); // nothing may have gone while the disk was busy
        this.#insert(config.digest, config.value, image);
      }
    });
    return decoded.map(({ config }) => this.#reader.get(config.digest));
  }

  tag(reference: Reference, id: ImageId): void {
    const { registry, repository, tag, digest } = withDefaultTag(reference);
    if (digest !== undefined || tag === undefined) {
      throw new CodedError('invalid_argument', 'refusing to create a tag with a digest reference');
    }
    if (formatFamiliar({ registry, repository }) === 'sha256') {
      throw new CodedError(
        'invalid_argument',
        'refusing to create an ambiguous tag using digest algorithm as name',
      );
    }
    const now = Date.now();
    const isNamed =
      this.#db.get(
        'SELECT 1 FROM tags WHERE registry = ? AND repository = ? AND tag = ? AND image_id = ?',
        registry,
        repository,
        tag,
        id,
      ) !== undefined;
    // A name that is there already, as after a cached build, only gets another time.
    const durable = !isNamed;
    const write = (): void => {
      this.#assertKnown(id);
      this.#db.run(
        `INSERT INTO tags (registry, repository, tag, image_id, tagged_at) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (registry, repository, tag) DO UPDATE SET image_id = excluded.image_id, tagged_at = excluded.tagged_at`,
        registry,
        repository,
        tag,
        id,
        now,
      );
      this.#db.run('UPDATE images SET tagged_at = ? WHERE id = ?', now, id);
    };
    this.#db.transaction(write, { durable });
  }

  addRepoDigest({ registry, repository, digest }: Reference, id: ImageId): void {
    if (digest === undefined) throw new CodedError('invalid_argument', 'a repository digest needs a digest');
    this.#assertKnown(id);
    this.#db.run(
      `INSERT INTO repo_digests (registry, repository, digest, image_id) VALUES (?, ?, ?, ?)
       ON CONFLICT (registry, repository, digest) DO UPDATE SET image_id = excluded.image_id`,
      registry,
      repository,
      digest,
      id,
    );
  }

  #insert(id: ImageId, config: ImageConfig, image: NewImage): void {
    const chains = chainsOf(config.rootfs.diff_ids);
    const isNew = this.#db.run(
      `INSERT INTO images (id, chain_id, size, created_at, added_at, parent_id) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO NOTHING`,
      id,
      chains.at(-1) ?? null,
      this.#contentSize(config),
      createdAt(config),
      Date.now(),
      image.parentId === id ? null : (image.parentId ?? null),
    );
    if (isNew === 1) {
      for (const [position, diffId] of config.rootfs.diff_ids.entries()) {
        const sql = 'INSERT INTO image_layers (image_id, position, diff_id, chain_id) VALUES (?, ?, ?, ?)';
        this.#db.run(sql, id, position, diffId, chains[position] ?? null);
      }
    }
    if (image.manifest !== undefined) {
      const { digest, mediaType, size } = image.manifest;
      const sql = `INSERT INTO image_manifests (image_id, digest, media_type, size) VALUES (?, ?, ?, ?)
                   ON CONFLICT (image_id, digest) DO NOTHING`;
      this.#db.run(sql, id, digest, mediaType, size);
    }
    for (const reference of image.tags ?? []) this.tag(reference, id);
    for (const reference of image.repoDigests ?? []) this.addRepoDigest(reference, id);
  }

  #checkComplete(config: ImageConfig, manifest: Descriptor | undefined): void {
    const chains = chainsOf(config.rootfs.diff_ids);
    for (const [position, diffId] of config.rootfs.diff_ids.entries()) {
      const chainId = chains[position] as string;
      const sql = `SELECT 1 FROM layers, snapshot_names WHERE diff_id = ? AND name = ?`;
      if (this.#db.get(sql, diffId, chainId) !== undefined) continue;
      throw new CodedError('failed_precondition', `cannot add image: layer ${diffId} is not in the store`, {
        subject: { kind: 'layer', name: diffId },
      });
    }
    if (manifest !== undefined && this.#options.content.findBlob(manifest.digest) === undefined) {
      throw blobNotFound(manifest.digest);
    }
  }

  #contentSize(config: ImageConfig): number {
    let size = 0;
    for (const diffId of config.rootfs.diff_ids) {
      const row: Row | undefined = this.#db.get('SELECT content_size FROM layers WHERE diff_id = ?', diffId);
      size += Number(row?.['content_size'] ?? 0);
    }
    return size;
  }

  #assertKnown(id: ImageId): void {
    if (this.#db.get('SELECT 1 FROM images WHERE id = ?', id) === undefined) this.#reader.get(id);
  }
}

function createdAt({ created }: ImageConfig): number | null {
  const time = created === undefined ? Number.NaN : Date.parse(created);
  return Number.isNaN(time) ? null : time;
}
