/** An account directory in memory, and a registry in front of it, for tests. */
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLog } from '#base/log/index.ts';
import {
  type AccountDirectory,
  createRegistry,
  createSqlMetadata,
  openFolderStorage,
  openRegistryDatabase,
  REGISTRY_MIGRATIONS,
  type Registry,
  type Right,
  type Subject,
} from '#registry/server/index.ts';
import { openTokenAuth, type TokenAuth } from './index.ts';

/** Rights by subject and repository; the subject of nobody is empty. */
export class MemoryDirectory implements AccountDirectory {
  readonly passwords = new Map<string, string>();
  /** Access tokens: secret to name, id, and whether it may only read. */
  readonly tokens = new Map<
    string,
    { readonly name: string; readonly id: string; readonly readOnly: boolean }
  >();
  readonly rights = new Map<string, readonly Right[]>();

  grant(subject: string, repository: string, rights: readonly Right[]): void {
    this.rights.set(`${subject} ${repository}`, rights);
  }

  verifyPassword(name: string, secret: string): Promise<Subject | undefined> {
    if (this.passwords.get(name) === secret) return Promise.resolve({ name });
    const token = this.tokens.get(secret);
    return Promise.resolve(token?.name === name ? { name, credential: token.id } : undefined);
  }

  rightsOf(subject: Subject, repository: string): ReadonlySet<Right> {
    const all = new Set(this.rights.get(`${subject.name} ${repository}`) ?? []);
    if (subject.credential === undefined) return all;
    const token = [...this.tokens.values()].find((one) => one.id === subject.credential);
    if (token === undefined) return new Set();
    return token.readOnly ? new Set([...all].filter((right) => right === 'pull')) : all;
  }
}

/** A registry with token authentication. */
export interface TokenRegistry extends AsyncDisposable {
  readonly url: string;
  readonly root: string;
  readonly directory: MemoryDirectory;
  readonly auth: TokenAuth;
  readonly registry: Registry;
}

/** Starts one with the accounts `cynthia` (password `secret-of-cynthia`) and `bob`. */
export async function startTokenRegistry(): Promise<TokenRegistry> {
  const root = await mkdtemp(join(tmpdir(), 'slipway-token-'));
  const database = openRegistryDatabase(join(root, 'hub.db'));
  const storage = await openFolderStorage({ root });
  const directory = new MemoryDirectory();
  directory.passwords.set('cynthia', 'secret-of-cynthia').set('bob', 'secret-of-bob');
  directory.grant('cynthia', 'cynthia/app', ['pull', 'push', 'overwrite', 'delete']);
  directory.grant('bob', 'bob/app', ['pull', 'push', 'overwrite', 'delete']);
  directory.grant('bob', 'cynthia/app', ['pull']);
  for (const name of ['', 'cynthia', 'bob']) directory.grant(name, 'library/public', ['pull']);
  const tables = database.open<unknown>(REGISTRY_MIGRATIONS);
  const auth = await openTokenAuth({ root, database: tables, directory, log: silentLog() });
  const registry = createRegistry({
    metadata: createSqlMetadata(database),
    storage,
    authenticator: auth.authenticator,
    authorizer: directory,
    log: silentLog(),
  });
  const server = createServer((request, response) => {
    const handler = request.url?.startsWith('/token') ? auth.service : registry;
    void handler.handle(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    root,
    directory,
    auth,
    registry,
    [Symbol.asyncDispose]: async () => {
      await new Promise((resolve) => server.close(resolve).closeAllConnections());
      await registry.close();
      await storage.close();
      await database.close();
      await rm(root, { recursive: true, force: true });
    },
  };
}

/** `Authorization` of a name and a secret. */
export function basic(name: string, secret: string): { readonly authorization: string } {
  return { authorization: `Basic ${Buffer.from(`${name}:${secret}`).toString('base64')}` };
}
