import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { CodedError, codeOf, messageOf } from '#base/errors/index.ts';
import { DiskReserve } from './reserve.ts';
import { MIGRATIONS } from './schema.ts';

/** What a column holds. Dates are milliseconds since 1970, booleans 0 or 1, documents JSON text. */
export type Value = string | number | bigint | null | Uint8Array;
/** A row by column name. */
export type Row = Record<string, Value>;

/**
 * The engine's one database: SQLite, WAL, synchronous=FULL, so that what `transaction` returned from is durable.
 * Statements are prepared once and kept. Calls are synchronous and short; never run a query whose cost grows with the
 * number of stored blobs on a path that people wait for.
 */
export interface Database {
  /** First row, or `undefined`. */
  get(sql: string, ...values: Value[]): Row | undefined;
  all(sql: string, ...values: Value[]): Row[];
  iterate(sql: string, ...values: Value[]): Iterable<Row>;
  /** Runs a statement; returns the number of changed rows. */
  run(sql: string, ...values: Value[]): number;
  /** As `run` in a transaction that is not durable: for what nobody was told of yet, or what a power loss may take. */
  runSoon(sql: string, ...values: Value[]): number;
  /**
   * As `runSoon`, committed with the next write of another kind or at the end of this turn of the event loop: for many small
   * writes that only this process is interested in. Every read sees them at once.
   */
  runLate(sql: string, ...values: Value[]): void;
  /** Calls `action` when the open transaction has been committed, or now when none is open: files go after their rows. */
  afterCommit(action: () => void): void;
  /**
   * Runs `body` in one IMMEDIATE transaction; a throw rolls back. Nested calls join the outer transaction. With
   * `durable: false` it survives a kill at once, and a power loss once any later durable transaction has returned: the
   * log is one file, and waiting for the disk covers all of it.
   * @throws {CodedError} `internal` for a durable transaction inside one that is not.
   */
  transaction<T>(body: () => T, options?: { readonly durable?: boolean }): T;
  close(): void;
}

/** Statements that change something and give rows. */
const WRITES = /^\s*(?:DELETE|INSERT|REPLACE|UPDATE)/i;

/**
 * Opens (and migrates) the database.
 * @throws {CodedError} `data_loss` when SQLite reports corruption, `failed_precondition` when a newer Slipway wrote it.
 */
export function openDatabase(path: string): Database {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const db = new DatabaseSync(path);
  try {
    checkIntegrity(db, path);
    db.exec(
      'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000;',
    );
    migrate(db, path);
  } catch (error) {
    db.close();
    throw error;
  }
  return wrap(db, new DiskReserve(`${path}.reserve`));
}

function checkIntegrity(db: DatabaseSync, path: string): void {
  let result: string;
  try {
    result = String(db.prepare('PRAGMA quick_check(1)').get()?.['quick_check'] ?? 'no answer');
  } catch (error) {
    result = messageOf(error);
  }
  if (result === 'ok') return;
  const fix =
    'restore it from a backup, or move it away: the engine begins anew, images can be pulled again, volumes stay';
  throw new CodedError(
    'data_loss',
    `cannot open database "${path}": it is damaged (${result.replaceAll('\n', ' ')}); ${fix}`,
    { subject: { kind: 'database', name: path } },
  );
}

function migrate(db: DatabaseSync, path: string): void {
  const version = Number(db.prepare('PRAGMA user_version').get()?.['user_version'] ?? 0);
  if (version > MIGRATIONS.length) {
    throw new CodedError(
      'failed_precondition',
      `cannot open database "${path}": it was written by a newer Slipway`,
    );
  }
  for (let next = version; next < MIGRATIONS.length; next++) {
    db.exec(`BEGIN IMMEDIATE; ${MIGRATIONS[next]}; PRAGMA user_version = ${next + 1}; COMMIT;`);
  }
}

function wrap(db: DatabaseSync, reserve: DiskReserve): Database {
  const statements = new Map<string, StatementSync>();
  let depth = 0;
  let isOuterDurable = true;
  let isSyncing = true;
  let isLateOpen = false;
  let followUps: (() => void)[] = [];
  const prepare = (sql: string): StatementSync => {
    let statement = statements.get(sql);
    if (statement === undefined) {
      statement = db.prepare(sql);
      statements.set(sql, statement);
    }
    return statement;
  };
  const database: Database = {
    get: (sql, ...values) => {
      if (WRITES.test(sql)) beginWrite(true);
      return prepare(sql).get(...values) as Row | undefined;
    },
    all: (sql, ...values) => {
      if (WRITES.test(sql)) beginWrite(true);
      return prepare(sql).all(...values) as Row[];
    },
    // A statement that is being iterated cannot be reused by a nested query: give it one of its own.
    iterate: (sql, ...values) => db.prepare(sql).iterate(...values) as Iterable<Row>,
    run: (sql, ...values) => {
      beginWrite(true);
      return withRoom(() => Number(prepare(sql).run(...values).changes));
    },
    runSoon: (sql, ...values) => database.transaction(() => database.run(sql, ...values), { durable: false }),
    runLate: (sql, ...values) => {
      if (depth === 0 && !isLateOpen) {
        setSyncing(false);
        prepare('BEGIN IMMEDIATE').run();
        isLateOpen = true;
        process.nextTick(commitLate);
      }
      prepare(sql).run(...values);
    },
    afterCommit: (action) => {
      if (depth > 0) followUps.push(action);
      else action();
    },
    transaction(body, { durable = true } = {}) {
      if (depth > 0) {
        if (durable && !isOuterDurable)
          throw new CodedError('internal', 'a durable transaction inside one that is not');
        return body();
      }
      beginWrite(durable);
      isOuterDurable = durable;
      let result: ReturnType<typeof body>;
      try {
        result = withRoom(() => runTransaction(body));
      } finally {
        isOuterDurable = true;
      }
      for (const action of followUps.splice(0)) action();
      return result;
    },
    close: () => {
      commitLate();
      db.close();
    },
  };
  return database;

  function beginWrite(isDurable: boolean): void {
    if (depth > 0) return;
    commitLate();
    setSyncing(isDurable);
  }

  function commitLate(): void {
    if (!isLateOpen) return;
    isLateOpen = false;
    try {
      prepare('COMMIT').run();
    } catch {
      // Nobody but this process wants them, and whoever writes next meets, and tells, the same trouble.
      if (db.isTransaction) db.exec('ROLLBACK');
    }
  }

  /** NORMAL leaves out the wait at the commit; it cannot be changed inside a transaction. Each change is parsed anew, so it is left as it is. */
  function setSyncing(isWanted: boolean): void {
    if (isSyncing === isWanted) return;
    db.exec(`PRAGMA synchronous = ${isWanted ? 'FULL' : 'NORMAL'}`);
    isSyncing = isWanted;
  }

  /** Runs `write`; when the disk is full, once more with the room that was kept for it. */
  function withRoom<T>(write: () => T): T {
    if (depth > 0) return write();
    try {
      const result = write();
      reserve.fill();
      return result;
    } catch (error) {
      const isFull = !(error instanceof CodedError) && codeOf(error) === 'resource_exhausted';
      if (!isFull || !reserve.release()) throw error;
      return write();
    }
  }

  function runTransaction<T>(body: () => T): T {
    prepare('BEGIN IMMEDIATE').run();
    depth++;
    try {
      const result = body();
      prepare('COMMIT').run();
      return result;
    } catch (error) {
      if (db.isTransaction) db.exec('ROLLBACK');
      followUps = [];
      throw error;
    } finally {
      depth--;
    }
  }
}
