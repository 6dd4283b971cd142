/**
 * `X-Registry-Auth` and `X-Registry-Config`: JSON in base64 (URL or standard alphabet, padded or not).
 * Spec: Docker Engine API, "Authentication".
 */
import { CodedError } from '#base/errors/index.ts';
import { normalizeRegistry } from './docker-config.ts';
import type { CredentialSource, Credentials } from './types.ts';

const HEADER_LIMIT = 256 * 1024;

/**
 * Reads the value of `X-Registry-Auth`; an empty header or an empty object is no credentials.
 * @throws {CodedError} `invalid_argument` when it is not base64 of a JSON object.
 */
export function decodeRegistryAuth(header: string | undefined): Credentials | undefined {
  const value = decodeObject(header, 'X-Registry-Auth');
  return value === undefined ? undefined : credentialsOf(value);
}

/** Writes credentials as `X-Registry-Auth`; `registry` fills `serveraddress`. */
export function encodeRegistryAuth(credentials: Credentials, registry: string): string {
  const wire = {
    ...(credentials.username ? { username: credentials.username } : {}),
    ...(credentials.password ? { password: credentials.password } : {}),
    ...(credentials.identityToken ? { identitytoken: credentials.identityToken } : {}),
    ...(credentials.registryToken ? { registrytoken: credentials.registryToken } : {}),
    serveraddress: registry === 'docker.io' ? 'https://index.docker.io/v1/' : registry,
  };
  return padded(Buffer.from(JSON.stringify(wire)).toString('base64url'));
}

/**
 * Reads the value of `X-Registry-Config` (credentials for several registries, sent with a build).
 * @throws {CodedError} `invalid_argument`.
 */
export function decodeRegistryConfig(header: string | undefined): ReadonlyMap<string, Credentials> {
  const found = new Map<string, Credentials>();
  const value = decodeObject(header, 'X-Registry-Config');
  for (const [key, entry] of Object.entries(value ?? {})) {
    if (typeof entry !== 'object' || entry === null) continue;
    const credentials = credentialsOf(entry as Record<string, unknown>);
    if (credentials !== undefined) found.set(normalizeRegistry(key), credentials);
  }
  return found;
}

/** Writes `X-Registry-Config` from credentials by registry (`docker.io`, `localhost:5000`). */
export function encodeRegistryConfig(credentials: ReadonlyMap<string, Credentials>): string {
  const wire: Record<string, object> = {};
  for (const [registry, entry] of credentials) {
    const key = registry === 'docker.io' ? 'https://index.docker.io/v1/' : registry;
    wire[key] = JSON.parse(
      Buffer.from(encodeRegistryAuth(entry, registry), 'base64url').toString(),
    ) as object;
  }
  return padded(Buffer.from(JSON.stringify(wire)).toString('base64url'));
}

/** Credentials for exactly one registry: what `X-Registry-Auth` of a pull or push of that registry means. */
export function credentialsFor(registry: string, credentials: Credentials | undefined): CredentialSource {
  const wanted = normalizeRegistry(registry);
  return async (asked) => (normalizeRegistry(asked) === wanted ? credentials : undefined);
}

/** Credentials by registry: what `X-Registry-Config` of a build means. */
export function credentialsFrom(credentials: ReadonlyMap<string, Credentials>): CredentialSource {
  return async (asked) => credentials.get(normalizeRegistry(asked));
}

function decodeObject(header: string | undefined, name: string): Record<string, unknown> | undefined {
  if (header === undefined || header === '') return undefined;
  const refuse = (detail: string): CodedError =>
    new CodedError('invalid_argument', `cannot read ${name}: ${detail}`);
  if (header.length > HEADER_LIMIT) throw refuse('it is too long');
  if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(header)) throw refuse('it is not base64');
  let value: unknown;
  try {
    // Buffer reads both alphabets under either name.
    value = JSON.parse(Buffer.from(header, 'base64').toString('utf8'));
  } catch {
    throw refuse('it is not JSON'); // the parser's own message would repeat the secret
  }
  if (value === null) return undefined;
  if (typeof value !== 'object' || Array.isArray(value)) throw refuse('it is not a JSON object');
  return value as Record<string, unknown>;
}

function credentialsOf(value: Record<string, unknown>): Credentials | undefined {
  const text = (key: string): string => (typeof value[key] === 'string' ? value[key] : '');
  const [username, password] = text('auth') && !text('username') ? splitAuth(text('auth')) : ['', ''];
  const credentials: Credentials = {
    ...(text('username') || username ? { username: text('username') || username } : {}),
    ...(text('password') || password ? { password: text('password') || password } : {}),
    ...(text('identitytoken') ? { identityToken: text('identitytoken') } : {}),
    ...(text('registrytoken') ? { registryToken: text('registrytoken') } : {}),
  };
  return Object.keys(credentials).length === 0 ? undefined : credentials;
}

function splitAuth(auth: string): [string, string] {
  const text = Buffer.from(auth, 'base64').toString('utf8').replace(/\0+$/, '');
  const colon = text.indexOf(':');
  return colon < 0 ? ['', ''] : [text.slice(0, colon), text.slice(colon + 1)];
}

function padded(base64: string): string {
  return base64 + '='.repeat((4 - (base64.length % 4)) % 4);
}
