import { randomBytes } from 'node:crypto';
import type { Selectable } from 'kysely';
import type { SqlDatabase } from '#base/database/index.ts';
import { CodedError } from '#base/errors/index.ts';
import type { AccessToken, Account, CreateTokenRequest, TokenScope } from '#hub/protocol/index.ts';
import { isRepository } from '#oci/reference/index.ts';
import { ACCOUNT_MIGRATIONS, type AccountTables } from './schema.ts';
import { checkPassword, hashPassword, hashSecret, newSecret } from './secrets.ts';

const USERNAME = /^[a-z0-9][a-z0-9_-]{1,29}$/;
const EMAIL = /^[^\s@]{1,64}@[^\s@]{1,190}$/;
/** Namespaces that belong to nobody, or would shadow a path of the page. */
const RESERVED = new Set([
  'library',
  'api',
  'v2',
  'token',
  'assets',
  'explore',
  'settings',
  'signin',
  'signup',
  'new',
  'activate',
]);
const PASSWORD_MIN = 9;
const PASSWORD_MAX = 256;
const SESSION_MS = 30 * 24 * 3600_000;
const TOKEN_PREFIX = 'slp_';
const LAST_USED_STEP_MS = 60_000;
const DAY_MS = 24 * 3600_000;
const DAYS_MAX = 3650;
const REPOSITORIES_MAX = 100;

/** A row of the accounts. */
export interface AccountRow extends Account {
  readonly id: number;
}

/** How a client signed in: with the password, or with a token that narrows what it may do. */
export interface SignIn {
  readonly account: AccountRow;
  readonly token: AccessToken | undefined;
}

/** People, their sessions and tokens. */
export class Accounts {
  readonly #db: SqlDatabase<AccountTables>;

  /** Opens the tables beside those of the registry. */
  constructor(db: SqlDatabase<unknown>) {
    this.#db = db.open<AccountTables>(ACCOUNT_MIGRATIONS);
  }

