/**
 * Tables of the accounts. Secrets are only here as hashes: argon2id for passwords, SHA-256 for the random ones.
 *
 *     accounts ─┬─ sessions        (browser cookies)
 *               ├─ tokens          (personal access tokens)
 *               └─ device_logins   (command lines that wait for an approval; state pending, approved or denied)
 */
import type { Generated } from 'kysely';
import type { Migrations } from '#base/database/index.ts';

/** Rows as Kysely sees them; times are milliseconds since 1970. */
export interface AccountTables {
  accounts: {
    id: Generated<number>;
    username: string;
    email: string;
    password_hash: string;
    is_admin: number;
    created_at: number;
    client_signed_in_at: number | null;
  };
  sessions: {
    secret_hash: string;
    account_id: number;
    created_at: number;
    expires_at: number;
    user_agent: string;
  };
  tokens: {
    id: string;
    account_id: number;
    secret_hash: string;
    description: string;
    scope: string;
    repositories: string;
    created_at: number;
    expires_at: number | null;
    last_used_at: number | null;
    is_active: number;
  };
  device_logins: {
    device_hash: string;
    user_hash: string;
    client: string;
    address: string;
    state: string;
    account_id: number | null;
    created_at: number;
    expires_at: number;
    polled_at: number;
    interval_ms: number;
  };
}

/** Steps of the accounts' schema. */
export const ACCOUNT_MIGRATIONS: Migrations = {
  component: 'account',
  steps: [
    `
    CREATE TABLE accounts (
      id {identity}, username TEXT NOT NULL UNIQUE, email TEXT NOT NULL UNIQUE, password_hash TEXT NOT NULL,
      is_admin INTEGER NOT NULL, created_at BIGINT NOT NULL, client_signed_in_at BIGINT);
    CREATE TABLE sessions (
      secret_hash TEXT NOT NULL PRIMARY KEY, account_id BIGINT NOT NULL, created_at BIGINT NOT NULL, expires_at BIGINT NOT NULL,
      user_agent TEXT NOT NULL) {clustered};
    CREATE INDEX sessions_by_account ON sessions (account_id);
    CREATE TABLE tokens (
      id TEXT NOT NULL PRIMARY KEY, account_id BIGINT NOT NULL, secret_hash TEXT NOT NULL UNIQUE, description TEXT NOT NULL,
      scope TEXT NOT NULL, repositories TEXT NOT NULL, created_at BIGINT NOT NULL, expires_at BIGINT, last_used_at BIGINT,
      is_active INTEGER NOT NULL) {clustered};
    CREATE INDEX tokens_by_account ON tokens (account_id);
    `,
    `
    CREATE TABLE device_logins (
      device_hash TEXT NOT NULL PRIMARY KEY, user_hash TEXT NOT NULL UNIQUE, client TEXT NOT NULL, address TEXT NOT NULL,
      state TEXT NOT NULL, account_id BIGINT, created_at BIGINT NOT NULL, expires_at BIGINT NOT NULL, polled_at BIGINT NOT NULL,
      interval_ms BIGINT NOT NULL) {clustered};
    CREATE INDEX device_logins_by_end ON device_logins (expires_at);
    `,
  ],
};
