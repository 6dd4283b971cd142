import { rm } from 'node:fs/promises';
import { SingleFlight } from '#base/async/index.ts';
import { decompress } from '#base/bytes/index.ts';
import type { ByteStream, OutputCompression } from '#base/bytes/types.ts';
import { CodedError, hasCode } from '#base/errors/index.ts';
import { type ChainId, type DiffId, type Digest, extendChain } from '#oci/digest/index.ts';
import { compressionOf, type Descriptor, MEDIA } from '#oci/manifest/index.ts';
import type { ChangesetDir, Changesets } from '#store/changeset/types.ts';
import { blobDamaged } from '#store/content/index.ts';
import type { ContentStore } from '#store/content/types.ts';
import type { Database, Row } from '#store/metadata/index.ts';
import type { SnapshotStore } from '#store/snapshot/types.ts';
import { compressFile } from './compress-file.ts';
import { GrowingFile } from './growing-blob.ts';
import { layerOf } from './image-reader.ts';
import { sameBytes } from './same-bytes.ts';
import type { ImageStore, Layer } from './types.ts';

/** What the layer half of the image store works on. */
export interface LayerRegistryOptions {
  readonly db: Database;
  readonly content: ContentStore;
  readonly snapshots: SnapshotStore;
  readonly changesets: Changesets;
}

type PackOptions = NonNullable<Parameters<ImageStore['ensureLayerBlob']>[2]>;

/** Layers by diffID: where their trees are, which compressed forms are known, and their tars. */
export class LayerRegistry {
  readonly #db: Database;
  readonly #content: ContentStore;
  readonly #snapshots: SnapshotStore;
  readonly #changesets: Changesets;
  readonly #packing = new SingleFlight<string, Descriptor>();
  readonly #makings = new Map<string, Making>();

  constructor({ db, content, snapshots, changesets }: LayerRegistryOptions) {
    this.#db = db;
    this.#content = content;
    this.#snapshots = snapshots;
    this.#changesets = changesets;
  }

  findLayer(diffId: DiffId): Layer | undefined {
    const row = this.#db.get('SELECT * FROM layers WHERE diff_id = ?', diffId);
    return row === undefined ? undefined : layerOf(row);
  }