  async isEmpty(): Promise<boolean> {
    return (
      (await this.#db.read.selectFrom('accounts').select('id').limit(1).executeTakeFirst()) === undefined
    );
  }

  /**
   * Adds an account; the first one is the administrator.
   * @throws {CodedError} `invalid_argument` (subject names the field), `already_exists`.
   */
  async create(request: {
    readonly username: string;
    readonly email: string;
    readonly password: string;
  }): Promise<AccountRow> {
    const { username, password } = request;
    const email = request.email.trim().toLowerCase();
    checkUsername(username);
    if (!EMAIL.test(email)) throw invalidField('email', 'this is not an email address');
    checkNewPassword(password, username);
    const passwordHash = await hashPassword(password);
    const id = await this.#db.write(async (transaction) => {
      const taken = await transaction
        .selectFrom('accounts')
        .select('username')
        .where((or) => or.or([or('username', '=', username), or('email', '=', email)]))
        .executeTakeFirst();
      if (taken !== undefined) {
        const field = taken.username === username ? 'username' : 'email';
        throw new CodedError('already_exists', `this ${field} is taken`, {
          subject: { kind: 'field', name: field },
        });
      }
      const first =
        (await transaction.selectFrom('accounts').select('id').limit(1).executeTakeFirst()) === undefined;
      const row = {
        username,
        email,
        password_hash: passwordHash,
        is_admin: first ? 1 : 0,
        created_at: Date.now(),
        client_signed_in_at: null,
      };
      const inserted = await transaction
        .insertInto('accounts')
        .values(row)
        .returning('id')
        .executeTakeFirstOrThrow();
      return inserted.id;
    });
    return this.get(id);
  }

  /** Checks a name (or email) and password; costs the same for a name nobody has. */
  async verifyPassword(login: string, password: string): Promise<AccountRow | undefined> {
    const column = login.includes('@') ? 'email' : 'username';
    const row = await this.#db.read
      .selectFrom('accounts')
      .selectAll()
      .where(column, '=', login.trim().toLowerCase())
      .executeTakeFirst();
    const isRight = await checkPassword(password.slice(0, PASSWORD_MAX), row?.password_hash);
    return isRight && row !== undefined ? accountOf(row) : undefined;
  }

  /** A client's sign-in: the secret may be the password or one of the account's tokens. */
  async verifyClient(username: string, secret: string): Promise<SignIn | undefined> {
    if (!secret.startsWith(TOKEN_PREFIX)) {
      const account = await this.verifyPassword(username, secret);
      return account === undefined ? undefined : { account, token: undefined };
    }
    const row = await this.#db.read
      .selectFrom('tokens')
      .selectAll()
      .where('secret_hash', '=', hashSecret(secret))
      .executeTakeFirst();
    if (row === undefined || !isUsable(row)) return undefined;
    const account = await this.get(row.account_id);
    if (account.username !== username.toLowerCase()) return undefined;
    await this.#noteUse(row);
    return { account, token: tokenOf(row) };
  }

  /** A token that is still good, by its id: asked whenever a credential made from it is used. */
  async findUsableToken(id: string): Promise<AccessToken | undefined> {
    const row = await this.#db.read.selectFrom('tokens').selectAll().where('id', '=', id).executeTakeFirst();
    return row !== undefined && isUsable(row) ? tokenOf(row) : undefined;
  }

  async findByName(username: string): Promise<AccountRow | undefined> {
    const row = await this.#db.read
      .selectFrom('accounts')
      .selectAll()
      .where('username', '=', username)
      .executeTakeFirst();
    return row === undefined ? undefined : accountOf(row);
  }

  /** Remembers that a container client signed in: the first-image guide shows it. */
  async noteClientSignIn(account: AccountRow): Promise<void> {
    await this.#db.writeSoon(async (transaction) => {
      await transaction
        .updateTable('accounts')
        .set({ client_signed_in_at: Date.now() })
        .where('id', '=', account.id)
        .execute();
    });
  }

  async hasClientSignIn(account: AccountRow): Promise<boolean> {
    const row = await this.#db.read
      .selectFrom('accounts')
      .select('client_signed_in_at')
      .where('id', '=', account.id)
      .executeTakeFirst();
    return row?.client_signed_in_at != null;
  }

  /** Opens a browser session with a new id; returns the cookie's secret. */
  async openSession(
    account: AccountRow,
    userAgent: string,
  ): Promise<{ readonly secret: string; readonly expiresAt: Date }> {
    const secret = newSecret('');
    const expiresAt = Date.now() + SESSION_MS;
    await this.#db.write(async (transaction) => {
      await transaction.deleteFrom('sessions').where('expires_at', '<', Date.now()).execute();
      await transaction
        .insertInto('sessions')
        .values({
          secret_hash: hashSecret(secret),
          account_id: account.id,
          created_at: Date.now(),
          expires_at: expiresAt,
          user_agent: userAgent.slice(0, 200),
        })
        .execute();
    });
    return { secret, expiresAt: new Date(expiresAt) };
  }

  async findSession(secret: string): Promise<AccountRow | undefined> {
    const row = await this.#db.read
      .selectFrom('sessions')
      .innerJoin('accounts', 'accounts.id', 'sessions.account_id')
      .selectAll('accounts')
      .where('sessions.secret_hash', '=', hashSecret(secret))
      .where('sessions.expires_at', '>', Date.now())
      .executeTakeFirst();
    return row === undefined ? undefined : accountOf(row);
  }

  async closeSession(secret: string): Promise<void> {
    await this.#db.write(async (transaction) => {
      await transaction.deleteFrom('sessions').where('secret_hash', '=', hashSecret(secret)).execute();
    });
  }

  async listTokens(account: AccountRow): Promise<readonly AccessToken[]> {
    const rows = await this.#db.read
      .selectFrom('tokens')
      .selectAll()
      .where('account_id', '=', account.id)
      .orderBy('created_at', 'desc')
      .execute();
    return rows.map(tokenOf);
  }

  /**
   * Makes a personal access token; the secret exists only in the answer.
   * @throws {CodedError} `invalid_argument` (subject names the field).
   */
  async createToken(
    account: AccountRow,
    request: CreateTokenRequest,
  ): Promise<{ readonly token: AccessToken; readonly secret: string }> {
    const description = request.description.trim();
    if (description === '' || description.length > 100)
      throw invalidField('description', 'say in 1 to 100 characters what the token is for');
    if (!isScope(request.scope)) throw invalidField('scope', 'choose read, write or delete');
    const repositories = checkRepositories(request.repositories ?? []);
    const expiresAt = expiryOf(request, Date.now());
    const secret = newSecret(TOKEN_PREFIX);
    const now = Date.now();
    const row: Selectable<AccountTables['tokens']> = {
      id: randomBytes(9).toString('base64url'),
      account_id: account.id,
      secret_hash: hashSecret(secret),
      description,
      scope: request.scope,
      repositories: JSON.stringify(repositories),
      created_at: now,
      expires_at: expiresAt,
      last_used_at: null,
      is_active: 1,
    };
    await this.#db.write(async (transaction) => {
      await transaction.insertInto('tokens').values(row).execute();
    });
    return { token: tokenOf(row), secret };
  }

  /** Switches a token of this account on or off; false if it has no such token. */
  async setTokenActive(account: AccountRow, id: string, active: boolean): Promise<boolean> {
    return this.#db.write(async (transaction) => {
      const query = transaction.updateTable('tokens').set({ is_active: active ? 1 : 0 });
      const result = await query.where('id', '=', id).where('account_id', '=', account.id).executeTakeFirst();
      return result.numUpdatedRows > 0n;
    });
  }

  async deleteToken(account: AccountRow, id: string): Promise<boolean> {
    return this.#db.write(async (transaction) => {
      const result = await transaction
        .deleteFrom('tokens')
        .where('id', '=', id)
        .where('account_id', '=', account.id)
        .executeTakeFirst();
      return result.numDeletedRows > 0n;
    });
  }

  /** @throws {CodedError} `not_found`. */
  async get(id: number): Promise<AccountRow> {
    const row = await this.#db.read
      .selectFrom('accounts')
      .selectAll()
      .where('id', '=', id)
      .executeTakeFirst();
    if (row === undefined) throw new CodedError('not_found', `account ${id} does not exist`);
    return accountOf(row);
  }

  /** At minute steps: a busy robot must not turn every request into a write. */
  async #noteUse(row: Selectable<AccountTables['tokens']>): Promise<void> {
    const now = Date.now();
    if (now - (row.last_used_at ?? 0) < LAST_USED_STEP_MS) return;
    await this.#db.writeSoon(async (transaction) => {
      await transaction.updateTable('tokens').set({ last_used_at: now }).where('id', '=', row.id).execute();
    });
  }
}

