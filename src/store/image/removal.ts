/** Removal as Docker does it: names first, the image with the last name, then parents that nothing names. */
import { CodedError } from '#base/errors/index.ts';
import type { ImageId } from '#oci/config/index.ts';
import { type ChainId, type Digest, shortIdOf } from '#oci/digest/index.ts';
import { parseReference, type Reference, withDefaultTag } from '#oci/reference/index.ts';
import type { Reclaimer } from '#store/lease/types.ts';
import type { Database } from '#store/metadata/index.ts';
import { byText, type ImageReader } from './image-reader.ts';
import type { ImageStore, ImageUser, RemovalStep } from './types.ts';

/** As `ImageStore.removeImage`. */
export type RemovalOptions = Parameters<ImageStore['removeImage']>[1];

/** What keeps an image. `hard`: force does not help. `used`: a container does. */
interface Conflict {
  readonly hard: boolean;
  readonly used: boolean;
  readonly reason: string;
}

/** Which reasons are looked for. */
interface Mask {
  readonly references: boolean;
  readonly stopped: boolean;
}

/** One removal. Everything happens in one turn of the event loop. */
export class ImageRemoval {
  readonly #db: Database;
  readonly #images: ImageReader;
  readonly #reclaimer: Reclaimer;
  readonly #options: RemovalOptions;
  #steps: RemovalStep[] = [];

  constructor(db: Database, images: ImageReader, reclaimer: Reclaimer, options: RemovalOptions) {
    this.#db = db;
    this.#images = images;
    this.#reclaimer = reclaimer;
    this.#options = options;
  }

  run(nameOrId: string): readonly RemovalStep[] {
    return this.#db.transaction(() => this.#run(nameOrId));
  }