  addLayer(layer: Layer, { chainId }: { readonly chainId: ChainId }): void {
    if (this.#snapshots.find(chainId) === undefined) {
      throw new CodedError(
        'failed_precondition',
        `cannot add layer ${layer.diffId}: no snapshot is named ${chainId}`,
        {
          subject: { kind: 'layer', name: layer.diffId },
        },
      );
    }
    const insert = (): void => {
      this.#db.run(
        `INSERT INTO layers (diff_id, tar_size, content_size, index_digest, created_at) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (diff_id) DO UPDATE SET created_at = excluded.created_at`,
        layer.diffId,
        layer.tarSizeBytes,
        layer.contentSizeBytes,
        layer.indexDigest,
        Date.now(),
      );
      this.#db.run(
        'INSERT INTO layer_chains (chain_id, diff_id) VALUES (?, ?) ON CONFLICT (chain_id) DO NOTHING',
        chainId,
        layer.diffId,
      );
    };
    this.#db.transaction(insert, { durable: false }); // adding the image makes it durable
  }

  listBlobs(diffId: DiffId): readonly Descriptor[] {
    return this.#db
      .all('SELECT digest, media_type, size FROM layer_blobs WHERE diff_id = ? ORDER BY digest', diffId)
      .map(descriptorOf);
  }

  addBlob(diffId: DiffId, { digest, mediaType, size }: Descriptor): void {
    this.#db.runSoon(
      `INSERT INTO layer_blobs (diff_id, digest, media_type, size) VALUES (?, ?, ?, ?)
       ON CONFLICT (diff_id, digest) DO NOTHING`,
      diffId,
      digest,
      mediaType,
      size,
    );
  }

  findDiffId(blob: Digest): DiffId | undefined {
    const row = this.#db.get('SELECT diff_id FROM layer_blobs WHERE digest = ? LIMIT 1', blob);
    return row?.['diff_id'] as DiffId | undefined;
  }

  async ensureBlob(
    diffId: DiffId,
    prefer: OutputCompression,
    options: PackOptions = {},
  ): Promise<Descriptor> {
    const held = this.#listHeld(diffId);
    const match =
      held.find((blob) => compressionOf(blob.mediaType) === prefer) ?? held.find((blob) => !isPlain(blob));
    if (match !== undefined) return match;
    const key = `${diffId} ${prefer}`;
    const making = this.#makings.get(key) ?? new Making();
    this.#makings.set(key, making);
    making.follow(options);
    try {
      const plain = held.find(isPlain);
      return await this.#packing.run(
        key,
        (signal) =>
          plain === undefined
            ? this.#pack(diffId, prefer, making, signal)
            : this.#compress(diffId, plain, prefer, signal),
        options.signal,
      );
    } finally {
      making.unfollow(options);
      if (!making.isFollowed && this.#makings.get(key) === making) this.#makings.delete(key);
    }
  }

  openTar(diffId: DiffId): ByteStream {
    const layer = this.findLayer(diffId);
    if (layer === undefined) throw layerNotFound(diffId);
    const held = this.#listHeld(diffId);
    const blob = held.find(isPlain) ?? held[0];
    // A layer that came from elsewhere cannot be made again byte for byte: where its bytes are held, they are the tar.
    if (blob !== undefined) return this.#openHeld(diffId, blob);
    return this.#content.verifyStream(this.#changesets.streamChangeset(this.#treeOf(diffId)), diffId);
  }

  /** What is wrong with a blob that is known to be damaged. */
  #damageOf(digest: Digest, cause: unknown): unknown {
    try {
      this.#content.getBlobPath(digest);
    } catch (error) {
      return error;
    }
    return blobDamaged(digest, cause);
  }

  async checkLayer(diffId: DiffId): Promise<void> {
    const damaged = this.listBlobs(diffId).find(({ digest }) => this.#content.isDamaged(digest));
    if (damaged === undefined || this.#listHeld(diffId).length > 0) return;
    try {
      for await (const _ of this.openTar(diffId));
    } catch (error) {
      throw hasCode(error, 'data_loss') ? this.#damageOf(damaged.digest, error) : error;
    }
  }

  /** gzip checks itself; of other forms only the hash tells that they are whole. */
  async *#openHeld(diffId: DiffId, { digest, mediaType }: Descriptor): AsyncGenerator<Uint8Array> {
    const compression = compressionOf(mediaType) ?? 'auto';
    const tar = decompress(this.#content.openBlob(digest), compression);
    try {
      yield* compression === 'gzip' ? tar : this.#content.verifyStream(tar, diffId);
    } catch (error) {
      const isDoubtful = hasCode(error, 'invalid_argument') || hasCode(error, 'data_loss');
      if (!isDoubtful || this.#content.isDamaged(digest) || (await this.#content.checkBlob(digest)))
        throw error;
      throw blobDamaged(digest, error);
    }
  }

  isMadeFromTree(diffId: DiffId, tar: ByteStream): Promise<boolean> {
    return sameBytes(this.#changesets.streamChangeset(this.#treeOf(diffId)), tar);
  }

  /** Where the layer's own tree is: at the top of any stack that ends in it. */
  #treeOf(diffId: DiffId): ChangesetDir {
    for (const row of this.#db.all('SELECT chain_id FROM layer_chains WHERE diff_id = ?', diffId)) {
      const snapshot = this.#snapshots.find(String(row['chain_id']));
      if (snapshot === undefined) continue;
      if (this.#snapshots.driver === 'overlay') return { dir: snapshot.dir, kind: 'overlay' };
      const parent = snapshot.parent === undefined ? undefined : this.#snapshots.find(snapshot.parent);
      return { dir: snapshot.dir, kind: 'plain', ...(parent === undefined ? {} : { against: parent.dir }) };
    }
    throw layerNotFound(diffId);
  }

  #listHeld(diffId: DiffId): readonly Descriptor[] {
    return this.listBlobs(diffId).filter(({ digest }) => this.#content.findBlob(digest) !== undefined);
  }

  async #pack(
    diffId: DiffId,
    format: OutputCompression,
    making: Making,
    signal: AbortSignal,
  ): Promise<Descriptor> {
    const outPath = this.#content.reserveFile();
    const tree = this.#treeOf(diffId);
    const blob = making.begin(outPath);
    try {
      const packed = await this.#changesets.packChangeset(tree, {
        format,
        outPath,
        expect: diffId,
        onProgress: (tarBytes) => making.progress(tarBytes),
        signal,
      });
      blob.end();
      return await this.#keep(diffId, format, outPath, packed);
    } catch (error) {
      blob.fail(error);
      await rm(outPath, { force: true });
      // It came from elsewhere and cannot be made again: what is missing is the blob that was held of it.
      const damaged = this.listBlobs(diffId).find(({ digest }) => this.#content.isDamaged(digest));
      throw damaged !== undefined && hasCode(error, 'data_loss')
        ? this.#damageOf(damaged.digest, error)
        : error;
    }
  }

  async #compress(
    diffId: DiffId,
    plain: Descriptor,
    format: OutputCompression,
    signal: AbortSignal,
  ): Promise<Descriptor> {
    const outPath = this.#content.reserveFile();
    const sizeBytes = await compressFile(this.#content.getBlobPath(plain.digest), outPath, {
      format,
      signal,
    });
    return this.#keep(diffId, format, outPath, { digest: await this.#content.hashFile(outPath), sizeBytes });
  }

  async #keep(
    diffId: DiffId,
    format: OutputCompression,
    path: string,
    blob: { readonly digest: Digest; readonly sizeBytes: number },
  ): Promise<Descriptor> {
    // A power loss may take it: it is made again then.
    const { digest, sizeBytes } = await this.#content.adoptFile(path, blob, { durable: false });
    const descriptor = { digest, mediaType: MEDIA_OF[format], size: sizeBytes };
    this.addBlob(diffId, descriptor);
    return descriptor;
  }
}

