import { normalizeRegistry } from '#registry/auth/index.ts';
import type { ImageTransfer } from '#registry/transfer/types.ts';
import type { RequestContext, Route } from '../core/index.ts';

/** What the auth route needs. */
export type AuthBackend = Pick<ImageTransfer, 'checkLogin'>;

interface AuthBody {
  readonly username: string;
  readonly password: string;
  readonly serveraddress: string;
  readonly identitytoken: string;
  readonly registrytoken: string;
}

/** `POST /auth`. */
export function createAuthRoutes(backend: AuthBackend): Route[] {
  return [
    {
      method: 'POST',
      path: '/auth',
      summary: 'Check credentials for a registry',
      handler: (context) => auth(backend, context),
    },
  ];
}

async function auth(backend: AuthBackend, context: RequestContext): Promise<void> {
  const body = (await context.readJson<AuthBody>()) ?? {};
  const text = (key: keyof AuthBody): string => (typeof body[key] === 'string' ? body[key] : '');
  const registry = normalizeRegistry(text('serveraddress') || 'https://index.docker.io/v1/');
  const { status, identityToken } = await backend.checkLogin(registry, {
    ...(text('username') ? { username: text('username') } : {}),
    ...(text('password') ? { password: text('password') } : {}),
    ...(text('identitytoken') ? { identityToken: text('identitytoken') } : {}),
    ...(text('registrytoken') ? { registryToken: text('registrytoken') } : {}),
  });
  context.sendJson(200, { IdentityToken: identityToken ?? '', Status: status });
}
