/**
 * Sign-ins of command lines: a terminal shows a short code, and somebody who is signed in on the page approves it.
 *
 *     terminal: start ──► code ──► poll … poll ──► claim (once)
 *     page:                 └─► find ─► decide ──────┘
 *
 * After RFC 8628, with our own answers. Both codes are stored as hashes and found by them, so that comparing takes no
 * time that depends on a secret.
 */
import { randomInt } from 'node:crypto';
import type { SqlDatabase } from '#base/database/index.ts';
import { CodedError } from '#base/errors/index.ts';
import type { AccountRow } from './accounts.ts';
import { ACCOUNT_MIGRATIONS, type AccountTables } from './schema.ts';
import { hashSecret, newSecret } from './secrets.ts';

const LIFETIME_MS = 600_000;
const INTERVAL_MS = 2000;
const SLOWER_MS = 5000;
/** Clocks and networks are not exact: an answer a little early is no offence. */
const TOLERANCE_MS = 500;
const PER_ADDRESS = 20;
const PENDING_LIMIT = 10_000;
/** No vowels, so that no words appear, and nothing that looks like something else. */
const LETTERS = 'BCDFGHJKLMNPQRSTVWXZ';
const CODE_LENGTH = 8;

/** What the terminal gets. */
export interface StartedDeviceLogin {
  readonly deviceCode: string;
  /** `WDJB-MJHT`. */
  readonly userCode: string;
  readonly expiresInMs: number;
  readonly intervalMs: number;
}

/** What the page shows of a sign-in that waits. */
export interface PendingDeviceLogin {
  readonly client: string;
  readonly address: string;
  readonly createdAt: number;
  readonly expiresAt: number;
}

/** How a sign-in stands; `approved` is said once. */
export type DeviceLoginState =
  | { readonly state: 'pending' | 'slow_down' | 'expired' | 'denied' }
  | { readonly state: 'approved'; readonly accountId: number; readonly client: string };

/** Command lines that wait to be approved. */
export class DeviceLogins {
  readonly #db: SqlDatabase<AccountTables>;
  readonly #now: () => number;

  constructor(db: SqlDatabase<unknown>, now: () => number = Date.now) {
    this.#db = db.open<AccountTables>(ACCOUNT_MIGRATIONS);
    this.#now = now;
  }

  /** Begins a sign-in. @throws {CodedError} `resource_exhausted` when too many wait already. */
  async start(client: string, address: string): Promise<StartedDeviceLogin> {
    const deviceCode = newSecret('');
    const userCode = newUserCode();
    const now = this.#now();
    await this.#db.write(async (transaction) => {
      await transaction.deleteFrom('device_logins').where('expires_at', '<=', now).execute();
      const waiting = await transaction
        .selectFrom('device_logins')
        .select((select) => [
          select.fn.countAll<number>().as('all'),
          select.fn.sum<number>(select.case().when('address', '=', address).then(1).else(0).end()).as('own'),
        ])
        .executeTakeFirstOrThrow();
      if (Number(waiting.all) >= PENDING_LIMIT || Number(waiting.own) >= PER_ADDRESS) throw tooMany(address);
      await transaction
        .insertInto('device_logins')
        .values({
          device_hash: hashSecret(deviceCode),
          user_hash: hashSecret(userCode),
          client: client.slice(0, 100),
          address,
          state: 'pending',
          account_id: null,
          created_at: now,
          expires_at: now + LIFETIME_MS,
          polled_at: 0,
          interval_ms: INTERVAL_MS,
        })
        .execute();
    });
    return { deviceCode, userCode, expiresInMs: LIFETIME_MS, intervalMs: INTERVAL_MS };
  }

  /** The sign-in behind a code as people type it; `undefined` when it does not wait (any more). */
  async find(typed: string): Promise<PendingDeviceLogin | undefined> {
    const row = await this.#db.read
      .selectFrom('device_logins')
      .select(['client', 'address', 'created_at', 'expires_at'])
      .where('user_hash', '=', hashSecret(normalizeUserCode(typed)))
      .where('state', '=', 'pending')
      .where('expires_at', '>', this.#now())
      .executeTakeFirst();
    if (row === undefined) return undefined;
    return {
      client: row.client,
      address: row.address,
      createdAt: row.created_at,
      expiresAt: row.expires_at,
    };
  }

  /** Approves or refuses the sign-in behind a code; false when it does not wait (any more). */
  async decide(typed: string, account: AccountRow, decision: 'approved' | 'denied'): Promise<boolean> {
    return this.#db.write(async (transaction) => {
      const result = await transaction
        .updateTable('device_logins')
        .set({ state: decision, account_id: account.id })
        .where('user_hash', '=', hashSecret(normalizeUserCode(typed)))
        .where('state', '=', 'pending')
        .where('expires_at', '>', this.#now())
        .executeTakeFirst();
      return result.numUpdatedRows > 0n;
    });
  }

  /** How a sign-in stands. Asked too often, it says `slow_down` and wants to be asked less often from then on. */
  async poll(deviceCode: string): Promise<DeviceLoginState> {
    const hash = hashSecret(deviceCode);
    const now = this.#now();
    return this.#db.writeSoon(async (transaction): Promise<DeviceLoginState> => {
      const row = await transaction
        .selectFrom('device_logins')
        .selectAll()
        .where('device_hash', '=', hash)
        .executeTakeFirst();
      if (row === undefined || row.expires_at <= now) return { state: 'expired' };
      if (row.state === 'pending') {
        const isEarly = now - row.polled_at < row.interval_ms - TOLERANCE_MS;
        const intervalMs = row.interval_ms + (isEarly ? SLOWER_MS : 0);
        await transaction
          .updateTable('device_logins')
          .set({ polled_at: now, interval_ms: intervalMs })
          .where('device_hash', '=', hash)
          .execute();
        return { state: isEarly ? 'slow_down' : 'pending' };
      }
      // Whoever takes the row has the answer: a second poll finds nothing.
      await transaction.deleteFrom('device_logins').where('device_hash', '=', hash).execute();
      if (row.state !== 'approved' || row.account_id === null) return { state: 'denied' };
      return { state: 'approved', accountId: row.account_id, client: row.client };
    });
  }
}

/** What was typed, in the form in which codes are made: small letters, spaces and a missing dash are forgiven. */
function normalizeUserCode(typed: string): string {
  const letters = typed.slice(0, 40).toUpperCase().replace(/[\s-]/g, '');
  return `${letters.slice(0, CODE_LENGTH / 2)}-${letters.slice(CODE_LENGTH / 2)}`;
}

function newUserCode(): string {
  const letters = Array.from({ length: CODE_LENGTH }, () => LETTERS[randomInt(LETTERS.length)]).join('');
  return normalizeUserCode(letters);
}

function tooMany(address: string): CodedError {
  return new CodedError('resource_exhausted', 'too many sign-ins wait to be approved', {
    subject: { kind: 'rate', name: `address ${address}` },
    data: { retryAfterSeconds: 60 },
    help: { id: 'login/too-many-waiting', cause: 'each of them ends after ten minutes' },
  });
}
