/**
 * A Kysely database that is SQLite now and may be PostgreSQL behind the same interface.
 * Components bring their own migrations; they are remembered per component:
 *
 *     schema_versions (component, version)
 */
import { closeSync, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Kysely, type Transaction } from 'kysely';
import { CodedError, messageOf } from '#base/errors/index.ts';
import { sqliteDialect } from './dialect.ts';
import { Checkpointer, LogSync } from './durability.ts';

/**
 * The tables of one component. Each step is SQL with `{bytes}`, `{identity}` and `{clustered}` for what the dialects
 * spell differently; the position of a step is its version. Never edit a released step.
 */
export interface Migrations {
  readonly component: string;
  readonly steps: readonly string[];
}

/** An open database for the tables `S`. */
export interface SqlDatabase<S> {
  /** For queries outside a transaction. They see what is committed, also when it is not yet durable. */
  readonly read: Kysely<S>;
  /** Whether other processes may write to it too: then nobody may cache rows. */
  readonly shared: boolean;
  /** Grows with every committed transaction of this process: what was read at one version is true while it lasts. */
  readonly version: number;
  /** Runs `body` in one transaction and resolves when it is durable. A throw rolls back. */
  write<T>(body: (transaction: Transaction<S>) => Promise<T>): Promise<T>;
  /** As `write`, but resolves when others see it; durable after the next `flush` or `write`. */
  writeSoon<T>(body: (transaction: Transaction<S>) => Promise<T>): Promise<T>;
  /** Resolves when everything committed so far is durable. */
  flush(): Promise<void>;
  /** The same database seen through another component's tables, which it creates. */
  open<T>(migrations: Migrations): SqlDatabase<T>;
  close(): Promise<void>;
}

/** Pages (of 4 KiB) of log after which a commit moves it into the database itself, because the thread cannot keep up. */
const LOG_LIMIT_PAGES = 16_000;

const SQLITE_WORDS: Readonly<Record<string, string>> = {
  bytes: 'BLOB',
  identity: 'INTEGER PRIMARY KEY AUTOINCREMENT',
  clustered: 'WITHOUT ROWID',
};

/**
 * Opens (and creates) a SQLite database in WAL mode with the tables of one component.
 * @throws {CodedError} `data_loss` on corruption, `failed_precondition` when a newer Slipway wrote it.
 */
export function openSqliteDatabase<S>(path: string, migrations: Migrations): SqlDatabase<S> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const writer = new DatabaseSync(path);
  try {
    writer.exec(
      'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000; PRAGMA cache_size = -16000;',
    );
  } catch (error) {
    throw new CodedError('data_loss', `cannot open database "${path}": ${messageOf(error)}`, {
      cause: error,
    });
  }
  checkIntegrity(writer, path);
  writer.exec(
    'CREATE TABLE IF NOT EXISTS schema_versions (component TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID',
  );
  migrate(writer, path, migrations);
  const reader = new DatabaseSync(path, { readOnly: true });
  reader.exec('PRAGMA cache_size = -16000');
  return new SqliteDatabase<S>(path, writer, reader);
}

class SqliteDatabase<S> implements SqlDatabase<S> {
  readonly shared = false;
  readonly read: Kysely<S>;
  readonly #path: string;
  readonly #writer: DatabaseSync;
  readonly #reader: DatabaseSync;
  readonly #log: LogSync;
  readonly #checkpointer: Checkpointer;
  readonly #kysely: Kysely<S>;
  #open = true;
  #version = 0;

  constructor(path: string, writer: DatabaseSync, reader: DatabaseSync) {
    this.#path = path;
    this.#writer = writer;
    this.#reader = reader;
    // The schema was written with full syncs; from here on durability is LogSync's.
    writer.exec(`PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = ${LOG_LIMIT_PAGES}`);
    this.#log = new LogSync(`${path}-wal`);
    this.#checkpointer = new Checkpointer(path, this.#log, () => this.#version);
    this.read = new Kysely<S>({ dialect: sqliteDialect(reader) });
    this.#kysely = new Kysely<S>({ dialect: sqliteDialect(writer) });
  }

  async write<T>(body: (transaction: Transaction<S>) => Promise<T>): Promise<T> {
    const result = await this.writeSoon(body);
    await this.flush();
    return result;
  }

  get version(): number {
    return this.#version;
  }

  async writeSoon<T>(body: (transaction: Transaction<S>) => Promise<T>): Promise<T> {
    const result = await this.#kysely.transaction().execute(body);
    this.#version++;
    return result;
  }

  flush(): Promise<void> {
    return this.#log.sync();
  }

  open<T>(migrations: Migrations): SqlDatabase<T> {
    migrate(this.#writer, this.#path, migrations);
    // Kysely's type parameter is only a view: the connection, the lock and the log are the same.
    return this as unknown as SqlDatabase<T>;
  }

  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    try {
      // Whatever is being written ends first.
      await this.#kysely.transaction().execute(async () => undefined);
      await this.flush();
    } finally {
      await this.#checkpointer.close();
      closeSync(this.#log.fd);
      this.#reader.close();
      this.#writer.close();
    }
  }
}

/** Above this a start does not read the whole file; SQLite still recovers its log, and reads check page by page. */
const CHECK_LIMIT_BYTES = 64 * 1024 * 1024;

function checkIntegrity(database: DatabaseSync, path: string): void {
  if (statSync(path).size > CHECK_LIMIT_BYTES) return;
  let result: string;
  try {
    result = String(database.prepare('PRAGMA quick_check(1)').get()?.['quick_check'] ?? 'no answer');
  } catch (error) {
    result = messageOf(error);
  }
  if (result !== 'ok') throw new CodedError('data_loss', `cannot open database "${path}": ${result}`);
}

function migrate(database: DatabaseSync, path: string, migrations: Migrations): void {
  const { component, steps } = migrations;
  const row = database.prepare('SELECT version FROM schema_versions WHERE component = ?').get(component);
  const version = Number(row?.['version'] ?? 0);
  if (version > steps.length) {
    throw new CodedError(
      'failed_precondition',
      `cannot open database "${path}": its ${component} tables were written by a newer Slipway`,
    );
  }
  for (let next = version; next < steps.length; next++) {
    const sql = (steps[next] ?? '').replace(
      /\{(\w+)\}/g,
      (whole, word: string) => SQLITE_WORDS[word] ?? whole,
    );
    database.exec('BEGIN IMMEDIATE');
    try {
      database.exec(sql);
      database
        .prepare(
          'INSERT INTO schema_versions (component, version) VALUES (?, ?) ON CONFLICT (component) DO UPDATE SET version = excluded.version',
        )
        .run(component, next + 1);
      database.exec('COMMIT');
    } catch (error) {
      database.exec('ROLLBACK');
      throw error;
    }
  }
}
