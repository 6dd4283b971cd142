import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decideRights, type PolicyInput } from './policy.ts';

const owner = { username: 'cynthia', isAdmin: false };
const other = { username: 'mallory', isAdmin: false };
const admin = { username: 'root', isAdmin: true };
const open = { visibility: 'public', tagMutability: 'mutable', immutablePatterns: [] } as const;
const closed = { visibility: 'private', tagMutability: 'mutable', immutablePatterns: [] } as const;
const frozen = { visibility: 'private', tagMutability: 'immutable', immutablePatterns: [] } as const;
const releases = { ...closed, tagMutability: 'patterns', immutablePatterns: ['v*', 'latest'] } as const;
const read = { scope: 'read', repositories: [] } as const;
const write = { scope: 'write', repositories: [] } as const;
const elsewhere = { scope: 'delete', repositories: ['cynthia/other'] } as const;

const rows: readonly [string, Omit<PolicyInput, 'repository'>, string][] = [
  ['nobody on a public repository', { account: undefined, token: undefined, settings: open }, 'pull'],
  ['nobody on a private repository', { account: undefined, token: undefined, settings: closed }, ''],
  ['nobody on a missing repository', { account: undefined, token: undefined, settings: undefined }, ''],
  ['a stranger on a public repository', { account: other, token: undefined, settings: open }, 'pull'],
  ['a stranger on a private repository', { account: other, token: undefined, settings: closed }, ''],
  ['a stranger on a missing repository', { account: other, token: undefined, settings: undefined }, ''],
  ['the owner', { account: owner, token: undefined, settings: closed }, 'delete overwrite pull push'],
  [
    'the owner, before the first push',
    { account: owner, token: undefined, settings: undefined },
    'delete overwrite pull push',
  ],
  [
    'the owner, with immutable tags',
    { account: owner, token: undefined, settings: frozen },
    'delete pull push',
  ],
  [
    'the owner, for a tag that fits a pattern',
    { account: owner, token: undefined, settings: releases, tag: 'v1' },
    'delete pull push',
  ],
  [
    'the owner, for a tag that fits none',
    { account: owner, token: undefined, settings: releases, tag: 'dev' },
    'delete overwrite pull push',
  ],
  [
    'the administrator, for a tag that fits a pattern',
    { account: admin, token: undefined, settings: releases, tag: 'latest' },
    'delete pull push',
  ],
  ['the administrator', { account: admin, token: undefined, settings: closed }, 'delete overwrite pull push'],
  ['the owner with a read token', { account: owner, token: read, settings: closed }, 'pull'],
  ['the owner with a write token', { account: owner, token: write, settings: closed }, 'overwrite pull push'],
  [
    'the owner with a token for another repository',
    { account: owner, token: elsewhere, settings: closed },
    '',
  ],
  ['the same token on a public repository', { account: owner, token: elsewhere, settings: open }, 'pull'],
  ['a stranger with a write token', { account: other, token: write, settings: closed }, ''],
];

for (const [who, input, want] of rows) {
  test(`decideRights gives ${who}: ${want || 'nothing'}`, () => {
    assert.equal([...decideRights({ ...input, repository: 'cynthia/demo-push' })].sort().join(' '), want);
  });
}

test('decideRights does not take a namespace for a prefix', () => {
  const rights = decideRights({
    account: { username: 'cyn', isAdmin: false },
    token: undefined,
    repository: 'cynthia/x',
    settings: closed,
  });
  assert.equal(rights.size, 0);
});
