/** A registry in this process, open to everybody, on a port of its own. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLog } from '#base/log/index.ts';
import { createHubServer } from '#hub/server/index.ts';
import {
  createRegistry,
  createSqlMetadata,
  type Grace,
  openAuthenticator,
  openAuthorizer,
  openFolderStorage,
  openRegistryDatabase,
  type Registry,
  type RegistryOptions,
} from '#registry/server/index.ts';

/** A registry under test. */
export interface TestRegistry extends AsyncDisposable {
  readonly url: string;
  readonly root: string;
  readonly registry: Registry;
  /** Stops it, keeping the folder. */
  stop(): Promise<void>;
}

/** Starts a registry over `root`, or over a fresh folder that goes when it is disposed. */
export async function startRegistry(
  options: Partial<RegistryOptions> & {
    readonly root?: string;
    readonly grace?: Grace;
    readonly minFreeBytes?: number;
  } = {},
): Promise<TestRegistry> {
  const root = options.root ?? (await mkdtemp(join(tmpdir(), 'slipway-registry-')));
  const database = openRegistryDatabase(join(root, 'hub.db'));
  const storage = await openFolderStorage({ root, minFreeBytes: options.minFreeBytes ?? 0 });
  const registry = createRegistry({
    metadata: createSqlMetadata(database, options.grace),
    storage,
    authenticator: openAuthenticator,
    authorizer: openAuthorizer,
    log: silentLog(),
    ...options,
  });
  await registry.recover(() => storage.listUploads());
  const hub = createHubServer({
    log: silentLog(),
    registry: (request, response) => registry.handle(request, response),
    checkReady: () => Promise.resolve(),
  });
  const url = await hub.listen({ host: '127.0.0.1', port: 0 });
  let isRunning = true;
  const stop = async (): Promise<void> => {
    if (!isRunning) return;
    isRunning = false;
    await hub.close(500);
    await registry.close();
    await storage.close();
    await database.close();
  };
  return {
    url,
    root,
    registry,
    stop,
    [Symbol.asyncDispose]: async () => {
      await stop();
      if (options.root === undefined) await rm(root, { recursive: true, force: true });
    },
  };
}
