import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cacheRights } from './rights.ts';
import type { Right, Subject } from './types.ts';

const CYNTHIA: Subject = { name: 'cynthia' };

function make() {
  let asked = 0;
  let now = 0;
  const database = { version: 1, shared: false };
  const rights = new Set<Right>(['pull', 'push']);
  const policy = {
    rightsOf: async () => {
      asked++;
      const answer = new Set(rights);
      await Promise.resolve();
      return answer;
    },
  };
  const cached = cacheRights(policy, database, () => now);
  return { cached, database, rights, asked: () => asked, advance: (ms: number) => (now += ms) };
}

test('the same question is asked once while nothing is written', async () => {
  const { cached, asked } = make();
  for (let i = 0; i < 5; i++) assert.ok((await cached.rightsOf(CYNTHIA, 'a/b')).has('push'));
  assert.equal(asked(), 1);
  await cached.rightsOf(CYNTHIA, 'a/c');
  await cached.rightsOf({ ...CYNTHIA, credential: 't1' }, 'a/b');
  await cached.rightsOf({ name: '' }, 'a/b');
  assert.equal(asked(), 4);
});

test('a write makes it be asked again, also one that came while it was being answered', async () => {
  const { cached, database, rights } = make();
  await cached.rightsOf(CYNTHIA, 'a/b');
  rights.delete('push');
  database.version++;
  const pending = cached.rightsOf(CYNTHIA, 'a/b');
  rights.delete('pull');
  database.version++;
  await pending;
  assert.equal((await cached.rightsOf(CYNTHIA, 'a/b')).size, 0);
});

test('an answer ages', async () => {
  const { cached, asked, advance } = make();
  await cached.rightsOf(CYNTHIA, 'a/b');
  advance(10_001);
  await cached.rightsOf(CYNTHIA, 'a/b');
  assert.equal(asked(), 2);
});
