/**
 * The token service.
 *
 *     GET  /token?service&scope&scope&client_id&offline_token=true&account    Basic or anonymous
 *          → {token, access_token, expires_in, issued_at, refresh_token?}
 *     POST /token   grant_type=password|refresh_token, service, client_id, scope, username, password,
 *                   refresh_token, access_type=offline
 *          → {access_token, scope, expires_in, issued_at, refresh_token?}
 *
 * What is granted is what was asked and what the account may do, whichever is less; less is not an error.
 * Spec: distribution, "Token Authentication Specification" and "Docker Registry v2 OAuth2 token".
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { SignJWT } from 'jose';
import { CodedError, messageOf } from '#base/errors/index.ts';
import type { Log } from '#base/log/index.ts';
import { isRepository } from '#oci/reference/index.ts';
import { registryErrorFor } from '#registry/protocol/index.ts';
import type { AccountDirectory, Subject } from '#registry/server/types.ts';
import { parseBasic, TOKEN_ISSUER } from './authenticator.ts';
import { TOKEN_ALGORITHM, type TokenKeys } from './keys.ts';
import type { LoginGuard } from './login-guard.ts';
import type { RefreshTokens } from './refresh.ts';
import { type Access, encodeScopes, grantedActions, parseScopes } from './scope.ts';

/** What the token service needs. */
export interface TokenServiceOptions {
  readonly keys: TokenKeys;
  readonly guard: LoginGuard;
  readonly directory: AccountDirectory;
  readonly refreshTokens: RefreshTokens;
  readonly service: string;
  readonly log: Log;
}

const LIFETIME_SECONDS = 300;
const FORM_LIMIT_BYTES = 64 * 1024;
const ANONYMOUS: Subject = { name: '' };

interface Ask {
  readonly subject: Subject;
  readonly scopes: readonly string[];
  readonly clientId: string;
  readonly isOffline: boolean;
  /** A refresh token that stays in use. */
  readonly refreshToken?: string;
}

/** Answers `/token`. */
export class TokenService {
  readonly #options: TokenServiceOptions;

  constructor(options: TokenServiceOptions) {
    this.#options = options;
  }

