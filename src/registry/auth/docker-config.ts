/**
 * Docker's `config.json`, the file `docker login` writes; docker, podman and we share it.
 *
 *     { "auths": { "https://index.docker.io/v1/": { "auth": base64("user:password"), "identitytoken": "…" } },
 *       "credsStore": "secretservice", "credHelpers": { "reg.example": "ecr-login" }, "currentContext": "…" }
 */
import { chmod, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CodedError, isSystemError, messageOf } from '#base/errors/index.ts';
import { type CredentialHelper, createCredentialHelper } from './helper.ts';
import type { Credentials } from './types.ts';

/** Key under which Docker Hub's credentials are stored. */
export const HUB_KEY = 'https://index.docker.io/v1/';

/** The file's content; unknown keys are kept when it is written back. */
export interface DockerConfig {
  readonly auths?: Readonly<Record<string, StoredAuth>>;
  readonly credsStore?: string;
  readonly credHelpers?: Readonly<Record<string, string>>;
  readonly currentContext?: string;
  readonly HttpHeaders?: Readonly<Record<string, string>>;
  readonly detachKeys?: string;
  readonly proxies?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly psFormat?: string;
  readonly imagesFormat?: string;
}

interface StoredAuth {
  readonly auth?: string;
  readonly username?: string;
  readonly password?: string;
  readonly identitytoken?: string;
  readonly registrytoken?: string;
}

/** Where credentials went: a helper's name, or the path of the file that now holds them unencrypted. */
export interface StoredPlace {
  readonly helper?: string;
  readonly path?: string;
}

/** Credentials as the user's `config.json` and credential helpers keep them. */
export interface CredentialStore {
  readonly path: string;
  find(registry: string): Promise<Credentials | undefined>;
  store(registry: string, credentials: Credentials): Promise<StoredPlace>;
  /** Returns whether something was stored. */
  erase(registry: string): Promise<boolean>;
  /** Registries with stored credentials and the user names, helpers included. */
  list(): Promise<ReadonlyMap<string, string>>;
}

/** `docker.io` for each of Docker Hub's names and URLs, else the host with port; scheme, path and case do not matter. */
export function normalizeRegistry(registry: string): string {
  const host =
    registry
      .replace(/^https?:\/\//i, '')
      .split('/')[0]
      ?.toLowerCase() ?? '';
  return host === 'index.docker.io' || host === 'registry-1.docker.io' ? 'docker.io' : host;
}

/**
 * Reads `config.json`; a missing file is an empty config.
 * @throws {CodedError} `permission_denied` (help `config/owner`) or `invalid_argument` when it is no JSON.
 */
export async function loadDockerConfig(path: string): Promise<DockerConfig> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return {};
    throw await configError(error, path);
  }
  if (text.trim() === '') return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new CodedError('invalid_argument', `WARNING: Error loading config file: ${path}: it is not JSON`);
  }
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};
}

/** Opens the credentials of the `config.json` at `path`. The file is read anew for each call: other programs write it. */
export function createCredentialStore(path: string): CredentialStore {
  return {
    path,
    async find(registry) {
      const config = await loadDockerConfig(path);
      const helper = helperFor(config, registry);
      if (helper !== undefined) return helper.helper.find(keyFor(registry));
      const entry = findEntry(config, registry);
      return entry === undefined ? undefined : readEntry(entry[1]);
    },
    async store(registry, credentials) {
      const config = await loadDockerConfig(path);
      const helper = helperFor(config, registry);
      if (helper !== undefined) {
        await helper.helper.store(keyFor(registry), credentials);
        await writeConfig(path, {
          ...config,
          auths: { ...withoutEntry(config, registry), [keyFor(registry)]: {} },
        });
        return { helper: helper.name };
      }
      const auths = { ...withoutEntry(config, registry), [keyFor(registry)]: writeEntry(credentials) };
      await writeConfig(path, { ...config, auths });
      return { path };
    },
    async erase(registry) {
      const config = await loadDockerConfig(path);
      const helper = helperFor(config, registry);
      const had = findEntry(config, registry) !== undefined;
      if (helper !== undefined) await helper.helper.erase(keyFor(registry));
      if (had) await writeConfig(path, { ...config, auths: withoutEntry(config, registry) });
      return had;
    },
    async list() {
      const config = await loadDockerConfig(path);
      const found = new Map<string, string>();
      if (config.credsStore) {
        for (const [server, user] of await createCredentialHelper(config.credsStore).list())
          found.set(normalizeRegistry(server), user);
      }
      for (const [key, entry] of Object.entries(config.auths ?? {})) {
        const credentials = readEntry(entry);
        if (credentials !== undefined) found.set(normalizeRegistry(key), credentials.username ?? '');
      }
      return found;
    },
  };
}

