import { CodedError, hasCode } from '#base/errors/index.ts';
import { CONFIG_LIMIT_BYTES, decodeImageConfig, type ImageConfig, type ImageId } from '#oci/config/index.ts';
import { type ChainId, chainIdOf, type DiffId, type Digest, isDigest } from '#oci/digest/index.ts';
import {
  formatCanonical,
  formatFamiliar,
  parseReference,
  type Reference,
  withDefaultTag,
} from '#oci/reference/index.ts';
import type { ContentStore } from '#store/content/types.ts';
import type { Database, Row } from '#store/metadata/index.ts';
import type { DamagedImage, Image, Layer } from './types.ts';

const CACHED_IMAGES = 256;

/** What never changes about an image. */
type Fixed = Pick<Image, 'config' | 'configBytes' | 'chainId'>;

/** Reads images: rows for what changes, the config blob (kept in memory, a few hundred) for what does not. */
export class ImageReader {
  readonly #db: Database;
  readonly #content: ContentStore;
  readonly #cache = new Map<ImageId, Fixed>();

  constructor(db: Database, content: ContentStore) {
    this.#db = db;
    this.#content = content;
  }

  findById(id: ImageId): Image | undefined {
    const row = this.#db.get('SELECT * FROM images WHERE id = ?', id);
    return row === undefined ? undefined : this.#imageOf(row);
  }

  *list(): Iterable<Image> {
    // Ids first: the caller may change images while it walks.
    for (const row of this.#db.all('SELECT id FROM images')) {
      const image = this.#findWhole(row['id'] as ImageId);
      if (image !== undefined) yield image;
    }
  }

  *listDamaged(): Iterable<DamagedImage> {
    for (const row of this.#db.all('SELECT * FROM images')) {
      const id = row['id'] as ImageId;
      if (this.#findWhole(id) !== undefined || this.#knownId(id) === undefined) continue;
      yield {
        id,
        sizeBytes: Number(row['size']),
        createdAt: dateOf(row['created_at']),
        references: this.listTags(id),
        repoDigests: this.listRepoDigests(id),
      };
    }
  }

  /** One damaged image must not hide the others. */
  #findWhole(id: ImageId): Image | undefined {
    try {
      return this.findById(id);
    } catch (error) {
      if (hasCode(error, 'data_loss')) return undefined;
      throw error;
    }
  }

  /** The id behind a name, a full id or a unique prefix of one. */
  findId(nameOrId: string): ImageId | undefined {
    if (/^[a-f0-9]{64}$/.test(nameOrId)) return this.#knownId(`sha256:${nameOrId}`);
    if (isDigest(nameOrId)) return this.#knownId(nameOrId);
    return this.#findByReference(nameOrId) ?? this.#findByPrefix(nameOrId);
  }

  /** @throws as `ImageStore.getImage`. */
  get(nameOrId: string): Image {
    const id = this.findId(nameOrId);
    const image = id === undefined ? undefined : this.findById(id);
    if (image === undefined) throw imageNotFound(nameOrId);
    return image;
  }

  /** @throws as `ImageStore.getImage`. */
  getId(nameOrId: string): ImageId {
    const id = this.findId(nameOrId);
    if (id === undefined) throw imageNotFound(nameOrId);
    return id;
  }

  /** The parent of an image, if it is (still) here. */
  findParentId(id: ImageId): ImageId | undefined {
    const sql = 'SELECT p.id FROM images i JOIN images p ON p.id = i.parent_id WHERE i.id = ?';
    return this.#db.get(sql, id)?.['id'] as ImageId | undefined;
  }

  listTags(id: ImageId): Reference[] {
    return this.#db
      .all(
        'SELECT registry, repository, tag FROM tags WHERE image_id = ? ORDER BY registry, repository, tag',
        id,
      )
      .map((row) => ({ ...repositoryOf(row), tag: String(row['tag']) }));
  }

  listRepoDigests(id: ImageId): Reference[] {
    return this.#db
      .all(
        'SELECT registry, repository, digest FROM repo_digests WHERE image_id = ? ORDER BY registry, repository, digest',
        id,
      )
      .map((row) => ({ ...repositoryOf(row), digest: row['digest'] as Digest }));
  }

