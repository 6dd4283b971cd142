import type { Database, Row } from '#store/metadata/index.ts';
import type { CacheDocument, CacheRow } from './types.ts';

/** Rows of `build_cache`, with those of running builds that are not written yet in front. */
export class CacheRows {
  readonly #db: Database;
  readonly #pending = new Map<string, CacheRow>();
  readonly #pendingPositions = new Map<string, string>();
  readonly #used = new Set<string>();

  constructor(db: Database) {
    this.#db = db;
  }

  find(key: string): CacheRow | undefined {
    const pending = this.#pending.get(key);
    if (pending !== undefined) return pending;
    const row = this.#db.get('SELECT * FROM build_cache WHERE cache_key = ?', key);
    return row === undefined ? undefined : parseRow(row);
  }

  findPosition(position: string): string | undefined {
    const pending = this.#pendingPositions.get(position);
    if (pending !== undefined) return pending;
    const row = this.#db.get('SELECT cache_key FROM build_positions WHERE position = ?', position);
    return row === undefined ? undefined : String(row['cache_key']);
  }

  put(row: CacheRow, positions: readonly string[]): void {
    this.#pending.set(row.key, row);
    for (const position of positions) this.setPosition(position, row.key);
  }

  setPosition(position: string, key: string): void {
    this.#pendingPositions.set(position, key);
  }

  /** Changes the layer rows of a snapshot, written or not. */
  updateSnapshot(snapshot: string, change: (row: CacheRow) => CacheRow): void {
    const pending = [...this.#pending.values()].filter((row) => row.snapshot === snapshot);
    const written = this.#db
      .all('SELECT * FROM build_cache WHERE snapshot_name = ?', snapshot)
      .flatMap((row) => parseRow(row) ?? [])
      .filter(({ key }) => !this.#pending.has(key));
    for (const row of [...pending, ...written]) {
      if (row.document.kind === 'layer') this.#pending.set(row.key, change(row));
    }
  }

  markUsed(key: string): void {
    this.#used.add(key);
  }

  forget(key: string): void {
    this.#pending.delete(key);
    this.#used.delete(key);
    this.#db.run('DELETE FROM build_cache WHERE cache_key = ?', key);
  }

  /** Writes everything in one transaction, which `also` joins. A power loss may take it: then steps are run again. */
  flush(also: () => void = () => undefined): void {
    const now = Date.now();
    const write = (): void => {
      for (const row of this.#pending.values()) this.#write(row, now);
      for (const [position, key] of this.#pendingPositions) {
        this.#db.run(
          `INSERT INTO build_positions VALUES (?, ?, ?)
           ON CONFLICT (position) DO UPDATE SET cache_key = excluded.cache_key, used_at = excluded.used_at`,
          position,
          key,
          now,
        );
      }
      for (const key of this.#used)
        this.#db.run('UPDATE build_cache SET used_at = ? WHERE cache_key = ?', now, key);
      also();
    };
    this.#db.transaction(write, { durable: false });
    this.#pending.clear();
    this.#pendingPositions.clear();
    this.#used.clear();
  }

  #write(row: CacheRow, now: number): void {
    const { document } = row;
    this.#db.run(
      `INSERT INTO build_cache (cache_key, snapshot_name, diff_id, size, created_at, used_at, record_id, document)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (cache_key) DO UPDATE SET snapshot_name = excluded.snapshot_name, diff_id = excluded.diff_id,
         size = excluded.size, created_at = excluded.created_at, used_at = excluded.used_at,
         record_id = excluded.record_id, document = excluded.document`,
      row.key,
      row.snapshot,
      document.kind === 'layer' ? (document.layer?.diffId ?? null) : null,
      row.sizeBytes,
      row.createdAt,
      now,
      row.recordId,
      JSON.stringify(document),
    );
  }
}

/** Reads a row; one that is damaged is as good as none. */
export function parseRow(row: Row): CacheRow | undefined {
  const document = parseDocument(String(row['document']));
  if (document === undefined) return undefined;
  return {
    key: String(row['cache_key']),
    snapshot: String(row['snapshot_name']),
    sizeBytes: Number(row['size']),
    createdAt: Number(row['created_at']),
    recordId: String(row['record_id'] ?? ''),
    document,
  };
}

function parseDocument(text: string): CacheDocument | undefined {
  try {
    return JSON.parse(text) as CacheDocument;
  } catch {
    return undefined;
  }
}