function keyFor(registry: string): string {
  const host = normalizeRegistry(registry);
  return host === 'docker.io' ? HUB_KEY : host;
}

function helperFor(
  config: DockerConfig,
  registry: string,
): { name: string; helper: CredentialHelper } | undefined {
  const wanted = normalizeRegistry(registry);
  const own = Object.entries(config.credHelpers ?? {}).find(([key]) => normalizeRegistry(key) === wanted);
  const name = own?.[1] ?? config.credsStore;
  return name ? { name, helper: createCredentialHelper(name) } : undefined;
}

function findEntry(config: DockerConfig, registry: string): [string, StoredAuth] | undefined {
  const entries = Object.entries(config.auths ?? {});
  const wanted = normalizeRegistry(registry);
  return (
    entries.find(([key]) => key === keyFor(registry)) ??
    entries.find(([key]) => normalizeRegistry(key) === wanted)
  );
}

function withoutEntry(config: DockerConfig, registry: string): Record<string, StoredAuth> {
  const wanted = normalizeRegistry(registry);
  return Object.fromEntries(
    Object.entries(config.auths ?? {}).filter(([key]) => normalizeRegistry(key) !== wanted),
  );
}

function readEntry(entry: StoredAuth): Credentials | undefined {
  const plain = entry.auth ? Buffer.from(entry.auth, 'base64').toString('utf8').replace(/\0+$/, '') : '';
  const colon = plain.indexOf(':');
  const username = colon < 0 ? entry.username : plain.slice(0, colon);
  const password = colon < 0 ? entry.password : plain.slice(colon + 1);
  const credentials: Credentials = {
    ...(username ? { username } : {}),
    ...(password ? { password } : {}),
    ...(entry.identitytoken ? { identityToken: entry.identitytoken } : {}),
    ...(entry.registrytoken ? { registryToken: entry.registrytoken } : {}),
  };
  return Object.keys(credentials).length === 0 ? undefined : credentials;
}

function writeEntry(credentials: Credentials): StoredAuth {
  const { username = '', password = '', identityToken } = credentials;
  const auth = Buffer.from(`${username}:${identityToken ? '' : password}`).toString('base64');
  return { auth, ...(identityToken ? { identitytoken: identityToken } : {}) };
}

/** Replaces the file in one step, readable by its owner only, and keeps the owner a `sudo` would otherwise take over. */
async function writeConfig(path: string, config: DockerConfig): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const before = await stat(path).catch(() => stat(dirname(path)));
    await using file = await open(temporary, 'wx', 0o600);
    await file.writeFile(`${JSON.stringify(config, null, '\t')}\n`);
    if (process.getuid?.() === 0 && before.uid !== 0) await file.chown(before.uid, before.gid);
    await file.sync();
    await chmod(temporary, 0o600);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw await configError(error, path);
  }
}

async function configError(error: unknown, path: string): Promise<CodedError> {
  if (!isSystemError(error, 'EACCES') && !isSystemError(error, 'EPERM')) {
    return new CodedError('internal', `cannot use config file ${path}: ${messageOf(error)}`, {
      cause: error,
    });
  }
  const owner = await stat(path)
    .catch(() => stat(dirname(path)))
    .catch(() => undefined);
  return new CodedError(
    'permission_denied',
    `WARNING: Error loading config file: ${path} - open ${path}: permission denied`,
    {
      cause: error,
      help: {
        id: 'config/owner',
        cause: `${path} belongs to ${owner?.uid === 0 ? 'root (an earlier "sudo docker login" made it)' : `user id ${owner?.uid ?? '?'}`}`,
        fix: [`sudo chown -R "$USER" ${dirname(path)}`],
      },
    },
  );
}

/** The path of `config.json` for a user: `$DOCKER_CONFIG/config.json` or `~/.docker/config.json`. */
export function dockerConfigPath(environment: {
  readonly dockerConfig?: string | undefined;
  readonly home: string;
}): string {
  return join(environment.dockerConfig || join(environment.home, '.docker'), 'config.json');
}
