import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Migrations, openSqliteDatabase } from './index.ts';

interface Tables {
  notes: { id: number; text: string };
}
const NOTES: Migrations = {
  component: 'notes',
  steps: ['CREATE TABLE notes (id {identity}, text TEXT NOT NULL UNIQUE)'],
};
const dir = mkdtempSync(join(tmpdir(), 'slipway-database-'));
after(() => rmSync(dir, { recursive: true }));
const pathOf = (name: string) => join(dir, `${name}.db`);

test('what was written is read, also after it was opened again', async () => {
  const path = pathOf('again');
  const first = openSqliteDatabase<Tables>(path, NOTES);
  await first.write((rows) => rows.insertInto('notes').values({ id: 1, text: 'one' }).execute());
  assert.equal((await first.read.selectFrom('notes').selectAll().execute()).length, 1);
  await first.close();
  await first.close();
  const second = openSqliteDatabase<Tables>(path, NOTES);
  assert.deepEqual(
    { ...(await second.read.selectFrom('notes').selectAll().executeTakeFirst()) },
    { id: 1, text: 'one' },
  );
  await second.close();
});

test('a throw rolls back, and the next transaction is not harmed', async () => {
  const database = openSqliteDatabase<Tables>(pathOf('rollback'), NOTES);
  const failing = database.write(async (rows) => {
    await rows.insertInto('notes').values({ id: 1, text: 'gone' }).execute();
    throw new Error('no');
  });
  const following = database.write((rows) =>
    rows.insertInto('notes').values({ id: 2, text: 'kept' }).execute(),
  );
  await assert.rejects(failing, /^Error: no$/);
  await following;
  assert.deepEqual(
    await database.read
      .selectFrom('notes')
      .select('text')
      .execute()
      .then((all) => all.map((row) => row.text)),
    ['kept'],
  );
  await database.close();
});

test('transactions run one after another, whatever they await', async () => {
  const database = openSqliteDatabase<Tables>(pathOf('serial'), NOTES);
  const add = () =>
    database.write(async (rows) => {
      const { count } = await rows
        .selectFrom('notes')
        .select((one) => one.fn.countAll<number>().as('count'))
        .executeTakeFirstOrThrow();
      await new Promise((resolve) => setImmediate(resolve));
      await rows
        .insertInto('notes')
        .values({ id: count + 1, text: `n${count}` })
        .execute();
    });
  await Promise.all(Array.from({ length: 50 }, add));
  assert.equal((await database.read.selectFrom('notes').selectAll().execute()).length, 50);
  await database.close();
});

test('two components keep their versions apart, and a newer one is refused', async () => {
  const path = pathOf('components');
  const database = openSqliteDatabase<Tables>(path, NOTES);
  const other = database.open<{ things: { id: number } }>({
    component: 'things',
    steps: ['CREATE TABLE things (id BIGINT)', 'CREATE INDEX things_by_id ON things (id)'],
  });
  await other.write((rows) => rows.insertInto('things').values({ id: 7 }).execute());
  await database.close();
  const raw = new DatabaseSync(path);
  raw.exec("UPDATE schema_versions SET version = 2 WHERE component = 'notes'");
  raw.close();
  assert.throws(() => openSqliteDatabase<Tables>(path, NOTES), { code: 'failed_precondition' });
});

test('a step that fails leaves nothing of itself', () => {
  const path = pathOf('step');
  const broken: Migrations = {
    component: 'notes',
    steps: ['CREATE TABLE a (x TEXT); CREATE TABLE a (x TEXT)'],
  };
  assert.throws(() => openSqliteDatabase<Tables>(path, broken), /already exists/);
  openSqliteDatabase<Tables>(path, NOTES).close();
});

test('a file that is no database is data loss', () => {
  const path = pathOf('garbage');
  writeFileSync(path, 'x'.repeat(5000));
  assert.throws(() => openSqliteDatabase<Tables>(path, NOTES), { code: 'data_loss' });
});

test('a long log is moved into the database beside the writes, and nothing of it is lost', async () => {
  const path = pathOf('checkpoint');
  const database = openSqliteDatabase<Tables>(path, NOTES);
  let count = 0;
  for (const end = Date.now() + 20_000; statSync(path).size < 4_000_000; ) {
    assert.ok(Date.now() < end, 'the log was never moved');
    const text = () => `${count} ${'x'.repeat(100_000)}`;
    for (let i = 0; i < 20; i++)
      await database.write((rows) =>
        rows.insertInto('notes').values({ id: ++count, text: text() }).execute(),
      );
    await sleep(50);
  }
  await database.close();
  const again = openSqliteDatabase<Tables>(path, NOTES);
  const { found } = await again.read
    .selectFrom('notes')
    .select((one) => one.fn.countAll<number>().as('found'))
    .executeTakeFirstOrThrow();
  assert.equal(found, count);
  await again.close();
});