  #knownId(id: string): ImageId | undefined {
    return this.#db.get('SELECT id FROM images WHERE id = ?', id)?.['id'] as ImageId | undefined;
  }

  #findByReference(text: string): ImageId | undefined {
    let reference: Reference;
    try {
      reference = withDefaultTag(parseReference(text));
    } catch {
      return undefined; // `get` tells what is wrong with it
    }
    const { registry, repository, tag = '', digest } = reference;
    const row =
      digest === undefined
        ? this.#db.get(
            'SELECT image_id FROM tags WHERE registry = ? AND repository = ? AND tag = ?',
            registry,
            repository,
            tag,
          )
        : this.#db.get(
            'SELECT image_id FROM repo_digests WHERE registry = ? AND repository = ? AND digest = ?',
            registry,
            repository,
            digest,
          );
    return row?.['image_id'] as ImageId | undefined;
  }

  #findByPrefix(text: string): ImageId | undefined {
    const prefix = text.startsWith('sha256:') ? text : `sha256:${text}`;
    if (!/^sha256:[a-f0-9]{1,64}$/.test(prefix)) return undefined;
    const rows = this.#db.all('SELECT id FROM images WHERE id >= ? AND id < ? LIMIT 2', prefix, `${prefix}~`);
    if (rows.length > 1) {
      throw new CodedError('invalid_argument', `image id prefix "${text}" is ambiguous`, {
        subject: { kind: 'image', name: text },
      });
    }
    return rows[0]?.['id'] as ImageId | undefined;
  }

  #imageOf(row: Row): Image {
    const id = row['id'] as ImageId;
    const { config, configBytes, chainId } = this.#fixed(id);
    return {
      id,
      config,
      configBytes,
      chainId,
      layers: this.#layersOf(id),
      sizeBytes: Number(row['size']),
      createdAt: dateOf(row['created_at']),
      taggedAt: dateOf(row['tagged_at']),
      parentId: (row['parent_id'] ?? undefined) as ImageId | undefined,
      references: this.listTags(id),
      repoDigests: this.listRepoDigests(id),
    };
  }

  #layersOf(id: ImageId): readonly Layer[] {
    return this.#db
      .all(
        `SELECT l.* FROM image_layers i JOIN layers l ON l.diff_id = i.diff_id WHERE i.image_id = ? ORDER BY i.position`,
        id,
      )
      .map(layerOf);
  }

  #fixed(id: ImageId): Fixed {
    const cached = this.#cache.get(id);
    if (cached !== undefined) return cached;
    const { value, bytes } = decodeImageConfig(this.#readConfig(id));
    const fixed: Fixed = { config: value, configBytes: bytes, chainId: topChainOf(value) };
    if (this.#cache.size >= CACHED_IMAGES) this.#cache.delete(this.#cache.keys().next().value as ImageId);
    this.#cache.set(id, fixed);
    return fixed;
  }

  #readConfig(id: ImageId): Uint8Array {
    try {
      return this.#content.readBlobNow(id, CONFIG_LIMIT_BYTES); // a few kilobytes
    } catch (error) {
      throw this.#damaged(id, error);
    }
  }

  #damaged(id: ImageId, cause: unknown): CodedError {
    const [name] = [...this.listTags(id), ...this.listRepoDigests(id)].map(formatFamiliar);
    const isPulled = this.listRepoDigests(id).length > 0;
    const isLost = cause instanceof CodedError && cause.help?.id === 'content/blob-lost';
    const state = isLost ? 'its config is missing' : 'its config has other bytes';
    return new CodedError('data_loss', `image ${name ?? id} is damaged: ${state}`, {
      cause,
      subject: { kind: 'image', name: name ?? id },
      help: {
        id: 'image/damaged',
        cause:
          'somebody changed files below the data root, or the disk gives back other bytes than were written',
        fix:
          isPulled && name !== undefined
            ? [`slipway pull ${name}`]
            : [`slipway rmi -f ${id}`, 'build it again'],
      },
    });
  }
}

/** Docker's answer for an image that is not here. */
export function imageNotFound(nameOrId: string): CodedError {
  const isId = /^[a-f0-9]{64}$/.test(nameOrId) || isDigest(nameOrId);
  const shown = isId
    ? nameOrId.replace(/^(?!sha256:)/, 'sha256:')
    : formatFamiliar(withDefaultTag(parseReference(nameOrId)));
  return new CodedError('not_found', `No such image: ${shown}`, {
    subject: { kind: 'image', name: nameOrId },
  });
}

/** The chain that is an image's root file system; `undefined` without layers. */
export function topChainOf(config: ImageConfig): ChainId | undefined {
  const { diff_ids: diffIds } = config.rootfs;
  return diffIds.length === 0 ? undefined : chainIdOf(diffIds);
}

/** Sorts references as Docker lists them. */
export function byText(a: Reference, b: Reference): number {
  const [left, right] = [formatCanonical(a), formatCanonical(b)];
  return left < right ? -1 : left > right ? 1 : 0;
}

/** A row of `layers`. */
export function layerOf(row: Row): Layer {
  return {
    diffId: row['diff_id'] as DiffId,
    tarSizeBytes: Number(row['tar_size']),
    contentSizeBytes: Number(row['content_size']),
    indexDigest: row['index_digest'] as Digest,
  };
}

function repositoryOf(row: Row): Pick<Reference, 'registry' | 'repository'> {
  return { registry: String(row['registry']), repository: String(row['repository']) };
}

function dateOf(value: Row[string] | undefined): Date | undefined {
  return value === null || value === undefined ? undefined : new Date(Number(value));
}
