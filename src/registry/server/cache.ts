import type { RegistryMetadata, StoredBlob, StoredManifest } from './types.ts';

/** Memory for cached rows, manifests and small blobs included. */
const DEFAULT_LIMIT_BYTES = 32 * 1024 * 1024;
/** What an entry costs beside its bytes. */
const ENTRY_BYTES = 500;

/**
 * Keeps the rows that pulls ask for most in memory. For metadata that only this process writes: every write goes through
 * the result and drops what it makes stale before it is acknowledged. Only what exists is kept.
 */
export function cacheMetadata(
  metadata: RegistryMetadata,
  limitBytes = DEFAULT_LIMIT_BYTES,
): RegistryMetadata {
  if (metadata.isShared) return metadata;
  const manifests = new LruCache<StoredManifest>(limitBytes / 2, (manifest) => manifest.bytes.byteLength);
  const blobs = new LruCache<StoredBlob>(limitBytes / 2, (blob) =>
    'content' in blob.location ? blob.location.content.byteLength : 0,
  );
  const clear = (): void => {
    manifests.clear();
    blobs.clear();
  };
  const afterwards = async <T>(write: Promise<T>, invalidate: () => void): Promise<T> => {
    try {
      return await write;
    } finally {
      invalidate();
    }
  };
  return {
    ...metadata,
    async findManifest(repository, reference) {
      const key = keyOf(repository, reference);
      return (
        manifests.get(key) ??
        manifests.load(
          key,
          () => metadata.findManifest(repository, reference),
          () => true,
        )
      );
    },
    async findBlob(repository, digest) {
      const key = keyOf(repository, digest);
      return (
        blobs.get(key) ??
        // One that nothing refers to must be seen leaving, and its grace be renewed when it is asked for.
        blobs.load(
          key,
          () => metadata.findBlob(repository, digest),
          (blob) => !blob.isUnreferenced,
        )
      );
    },
    addBlob: (blob, isIntact) =>
      afterwards(metadata.addBlob(blob, isIntact), () => blobs.delete(keyOf(blob.repository, blob.digest))),
    deleteBlob: (repository, digest) =>
      afterwards(metadata.deleteBlob(repository, digest), () => blobs.delete(keyOf(repository, digest))),
    putManifest: (manifest) =>
      afterwards(metadata.putManifest(manifest), () => {
        for (const reference of [manifest.digest, ...manifest.tags])
          manifests.delete(keyOf(manifest.repository, reference));
      }),
    deleteTag: (repository, tag) =>
      afterwards(metadata.deleteTag(repository, tag), () => manifests.delete(keyOf(repository, tag))),
    deleteManifest: (repository, digest) => afterwards(metadata.deleteManifest(repository, digest), clear),
    deleteRepository: (repository) => afterwards(metadata.deleteRepository(repository), clear),
    removeTags: (repository, tags, limit) => afterwards(metadata.removeTags(repository, tags, limit), clear),
    refresh: clear,
    sweep: (now, limit) => afterwards(metadata.sweep(now, limit), () => blobs.clear()),
  };
}

function keyOf(repository: string, reference: string): string {
  return `${repository}\n${reference}`;
}

/** Least recently used entries go first when the bytes exceed the limit. */
class LruCache<T> {
  readonly #limitBytes: number;
  readonly #sizeOf: (value: T) => number;
  readonly #entries = new Map<string, T>();
  #bytes = 0;
  /** Counts invalidations: what was read before one must not be kept after it. */
  #epoch = 0;

  constructor(limitBytes: number, sizeOf: (value: T) => number) {
    this.#limitBytes = limitBytes;
    this.#sizeOf = sizeOf;
  }

  get(key: string): T | undefined {
    const value = this.#entries.get(key);
    if (value === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, value);
    return value;
  }

  async load(
    key: string,
    read: () => Promise<T | undefined>,
    mayKeep: (value: T) => boolean,
  ): Promise<T | undefined> {
    const epoch = this.#epoch;
    const value = await read();
    if (value !== undefined && epoch === this.#epoch && mayKeep(value)) this.#keep(key, value);
    return value;
  }

  delete(key: string): void {
    this.#epoch++;
    this.#remove(key);
  }

  clear(): void {
    this.#epoch++;
    this.#entries.clear();
    this.#bytes = 0;
  }

  #keep(key: string, value: T): void {
    this.#remove(key);
    this.#entries.set(key, value);
    this.#bytes += this.#costOf(value);
    while (this.#bytes > this.#limitBytes) {
      const oldest = this.#entries.keys().next().value;
      if (oldest === undefined) return;
      this.#remove(oldest);
    }
  }

  #remove(key: string): void {
    const value = this.#entries.get(key);
    if (value === undefined) return;
    this.#entries.delete(key);
    this.#bytes -= this.#costOf(value);
  }

  #costOf(value: T): number {
    return this.#sizeOf(value) + ENTRY_BYTES;
  }
}
