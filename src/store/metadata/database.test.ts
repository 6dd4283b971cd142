import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createDurability, type Database, dropLostRows, openDatabase } from './index.ts';

function withDatabase<T>(
  body: (db: Database, dir: string) => T,
  how: { readonly isClosedByBody?: boolean } = {},
): T {
  const dir = mkdtempSync(join(tmpdir(), 'slipway-db-'));
  const db = openDatabase(join(dir, 'state.db'));
  const finish = (): void => {
    if (how.isClosedByBody !== true) db.close();
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    const result = body(db, dir);
    if (result instanceof Promise) return result.finally(finish) as T;
    finish();
    return result;
  } catch (error) {
    finish();
    throw error;
  }
}

const BLOB = 'INSERT INTO blobs (digest, size, created_at, unsynced_boot) VALUES (?, 1, 1, ?)';

test('a transaction that throws leaves nothing, a nested one joins the outer', () =>
  withDatabase((db) => {
    assert.throws(() =>
      db.transaction(() => {
        db.run(BLOB, 'a', null);
        db.transaction(() => db.run(BLOB, 'b', null));
        throw new Error('stop');
      }),
    );
    assert.deepEqual(db.all('SELECT * FROM blobs'), []);
    assert.equal(db.run(BLOB, 'a', null), 1);
  }));

test('late writes are seen at once, are committed with the next write or at the end of the turn, and wait for nothing', () =>
  withDatabase(
    async (db, dir) => {
      const elsewhere = new DatabaseSync(join(dir, 'state.db'), { readOnly: true });
      const committed = (): unknown[] =>
        elsewhere
          .prepare('SELECT digest FROM blobs ORDER BY digest')
          .all()
          .map((row) => row['digest']);
      try {
        db.runLate(BLOB, 'a', null);
        db.runLate(BLOB, 'b', null);
        assert.equal(db.all('SELECT digest FROM blobs').length, 2);
        assert.deepEqual(committed(), []);
        assert.equal(db.get('PRAGMA synchronous')?.['synchronous'], 1);
        await nextTurn();
        assert.deepEqual(committed(), ['a', 'b']);
        db.runLate(BLOB, 'c', null);
        assert.throws(() =>
          db.transaction(() => {
            db.runLate(BLOB, 'd', null);
            assert.equal(db.get('PRAGMA synchronous')?.['synchronous'], 2);
            throw new Error('stop');
          }),
        );
        assert.deepEqual(committed(), ['a', 'b', 'c'], 'a late write inside a transaction is part of it');
        db.runLate(BLOB, 'e', null);
        db.run('DELETE FROM blobs WHERE digest = ?', 'a');
        assert.deepEqual(committed(), ['b', 'c', 'e']);
        db.runLate(BLOB, 'f', null);
      } finally {
        elsewhere.close();
      }
      db.close();
      const again = new DatabaseSync(join(dir, 'state.db'));
      assert.equal(again.prepare('SELECT count(*) AS n FROM blobs').get()?.['n'], 4);
      again.close();
    },
    { isClosedByBody: true },
  ));

test('only a transaction that asks for it goes without waiting for the disk, and no durable one hides in it', () =>
  withDatabase((db) => {
    const level = (): unknown => db.get('PRAGMA synchronous')?.['synchronous'];
    const [normal, full] = [1, 2];
    assert.equal(
      db.transaction(() => level(), { durable: false }),
      normal,
    );
    assert.equal(
      db.transaction(() => level()),
      full,
    );
    db.runSoon(BLOB, 'soon', null);
    assert.equal(level(), normal);
    db.run('DELETE FROM blobs');
    assert.equal(level(), full);
    db.runSoon(BLOB, 'soon', null);
    assert.equal(db.get('DELETE FROM blobs RETURNING digest')?.['digest'], 'soon');
    assert.equal(level(), full);
    assert.throws(
      () => db.transaction(() => db.transaction(() => db.run(BLOB, 'a', null)), { durable: false }),
      { code: 'internal' },
    );
    assert.deepEqual(db.all('SELECT * FROM blobs'), []);
    assert.equal(
      db.transaction(() => db.transaction(() => level(), { durable: false })),
      full,
    );
  }));