/** One compressed form being made, and who wants to know of it. */
class Making {
  readonly #followers = new Set<PackOptions>();
  #blob: GrowingFile | undefined;

  get isFollowed(): boolean {
    return this.#followers.size > 0;
  }

  follow(follower: PackOptions): void {
    this.#followers.add(follower);
    if (this.#blob?.isGrowing) follower.onGrowing?.(this.#blob);
  }

  unfollow(follower: PackOptions): void {
    this.#followers.delete(follower);
  }

  begin(path: string): GrowingFile {
    const blob = new GrowingFile(path);
    this.#blob = blob;
    for (const { onGrowing } of this.#followers) onGrowing?.(blob);
    return blob;
  }

  progress(tarBytes: number): void {
    this.#blob?.grew();
    for (const { onProgress } of this.#followers) onProgress?.(tarBytes);
  }
}

/** Chain IDs of a stack of layers, base first. */
export function chainsOf(diffIds: readonly DiffId[]): readonly ChainId[] {
  let chain: ChainId | undefined;
  return diffIds.map((diffId) => {
    chain = extendChain(chain, diffId);
    return chain;
  });
}

const MEDIA_OF: Readonly<Record<OutputCompression, string>> = {
  none: MEDIA.dockerLayer,
  gzip: MEDIA.dockerLayerGzip,
  zstd: MEDIA.ociLayerZstd,
};

function isPlain({ mediaType }: Descriptor): boolean {
  return compressionOf(mediaType) === 'none';
}

function descriptorOf(row: Row): Descriptor {
  return { digest: row['digest'] as Digest, mediaType: String(row['media_type']), size: Number(row['size']) };
}

function layerNotFound(diffId: DiffId): CodedError {
  return new CodedError('not_found', `layer ${diffId} is not in the store`, {
    subject: { kind: 'layer', name: diffId },
  });
}
