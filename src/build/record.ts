import type { Database } from '#store/metadata/index.ts';
import type { BuildRecord } from './types.ts';

/** Records kept; older ones go when a new one comes. */
const RECORD_LIMIT = 200;

/** Writes a record; inside the transaction of whoever calls. */
export function insertRecord(db: Database, record: BuildRecord): void {
  db.run(
    'INSERT OR REPLACE INTO build_records (id, created_at, document) VALUES (?, ?, ?)',
    record.id,
    record.startedAt,
    JSON.stringify(record),
  );
  db.run(
    `DELETE FROM build_records WHERE created_at <
       (SELECT created_at FROM build_records ORDER BY created_at DESC LIMIT 1 OFFSET ?)`,
    RECORD_LIMIT - 1,
  );
}

/** The newest records, newest first. */
export function listRecords(db: Database, limit: number): readonly BuildRecord[] {
  return db
    .all('SELECT document FROM build_records ORDER BY created_at DESC LIMIT ?', limit)
    .flatMap((row) => parseRecord(String(row['document'])) ?? []);
}

/** One that is damaged does not hide the others. */
function parseRecord(text: string): BuildRecord | undefined {
  try {
    return JSON.parse(text) as BuildRecord;
  } catch {
    return undefined;
  }
}