  /** Answers a request; never rejects. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const url = request.url ?? '';
      const query = new URLSearchParams(url.slice(url.indexOf('?') + 1));
      if (request.method === 'GET') {
        const { token, issuedAt, refreshToken } = await this.#issue(await this.#readQuery(request, query));
        send(response, 200, {
          token,
          access_token: token,
          expires_in: LIFETIME_SECONDS,
          issued_at: issuedAt,
          ...(refreshToken === undefined ? {} : { refresh_token: refreshToken }),
        });
      } else if (request.method === 'POST') {
        const { token, issuedAt, access, refreshToken } = await this.#issue(await this.#readForm(request));
        send(response, 200, {
          access_token: token,
          scope: encodeScopes(access),
          expires_in: LIFETIME_SECONDS,
          issued_at: issuedAt,
          ...(refreshToken === undefined ? {} : { refresh_token: refreshToken }),
        });
      } else {
        response.setHeader('Allow', 'GET, POST');
        throw new CodedError('unimplemented', `${request.method ?? ''} is not possible here`);
      }
    } catch (error) {
      this.#fail(response, error);
    }
  }

  async #readQuery(request: IncomingMessage, query: URLSearchParams): Promise<Ask> {
    this.#checkService(query.get('service'));
    const { authorization } = request.headers;
    let subject = ANONYMOUS;
    if (authorization !== undefined) {
      const basic = parseBasic(authorization);
      if (basic === undefined) throw new CodedError('unauthenticated', 'authentication required');
      subject = await this.#options.guard.verify(basic.name, basic.secret, addressOf(request));
    }
    return {
      subject,
      scopes: query.getAll('scope'),
      clientId: query.get('client_id') ?? '',
      isOffline: query.get('offline_token') === 'true',
    };
  }

  async #readForm(request: IncomingMessage): Promise<Ask> {
    const form = new URLSearchParams(await readText(request));
    this.#checkService(form.get('service'));
    const scopes = form.getAll('scope');
    const clientId = form.get('client_id') ?? '';
    const isOffline = form.get('access_type') === 'offline';
    switch (form.get('grant_type')) {
      case 'password': {
        const { guard } = this.#options;
        const secret = form.get('password') ?? '';
        const subject = await guard.verify(form.get('username') ?? '', secret, addressOf(request));
        return { subject, scopes, clientId, isOffline };
      }
      case 'refresh_token': {
        const refreshToken = form.get('refresh_token') ?? '';
        const { refreshTokens, service } = this.#options;
        const subject = await refreshTokens.find(refreshToken, service, new Date());
        if (subject === undefined) throw new CodedError('unauthenticated', 'the refresh token is not valid');
        return { subject, scopes, clientId, isOffline: false, refreshToken };
      }
      default:
        throw new CodedError('invalid_argument', 'grant_type must be password or refresh_token');
    }
  }

  #checkService(service: string | null): void {
    if (service === null || service === '' || service === this.#options.service) return;
    throw new CodedError('invalid_argument', `there is no service "${service.slice(0, 100)}" here`);
  }

  async #issue(ask: Ask) {
    const { keys, refreshTokens, service } = this.#options;
    const access = await this.#grant(ask.subject, ask.scopes);
    const now = new Date();
    const seconds = Math.floor(now.getTime() / 1000);
    const { credential, name } = ask.subject;
    const token = await new SignJWT({ access, ...(credential === undefined ? {} : { credential }) })
      .setProtectedHeader({ alg: TOKEN_ALGORITHM, typ: 'JWT', kid: keys.signing.kid })
      .setIssuer(TOKEN_ISSUER)
      .setSubject(name)
      .setAudience(service)
      .setIssuedAt(seconds)
      .setNotBefore(seconds)
      .setExpirationTime(seconds + LIFETIME_SECONDS)
      .setJti(randomUUID())
      .sign(keys.signing.key);
    const refreshToken =
      ask.refreshToken ??
      (ask.isOffline && name !== ''
        ? await refreshTokens.issue(ask.subject, service, ask.clientId, now)
        : undefined);
    return { token, access, issuedAt: now.toISOString(), refreshToken };
  }

  async #grant(subject: Subject, scopes: readonly string[]): Promise<readonly Access[]> {
    const granted: Access[] = [];
    for (const { type, name, actions } of parseScopes(scopes)) {
      if (type === 'registry' && name === 'catalog' && subject.name !== '')
        granted.push({ type, name, actions: ['*'] });
      if (type !== 'repository' || !isRepository(name)) continue;
      const rights = await this.#options.directory.rightsOf(subject, name);
      const allowed = grantedActions(actions, rights);
      if (allowed.length > 0) granted.push({ type, name, actions: allowed });
    }
    return granted;
  }

  #fail(response: ServerResponse, error: unknown): void {
    const answer = registryErrorFor(error);
    if (answer.hidden) this.#options.log.error('token request failed', { error: messageOf(error) });
    if (response.destroyed || response.headersSent) return;
    for (const [name, value] of Object.entries(answer.headers)) response.setHeader(name, value);
    if (answer.status === 401)
      response.setHeader('WWW-Authenticate', `Basic realm="${this.#options.service}"`);
    send(response, answer.status, answer.body);
  }
}

function addressOf(request: IncomingMessage): string {
  return request.socket.remoteAddress ?? '';
}

async function readText(request: IncomingMessage): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    size += (chunk as Uint8Array).byteLength;
    if (size > FORM_LIMIT_BYTES) {
      throw new CodedError('resource_exhausted', 'the form is too large', {
        subject: { kind: 'upload', name: '' },
      });
    }
    chunks.push(chunk as Uint8Array);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function send(response: ServerResponse, status: number, value: unknown): void {
  const body = JSON.stringify(value);
  response.writeHead(status, {
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
  });
  response.end(body);
}
