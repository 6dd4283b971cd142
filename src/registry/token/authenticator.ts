import { createHmac, randomBytes } from 'node:crypto';
import { decodeProtectedHeader, jwtVerify } from 'jose';
import { CodedError } from '#base/errors/index.ts';
import type { Authenticator, Credential, Identity, Subject } from '#registry/server/types.ts';
import { TOKEN_ALGORITHM, type TokenKeys } from './keys.ts';
import type { LoginGuard } from './login-guard.ts';
import { type Access, coversRight } from './scope.ts';

/** Who we are in tokens. */
export const TOKEN_ISSUER = 'slipway-hub';

/** What an authenticator needs. */
export interface TokenAuthenticatorOptions {
  readonly keys: TokenKeys;
  readonly guard: LoginGuard;
  /** The audience of our tokens. */
  readonly service: string;
  /** The address people use, such as `https://hub.example`; otherwise the Host header of the request, over http. */
  readonly publicUrl: string | undefined;
}

/** A password that was right stays right this long without being hashed again; rights are asked for every time. */
const PASSWORD_CACHE_MS = 30_000;
const CACHE_LIMIT = 2000;
const CLOCK_SKEW_SECONDS = 30;

interface Cached {
  readonly identity: Identity;
  /** On the monotonic clock. */
  readonly until: number;
}

const ANONYMOUS: Identity = { subject: { name: '' }, covers: () => true };

/** Checks bearer tokens of our own, and passwords or access tokens by Basic. */
export function createTokenAuthenticator(options: TokenAuthenticatorOptions): Authenticator {
  return new TokenAuthenticator(options);
}

class TokenAuthenticator implements Authenticator {
  readonly open = false;
  readonly #options: TokenAuthenticatorOptions;
  readonly #cache = new Map<string, Cached>();
  /** What is kept of a header is useless without this, which never leaves the process. */
  readonly #cacheKey = randomBytes(32);

  constructor(options: TokenAuthenticatorOptions) {
    this.#options = options;
  }

  async authenticate({ authorization, address }: Credential): Promise<Identity> {
    if (authorization === undefined) return ANONYMOUS;
    const key = createHmac('sha256', this.#cacheKey).update(authorization).digest('base64');
    const cached = this.#cache.get(key);
    if (cached !== undefined && cached.until > performance.now()) return cached.identity;
    const { identity, validMs } = await this.#check(authorization, address);
    this.#cache.delete(key);
    this.#cache.set(key, { identity, until: performance.now() + validMs });
    if (this.#cache.size > CACHE_LIMIT) this.#cache.delete(this.#cache.keys().next().value ?? '');
    return identity;
  }

  challenge(request: Parameters<Authenticator['challenge']>[0]): string {
    const realm = `${this.#options.publicUrl ?? `http://${request.host}`}/token`;
    const parts = [`realm="${realm}"`, `service="${this.#options.service}"`];
    if (request.scope !== undefined) parts.push(`scope="${request.scope}"`);
    if (request.error !== undefined) parts.push(`error="${request.error}"`);
    return `Bearer ${parts.join(',')}`;
  }

  async #check(
    authorization: string,
    address: string,
  ): Promise<{ readonly identity: Identity; readonly validMs: number }> {
    const basic = parseBasic(authorization);
    if (basic !== undefined) {
      const subject = await this.#options.guard.verify(basic.name, basic.secret, address);
      return { identity: { subject, covers: () => true }, validMs: PASSWORD_CACHE_MS };
    }
    const token = /^bearer +([A-Za-z0-9._~+/=-]+)$/i.exec(authorization)?.[1];
    if (token === undefined) throw invalidToken('the Authorization header is neither Basic nor Bearer');
    return this.#checkToken(token);
  }

  async #checkToken(token: string): Promise<{ readonly identity: Identity; readonly validMs: number }> {
    let claims: Awaited<ReturnType<typeof jwtVerify>>['payload'];
    try {
      const { kid } = decodeProtectedHeader(token);
      const key = this.#options.keys.find(kid ?? '');
      if (key === undefined) throw new Error('it was not signed here');
      ({ payload: claims } = await jwtVerify(token, key, {
        algorithms: [TOKEN_ALGORITHM],
        issuer: TOKEN_ISSUER,
        audience: this.#options.service,
        clockTolerance: CLOCK_SKEW_SECONDS,
        requiredClaims: ['sub', 'exp', 'nbf', 'access'],
      }));
    } catch (error) {
      throw invalidToken(error instanceof Error ? error.message : String(error));
    }
    const access = (claims['access'] ?? []) as readonly Access[];
    const credential = claims['credential'];
    const subject: Subject = {
      name: claims.sub ?? '',
      ...(typeof credential === 'string' ? { credential } : {}),
    };
    const validMs = Math.max(0, (claims.exp ?? 0) * 1000 - Date.now());
    return {
      identity: { subject, covers: (repository, right) => coversRight(access, repository, right) },
      validMs,
    };
  }
}

/** Name and secret of a Basic header; `undefined` if it is another scheme. */
export function parseBasic(
  authorization: string,
): { readonly name: string; readonly secret: string } | undefined {
  const encoded = /^basic +([A-Za-z0-9+/=_-]*)$/i.exec(authorization)?.[1];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon < 0
    ? { name: text, secret: '' }
    : { name: text.slice(0, colon), secret: text.slice(colon + 1) };
}

function invalidToken(detail: string): CodedError {
  return new CodedError('unauthenticated', 'authentication required', {
    data: { tokenError: 'invalid_token', detail },
  });
}
