import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openSqliteDatabase, type SqlDatabase } from '#base/database/index.ts';
import { CodedError } from '#base/errors/index.ts';
import { Accounts, DeviceLogins } from './index.ts';
import { checkPassword, hashPassword } from './secrets.ts';

interface Place {
  readonly db: SqlDatabase<unknown>;
  readonly accounts: Accounts;
  readonly path: string;
}

async function withAccounts(body: (place: Place) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'slipway-accounts-'));
  const path = join(dir, 'hub.db');
  const db = openSqliteDatabase<unknown>(path, { component: 'test', steps: [] });
  try {
    await body({ db, accounts: new Accounts(db), path });
  } finally {
    await db.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

const CYNTHIA = { username: 'cynthia', email: 'Cynthia@Example.org ', password: 'a long password' };

function failsWith(code: string, field?: string) {
  return (error: unknown) =>
    error instanceof CodedError &&
    error.code === code &&
    (field === undefined || error.subject?.name === field);
}

test('the first account is the administrator, the next is not; names and addresses are taken once', () =>
  withAccounts(async ({ accounts }) => {
    assert.equal(await accounts.isEmpty(), true);
    const first = await accounts.create(CYNTHIA);
    assert.deepEqual([first.isAdmin, first.email], [true, 'cynthia@example.org']);
    const second = await accounts.create({ ...CYNTHIA, username: 'dora', email: 'd@example.org' });
    assert.equal(second.isAdmin, false);
    await assert.rejects(
      accounts.create({ ...CYNTHIA, email: 'x@example.org' }),
      failsWith('already_exists', 'username'),
    );
    await assert.rejects(
      accounts.create({ ...CYNTHIA, username: 'eve' }),
      failsWith('already_exists', 'email'),
    );
    for (const username of ['a', 'A1', 'x y', '-x', 'library', 'activate', 'x'.repeat(31), '../x'])
      await assert.rejects(
        accounts.create({ ...CYNTHIA, username }),
        failsWith('invalid_argument', 'username'),
        username,
      );
    for (const password of ['short', 'x'.repeat(257)])
      await assert.rejects(
        accounts.create({ username: 'fay', email: 'f@example.org', password }),
        failsWith('invalid_argument', 'password'),
      );
    await assert.rejects(
      accounts.create({ username: 'long_username', email: 'f@example.org', password: 'LONG_username' }),
      failsWith('invalid_argument', 'password'),
    );
  }));

test('a password is checked by name or address, and a hash is never the same twice', () =>
  withAccounts(async ({ accounts }) => {
    await accounts.create(CYNTHIA);
    for (const login of ['cynthia', ' CYNTHIA', 'cynthia@EXAMPLE.org'])
      assert.equal((await accounts.verifyPassword(login, CYNTHIA.password))?.username, 'cynthia', login);
    for (const [login, password] of [
      ['cynthia', 'another password'],
      ['nobody', CYNTHIA.password],
      ['', ''],
    ] as const)
      assert.equal(await accounts.verifyPassword(login, password), undefined);
    const [one, two] = [await hashPassword('x'), await hashPassword('x')];
    assert.notEqual(one, two);
    assert.deepEqual(
      [await checkPassword('x', one), await checkPassword('y', one), await checkPassword('x', undefined)],
      [true, false, false],
    );
  }));

test('sessions end on the server, each for itself', () =>
  withAccounts(async ({ accounts }) => {
    const account = await accounts.create(CYNTHIA);
    const [a, b] = [
      await accounts.openSession(account, 'Firefox'),
      await accounts.openSession(account, 'x'.repeat(500)),
    ];
    assert.notEqual(a.secret, b.secret);
    assert.ok(a.expiresAt.getTime() > Date.now());
    await accounts.closeSession(a.secret);
    assert.equal(await accounts.findSession(a.secret), undefined);
    assert.equal((await accounts.findSession(b.secret))?.username, 'cynthia');
    assert.equal(await accounts.findSession(''), undefined);
  }));

test('a token signs its own account in, until it is switched off, deleted or over', () =>
  withAccounts(async ({ accounts, db }) => {
    const account = await accounts.create(CYNTHIA);
    const other = await accounts.create({ ...CYNTHIA, username: 'dora', email: 'd@example.org' });
    const { token, secret } = await accounts.createToken(account, {
      description: ' CI ',
      scope: 'read',
      expiresInDays: 1,
    });
    assert.equal(token.description, 'CI');
    assert.equal((await accounts.verifyClient('Cynthia', secret))?.token?.scope, 'read');
    assert.equal(await accounts.verifyClient('dora', secret), undefined, "nobody uses another's token");
    assert.equal(
      (await accounts.verifyClient('cynthia', CYNTHIA.password))?.token,
      undefined,
      'the password is not limited',
    );
    assert.deepEqual(
      [await accounts.setTokenActive(other, token.id, false), await accounts.deleteToken(other, token.id)],
      [false, false],
    );
    assert.equal(await accounts.setTokenActive(account, token.id, false), true);
    assert.deepEqual(
      [await accounts.verifyClient('cynthia', secret), await accounts.findUsableToken(token.id)],
      [undefined, undefined],
    );
    await accounts.setTokenActive(account, token.id, true);
    assert.equal((await accounts.findUsableToken(token.id))?.id, token.id);
    const tables = db as SqlDatabase<{ tokens: { id: string; expires_at: number } }>;
    await tables.write(async (transaction) => {
      await transaction
        .updateTable('tokens')
        .set({ expires_at: Date.now() - 1 })
        .where('id', '=', token.id)
        .execute();
    });
    assert.equal(await accounts.verifyClient('cynthia', secret), undefined, 'it is over');
    assert.equal(await accounts.deleteToken(account, token.id), true);
    assert.deepEqual(await accounts.listTokens(account), []);
    for (const [field, request] of [
      ['description', { description: ' ', scope: 'read' }],
      ['expiresInDays', { description: 'x', scope: 'read', expiresInDays: 0.5 }],
      ['scope', { description: 'x', scope: 'everything' as 'read' }],
    ] as const)
      await assert.rejects(accounts.createToken(account, request), failsWith('invalid_argument', field));
  }));

test('no secret is in the database file', () =>
  withAccounts(async ({ accounts, db, path }) => {
    const account = await accounts.create(CYNTHIA);
    const session = await accounts.openSession(account, '');
    const { secret } = await accounts.createToken(account, { description: 'x', scope: 'read' });
    const device = await new DeviceLogins(db).start('slipway', '127.0.0.1');
    await db.flush();
    const stored = readFileSync(path, 'latin1') + readFileSync(`${path}-wal`, 'latin1');
    assert.ok(stored.includes('cynthia@example.org'), 'the rows are there');
    for (const text of [CYNTHIA.password, session.secret, secret, device.deviceCode, device.userCode])
      assert.equal(stored.includes(text), false);
  }));

test('a device login is approved once, by a code as people type it', () =>
  withAccounts(async ({ accounts, db }) => {
    let now = 1_000_000;
    const devices = new DeviceLogins(db, () => now);
    const account = await accounts.create(CYNTHIA);
    const started = await devices.start('slipway 1 on laptop', '10.0.0.7');
    assert.match(started.userCode, /^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$/);
    assert.deepEqual(await devices.poll(started.deviceCode), { state: 'pending' });
    now += started.intervalMs;
    const typed = ` ${started.userCode.toLowerCase().replace('-', ' ')} `;
    assert.equal((await devices.find(typed))?.client, 'slipway 1 on laptop');
    assert.equal(await devices.find('BBBB-BBBB'), undefined);
    assert.equal(await devices.decide('BBBB-BBBB', account, 'approved'), false);
    assert.equal(await devices.decide(typed, account, 'approved'), true);
    assert.equal(await devices.decide(typed, account, 'denied'), false, 'it was decided');
    assert.equal(await devices.find(typed), undefined);
    const answers = await Promise.all([devices.poll(started.deviceCode), devices.poll(started.deviceCode)]);
    assert.deepEqual(answers.map(({ state }) => state).sort(), ['approved', 'expired'], 'one of two gets it');
    const approved = answers.find(({ state }) => state === 'approved');
    assert.equal(approved !== undefined && 'accountId' in approved ? approved.accountId : 0, account.id);
  }));

test('a device login that is refused, over, or asked about too often says so', () =>
  withAccounts(async ({ accounts, db }) => {
    let now = 1_000_000;
    const devices = new DeviceLogins(db, () => now);
    const account = await accounts.create(CYNTHIA);
    const refused = await devices.start('a', '::1');
    await devices.decide(refused.userCode, account, 'denied');
    assert.deepEqual(await devices.poll(refused.deviceCode), { state: 'denied' });
    const hasty = await devices.start('b', '::1');
    assert.deepEqual(await devices.poll(hasty.deviceCode), { state: 'pending' });
    now += 100;
    assert.deepEqual(await devices.poll(hasty.deviceCode), { state: 'slow_down' });
    now += hasty.intervalMs;
    assert.deepEqual(await devices.poll(hasty.deviceCode), { state: 'slow_down' }, 'the interval has grown');
    now += 60_000;
    assert.deepEqual(await devices.poll(hasty.deviceCode), { state: 'pending' });
    now += 600_000;
    assert.deepEqual(await devices.poll(hasty.deviceCode), { state: 'expired' });
    assert.equal(await devices.decide(hasty.userCode, account, 'approved'), false);
    assert.deepEqual(await devices.poll('made up'), { state: 'expired' });
  }));

test('one address cannot fill the list of device logins, and those that are over make room', () =>
  withAccounts(async ({ db }) => {
    let now = 1_000_000;
    const devices = new DeviceLogins(db, () => now);
    for (let i = 0; i < 20; i++) await devices.start('x', '10.0.0.1');
    await assert.rejects(devices.start('x', '10.0.0.1'), failsWith('resource_exhausted'));
    await devices.start('x', '10.0.0.2');
    now += 600_000;
    await devices.start('x', '10.0.0.1');
  }));