  #run(nameOrId: string): readonly RemovalStep[] {
    this.#steps = []; // a transaction may be tried again
    const id = this.#images.getId(nameOrId); // no more of it is read: a damaged image can be removed
    const isById = id.startsWith(nameOrId) || id.startsWith(`sha256:${nameOrId}`);
    const isFinished = isById ? this.#untagForId(id) : this.#untag(id, nameOrId);
    if (!isFinished) this.#deleteWithParents(id, { quiet: !isById });
    return this.#steps;
  }

  /** Takes one name away; true when other names are left, so that the image stays. */
  #untag(id: ImageId, name: string): boolean {
    const user = this.#options.force || !isSingle(this.#references(id)) ? undefined : this.#userOf(id);
    if (user !== undefined) {
      throw new CodedError(
        'conflict',
        `conflict: unable to remove repository reference "${name}" (must force) - container ${user.containerId.slice(0, 12)} is using its referenced image ${shortIdOf(id)}`,
        { subject: { kind: 'image', name } },
      );
    }
    const reference = withDefaultTag(parseReference(name));
    return this.#db.transaction(() => {
      this.#removeReference(reference);
      const left = this.#references(id);
      const isSameRepository = (other: Reference): boolean =>
        other.registry === reference.registry && other.repository === reference.repository;
      if (reference.digest !== undefined) return left.length > 0;
      if (left.some((other) => other.digest === undefined && isSameRepository(other))) return true;
      // With a repository's last tag go the digests under which that repository has the image.
      for (const other of left.filter(isSameRepository)) this.#removeReference(other);
      return left.some((other) => !isSameRepository(other));
    });
  }

  #untagForId(id: ImageId): boolean {
    const references = this.#references(id);
    if (!isSingle(references)) return false;
    const conflict = this.#findConflict(id, { references: false, stopped: !this.#options.force });
    if (conflict !== undefined) throw conflictError(id, conflict);
    this.#db.transaction(() => {
      for (const reference of references) this.#removeReference(reference);
    });
    return false;
  }

  #deleteWithParents(first: ImageId, options: { readonly quiet: boolean }): void {
    let { quiet } = options;
    let force = this.#options.force;
    for (let id: ImageId | undefined = first; id !== undefined; ) {
      const conflict = this.#findConflict(id, { references: !force, stopped: !force });
      if (conflict !== undefined) {
        if (quiet && (!this.#isDangling(id) || conflict.used)) return;
        throw conflictError(id, conflict);
      }
      const parentId: ImageId | undefined = this.#images.findParentId(id);
      this.#deleteImage(id);
      if (this.#options.noprune) return;
      id = parentId;
      quiet = true; // parents go only when nothing speaks against it
      force = false;
    }
  }

  #deleteImage(id: ImageId): void {
    const { chains, blobs } = this.#db.transaction(() => {
      for (const reference of this.#references(id)) this.#removeReference(reference);
      const layers = this.#db.all(
        'SELECT diff_id, chain_id FROM image_layers WHERE image_id = ? ORDER BY position',
        id,
      );
      const manifests = this.#db.all('SELECT digest FROM image_manifests WHERE image_id = ?', id);
      this.#db.run('DELETE FROM images WHERE id = ?', id);
      return {
        chains: layers.map((row) => row['chain_id'] as ChainId).reverse(),
        blobs: [id as Digest, ...manifests.map((row) => row['digest'] as Digest)],
      };
    });
    this.#steps.push({ deleted: id });
    for (const chainId of this.#reclaimer.releaseChains(chains)) this.#steps.push({ deleted: chainId });
    this.#reclaimer.releaseBlobs(blobs);
  }

  #removeReference(reference: Reference): void {
    const { registry, repository, tag, digest } = reference;
    if (digest !== undefined) {
      const sql = 'DELETE FROM repo_digests WHERE registry = ? AND repository = ? AND digest = ?';
      this.#db.run(sql, registry, repository, digest);
    } else {
      const sql = 'DELETE FROM tags WHERE registry = ? AND repository = ? AND tag = ?';
      this.#db.run(sql, registry, repository, tag ?? '');
    }
    // What names a digest names no tag, even when both were typed.
    this.#steps.push({ untagged: digest === undefined ? reference : { registry, repository, digest } });
  }

  #findConflict(id: ImageId, mask: Mask): Conflict | undefined {
    if (this.#db.get('SELECT 1 FROM images WHERE parent_id = ? LIMIT 1', id) !== undefined) {
      return { hard: true, used: false, reason: 'image has dependent child images' };
    }
    const user = this.#userOf(id);
    const who = user?.containerId.slice(0, 12);
    if (user?.running) {
      return { hard: true, used: true, reason: `image is being used by running container ${who}` };
    }
    if (mask.references && this.#references(id).length > 0) {
      return { hard: false, used: false, reason: 'image is referenced in multiple repositories' };
    }
    if (mask.stopped && user !== undefined) {
      return { hard: false, used: true, reason: `image is being used by stopped container ${who}` };
    }
    return undefined;
  }

  #isDangling(id: ImageId): boolean {
    const hasChild = this.#db.get('SELECT 1 FROM images WHERE parent_id = ? LIMIT 1', id) !== undefined;
    return this.#references(id).length === 0 && !hasChild;
  }

  #references(id: ImageId): Reference[] {
    return [...this.#images.listTags(id), ...this.#images.listRepoDigests(id)].sort(byText);
  }

  #userOf(id: ImageId): ImageUser | undefined {
    const user = this.#options.inUse(id);
    return typeof user === 'string' ? { containerId: user, running: false } : user;
  }
}

/** At most one tag, and every digest is of one repository: the tag's, if there is one. */
function isSingle(references: readonly Reference[]): boolean {
  const [first] = references;
  if (first === undefined || references.length === 1) return first !== undefined;
  const tags = references.filter(({ digest }) => digest === undefined);
  if (tags.length > 1) return false;
  const home = tags[0] ?? first;
  const digests = references.filter(({ digest }) => digest !== undefined);
  return digests.every(
    ({ registry, repository }) => registry === home.registry && repository === home.repository,
  );
}

function conflictError(id: ImageId, { hard, reason }: Conflict): CodedError {
  const force = hard ? 'cannot be forced' : 'must be forced';
  return new CodedError('conflict', `conflict: unable to delete ${shortIdOf(id)} (${force}) - ${reason}`, {
    subject: { kind: 'image', name: id },
  });
}