function checkUsername(username: string): void {
  if (!USERNAME.test(username)) {
    throw invalidField(
      'username',
      'use 2 to 30 lower-case letters, digits, "-" or "_", beginning with a letter or digit',
    );
  }
  if (RESERVED.has(username)) throw invalidField('username', `"${username}" is reserved`);
}

function checkNewPassword(password: string, username: string): void {
  if (password.length < PASSWORD_MIN)
    throw invalidField('password', `use at least ${PASSWORD_MIN} characters`);
  if (password.length > PASSWORD_MAX)
    throw invalidField('password', `use at most ${PASSWORD_MAX} characters`);
  if (password.toLowerCase() === username.toLowerCase())
    throw invalidField('password', 'the password must not be the username');
}

function invalidField(field: string, message: string): CodedError {
  return new CodedError('invalid_argument', message, { subject: { kind: 'field', name: field } });
}

/** When a token ends, or `null`. @throws {CodedError} `invalid_argument` about the field at fault. */
function expiryOf(request: CreateTokenRequest, now: number): number | null {
  const { expiresInDays: days, expiresAt: at } = request;
  if (typeof at === 'number') {
    if (Number.isSafeInteger(at) && at > now && at <= now + DAYS_MAX * DAY_MS) return at;
    throw invalidField('expiresAt', `choose a time to come, at most ${DAYS_MAX} days away`);
  }
  if (days === null || days === undefined) return null;
  if (Number.isInteger(days) && days >= 1 && days <= DAYS_MAX) return now + days * DAY_MS;
  throw invalidField('expiresInDays', `choose 1 to ${DAYS_MAX} days, or no end`);
}

/** Repositories need not exist yet: a push makes them. */
function checkRepositories(names: readonly string[]): readonly string[] {
  const distinct = [...new Set(names)];
  const wrong = distinct.find((name) => !isRepository(name) || !name.includes('/'));
  if (wrong !== undefined)
    throw invalidField('repositories', `"${wrong.slice(0, 100)}" is no repository, such as namespace/name`);
  if (distinct.length > REPOSITORIES_MAX)
    throw invalidField('repositories', `name at most ${REPOSITORIES_MAX} repositories`);
  return distinct;
}

function isScope(text: string): text is TokenScope {
  return text === 'read' || text === 'write' || text === 'delete';
}

function isUsable(row: Selectable<AccountTables['tokens']>): boolean {
  return row.is_active === 1 && (row.expires_at === null || row.expires_at > Date.now());
}

function accountOf(row: Selectable<AccountTables['accounts']>): AccountRow {
  return {
    id: row.id,
    username: row.username,
    email: row.email,
    isAdmin: row.is_admin === 1,
    createdAt: row.created_at,
  };
}

function tokenOf(row: Selectable<AccountTables['tokens']>): AccessToken {
  return {
    id: row.id,
    description: row.description,
    scope: isScope(row.scope) ? row.scope : 'read',
    repositories: JSON.parse(row.repositories) as string[],
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    lastUsedAt: row.last_used_at,
    isActive: row.is_active === 1,
  };
}
