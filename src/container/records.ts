import { CodedError } from '#base/errors/index.ts';
import type { Database } from '#store/metadata/index.ts';
import type { ContainerRecord } from './types.ts';

/**
 * The containers of an engine: all in memory, each change durable when it returns. Looking one up costs the same however
 * many there are, except by id prefix.
 */
export class ContainerRecords {
  readonly #db: Database;
  readonly #byId = new Map<string, ContainerRecord>();
  readonly #idByName = new Map<string, string>();
  /** Rows that cannot be read: told once, and left alone. */
  readonly broken: { readonly id: string; readonly reason: string }[] = [];

  constructor(db: Database) {
    this.#db = db;
    for (const row of db.iterate('SELECT id, document FROM containers')) {
      try {
        this.#hold(JSON.parse(String(row['document'])) as ContainerRecord);
      } catch (error) {
        this.broken.push({ id: String(row['id']), reason: String(error) });
      }
    }
  }

  list(): readonly ContainerRecord[] {
    return [...this.#byId.values()];
  }

  byId(id: string): ContainerRecord | undefined {
    return this.#byId.get(id);
  }

  /** By id, name or unique id prefix. @throws {CodedError} `invalid_argument` when a prefix is ambiguous. */
  find(nameOrId: string): ContainerRecord | undefined {
    const exact = this.#byId.get(nameOrId);
    if (exact !== undefined) return exact;
    const named = this.#idByName.get(nameOrId.startsWith('/') ? nameOrId.slice(1) : nameOrId);
    if (named !== undefined) return this.#byId.get(named);
    if (!/^[0-9a-f]{1,64}$/.test(nameOrId)) return undefined;
    let found: ContainerRecord | undefined;
    for (const [id, record] of this.#byId) {
      if (!id.startsWith(nameOrId)) continue;
      if (found !== undefined) {
        throw new CodedError('invalid_argument', `multiple IDs found with provided prefix: ${nameOrId}`);
      }
      found = record;
    }
    return found;
  }

  /** @throws {CodedError} `not_found` with Docker's text. */
  get(nameOrId: string): ContainerRecord {
    const record = nameOrId === '' ? undefined : this.find(nameOrId);
    if (record !== undefined) return record;
    throw new CodedError('not_found', `No such container: ${nameOrId}`, {
      subject: { kind: 'container', name: nameOrId },
    });
  }

  /** @throws {CodedError} `conflict` with Docker's text when another container has the name. */
  checkNameFree(name: string): void {
    const id = this.#idByName.get(name);
    if (id === undefined) return;
    throw new CodedError(
      'conflict',
      `Conflict. The container name "/${name}" is already in use by container "${id}". You have to remove (or rename) that container to be able to reuse that name.`,
      { subject: { kind: 'container', name } },
    );
  }

  isNameTaken(name: string): boolean {
    return this.#idByName.has(name);
  }

  /** Adds a container. @throws {CodedError} `conflict`. */
  add(record: ContainerRecord): void {
    this.checkNameFree(record.name);
    // A row that cannot be read may have the name: nobody can name that container any more.
    this.#db.run(
      'INSERT OR REPLACE INTO containers (id, name, image_id, created_at, document) VALUES (?, ?, ?, ?, ?)',
      record.id,
      record.name,
      record.imageId,
      record.createdAt,
      JSON.stringify(record),
    );
    this.#hold(record);
  }

  /**
   * Changes a container. With `durable: false` only here: for facts that the keeper knows as well, of a container that
   * a restart of the host would remove.
   */
  change(
    id: string,
    changes: Partial<ContainerRecord>,
    options: { readonly durable?: boolean } = {},
  ): ContainerRecord {
    const old = this.#byId.get(id);
    if (old === undefined) throw new CodedError('not_found', `No such container: ${id}`);
    const record = { ...old, ...changes };
    if (record.name !== old.name) this.checkNameFree(record.name);
    if (options.durable !== false) {
      this.#db.run(
        'UPDATE containers SET name = ?, document = ? WHERE id = ?',
        record.name,
        JSON.stringify(record),
        id,
      );
    }
    if (record.name !== old.name) this.#idByName.delete(old.name);
    this.#hold(record);
    return record;
  }

  remove(id: string): void {
    const record = this.#byId.get(id);
    if (record === undefined) return;
    this.#db.run('DELETE FROM containers WHERE id = ?', id);
    this.#byId.delete(id);
    this.#idByName.delete(record.name);
  }

  #hold(record: ContainerRecord): void {
    this.#byId.set(record.id, record);
    this.#idByName.set(record.name, record.id);
  }
}
