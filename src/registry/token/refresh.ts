import { createHash, randomBytes } from 'node:crypto';
import type { Migrations, SqlDatabase } from '#base/database/index.ts';
import type { Subject } from '#registry/server/types.ts';

/** Rows of refresh tokens; only the hash of a token is kept. */
export interface TokenTables {
  refresh_tokens: {
    hash: string;
    subject: string;
    credential: string | null;
    service: string;
    client_id: string;
    expires_at: number;
  };
}

/** Steps of the token service's schema. */
export const TOKEN_MIGRATIONS: Migrations = {
  component: 'token',
  steps: [
    `
    CREATE TABLE refresh_tokens (
      hash TEXT NOT NULL PRIMARY KEY, subject TEXT NOT NULL, credential TEXT, service TEXT NOT NULL, client_id TEXT NOT NULL,
      expires_at BIGINT NOT NULL) {clustered};
    CREATE INDEX refresh_tokens_by_subject ON refresh_tokens (subject);
    CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires_at);
    `,
  ],
};

const LIFETIME_MS = 90 * 24 * 60 * 60 * 1000;

/** Refresh tokens: bound to one subject and one audience, revocable. */
export class RefreshTokens {
  readonly #database: SqlDatabase<TokenTables>;

  constructor(database: SqlDatabase<TokenTables>) {
    this.#database = database;
  }

  /** Makes a token; this is the only time it is seen. */
  async issue(subject: Subject, service: string, clientId: string, now: Date): Promise<string> {
    const token = randomBytes(32).toString('base64url');
    await this.#database.write(async (rows) => {
      await rows.deleteFrom('refresh_tokens').where('expires_at', '<', now.getTime()).execute();
      await rows
        .insertInto('refresh_tokens')
        .values({
          hash: hashOf(token),
          subject: subject.name,
          credential: subject.credential ?? null,
          service,
          client_id: clientId.slice(0, 200),
          expires_at: now.getTime() + LIFETIME_MS,
        })
        .execute();
    });
    return token;
  }

  /** The subject of a token that is valid for this audience. */
  async find(token: string, service: string, now: Date): Promise<Subject | undefined> {
    const row = await this.#database.read
      .selectFrom('refresh_tokens')
      .select(['subject', 'credential'])
      .where('hash', '=', hashOf(token))
      .where('service', '=', service)
      .where('expires_at', '>', now.getTime())
      .executeTakeFirst();
    if (row === undefined) return undefined;
    return row.credential === null
      ? { name: row.subject }
      : { name: row.subject, credential: row.credential };
  }

  /** Makes every token of a subject useless. */
  async revokeAll(subject: string): Promise<void> {
    await this.#database.write((rows) =>
      rows.deleteFrom('refresh_tokens').where('subject', '=', subject).execute(),
    );
  }
}

/** The token has 256 random bits: a plain hash cannot be guessed back. */
function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}