test('what is run soon does not wait for the disk, and joins an open transaction', () =>
  withDatabase((db) => {
    assert.equal(db.runSoon(BLOB, 'a', null), 1);
    assert.throws(() =>
      db.transaction(() => {
        db.runSoon(BLOB, 'b', null);
        throw new Error('stop');
      }),
    );
    assert.deepEqual(
      db.all('SELECT digest FROM blobs').map((row) => row['digest']),
      ['a'],
    );
  }));

test('what follows a commit happens after it, once, and never after a throw', () =>
  withDatabase((db, dir) => {
    const seen: string[] = [];
    const reader = openDatabase(join(dir, 'state.db'));
    const note = (name: string) => (): void => {
      const committed = reader.all('SELECT digest FROM blobs').map((row) => row['digest']);
      seen.push(`${name} sees ${committed.join()}`);
    };
    db.transaction(() => {
      db.run(BLOB, 'a', null);
      db.transaction(() => db.afterCommit(note('first')));
      db.afterCommit(note('second'));
      assert.deepEqual(seen, []);
    });
    assert.throws(() =>
      db.transaction(() => {
        db.afterCommit(note('never'));
        throw new Error('stop');
      }),
    );
    db.afterCommit(note('now'));
    reader.close();
    assert.deepEqual(seen, ['first sees a', 'second sees a', 'now sees a']);
  }));

test('a database of a newer version and one that is no database are refused', () =>
  withDatabase((db, dir) => {
    db.run('PRAGMA user_version = 9999');
    assert.throws(() => openDatabase(join(dir, 'state.db')), { code: 'failed_precondition' });
    const path = join(dir, 'junk.db');
    writeFileSync(path, 'this is no database, it only has a name that looks like one'.repeat(100));
    assert.throws(() => openDatabase(path), { code: 'data_loss' });
  }));

test('settle makes every row durable that was there before', () =>
  withDatabase(async (db, dir) => {
    const durability = createDurability({ root: dir, db });
    assert.equal(durability.isPending(), false);
    db.run(BLOB, 'a', durability.bootId);
    db.run('INSERT INTO snapshots (created_at, unsynced_boot) VALUES (1, ?)', durability.bootId);
    assert.equal(durability.isPending(), true);
    await Promise.all([durability.settle(), durability.settle(), durability.settle()]);
    assert.equal(durability.isPending(), false);
    assert.deepEqual(dropLostRows(db, 'another boot'), { snapshotIds: [], digests: [] });
  }));

test('rows of an earlier boot that were never settled go with what is built on them', () =>
  withDatabase((db) => {
    db.run(BLOB, 'kept', null);
    db.run(BLOB, 'lost', 'boot-1');
    const insert =
      'INSERT INTO snapshots (id, parent_id, created_at, unsynced_boot, committed) VALUES (?, ?, 1, ?, 1)';
    db.run(insert, 1, null, null);
    db.run(insert, 2, 1, 'boot-1');
    db.run(insert, 3, 2, null);
    db.run('INSERT INTO snapshot_names VALUES (?, ?)', 'build/x', 2);
    db.run(
      "INSERT INTO build_cache (cache_key, snapshot_name, size, created_at, used_at, document) VALUES ('k', 'build/x', 1, 1, 1, '{}')",
    );
    assert.deepEqual(dropLostRows(db, 'boot-1'), { snapshotIds: [], digests: [] });
    assert.deepEqual(dropLostRows(db, 'boot-2'), { snapshotIds: [3, 2], digests: ['lost'] });
    assert.deepEqual(
      db.all('SELECT id FROM snapshots').map((row) => row['id']),
      [1],
    );
    assert.deepEqual(db.all('SELECT * FROM build_cache'), []);
  }));
