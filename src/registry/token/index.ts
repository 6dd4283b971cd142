/** The server side of token authentication: what signs, issues and checks the bearer tokens of a registry. */
import { join } from 'node:path';
import type { SqlDatabase } from '#base/database/index.ts';
import type { Log } from '#base/log/index.ts';
import type { AccountDirectory, Authenticator } from '#registry/server/types.ts';
import { createTokenAuthenticator } from './authenticator.ts';
import { loadTokenKeys } from './keys.ts';
import { LoginGuard, type LoginLimits } from './login-guard.ts';
import { RefreshTokens, TOKEN_MIGRATIONS, type TokenTables } from './refresh.ts';
import { TokenService } from './service.ts';

export { LoginGuard, type LoginLimits } from './login-guard.ts';
export { type Access, parseScopes } from './scope.ts';

/** Options of `openTokenAuth`. */
export interface TokenAuthOptions {
  /** Folder of the hub; the keys are kept in it. */
  readonly root: string;
  readonly database: SqlDatabase<unknown>;
  readonly directory: AccountDirectory;
  readonly log: Log;
  /** The audience of the tokens; default `slipway-hub`. */
  readonly service?: string;
  /** The address people use, without a slash at the end. */
  readonly publicUrl?: string | undefined;
  readonly limits?: LoginLimits;
}

/** Token authentication of a hub: the two ends, and the guard that sign-ins by other ways should share. */
export interface TokenAuth {
  readonly authenticator: Authenticator;
  readonly service: TokenService;
  readonly guard: LoginGuard;
  readonly refreshTokens: RefreshTokens;
}

/** Opens the keys and tables of the token service. */
export async function openTokenAuth(options: TokenAuthOptions): Promise<TokenAuth> {
  const { directory, log, publicUrl, service = 'slipway-hub' } = options;
  const keys = await loadTokenKeys(join(options.root, 'token-keys.json'));
  const guard = new LoginGuard(directory, options.limits);
  const refreshTokens = new RefreshTokens(options.database.open<TokenTables>(TOKEN_MIGRATIONS));
  return {
    guard,
    refreshTokens,
    authenticator: createTokenAuthenticator({ keys, guard, service, publicUrl }),
    service: new TokenService({ keys, guard, directory, refreshTokens, service, log }),
  };
}
