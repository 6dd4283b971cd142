/** Puts the page and its API onto a hub, and keeps the catalog in step with what happens in the registry. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { SqlDatabase } from '#base/database/index.ts';
import { messageOf } from '#base/errors/index.ts';
import type { Log } from '#base/log/index.ts';
import { type Accounts, DeviceLogins } from '#hub/account/index.ts';
import {
  type Catalog,
  checkName,
  ImageCatalog,
  moveRepository,
  RetentionRunner,
  TagCatalog,
} from '#hub/catalog/index.ts';
import type { TagRemoval } from '#hub/protocol/index.ts';
import {
  createHubApi,
  createPage,
  createSearch,
  DeviceRoutes,
  type HubServer,
  type LiveEvents,
  RepositoryRoutes,
  TagRoutes,
} from '#hub/server/index.ts';
import { isDigest } from '#oci/digest/index.ts';
import type {
  Authenticator,
  BlobStorage,
  Registry,
  RegistryEvent,
  RemovalLimit,
} from '#registry/server/index.ts';
import { createHubImages, type HubImages } from './hub-images.ts';
import { VERSION } from './version.ts';

/** What the page works on. */
export interface HubPageOptions {
  readonly hub: HubServer;
  readonly registry: Registry;
  readonly tables: SqlDatabase<unknown>;
  readonly storage: BlobStorage;
  readonly authenticator: Authenticator;
  readonly accounts: Accounts;
  readonly catalog: Catalog;
  readonly live: LiveEvents;
  readonly limiter: { check(name: string, address: string): void; fail(name: string, address: string): void };
  readonly allowsSignUp: boolean;
  readonly isReadOnly: boolean;
  readonly publicUrl: string | undefined;
  readonly log: Log;
}

/** The built page: beside the bundle when published, in `web/dist` of a checkout. */
const PAGE_FOLDERS = [join(import.meta.dirname, 'web'), join(import.meta.dirname, '../../web/dist')];

/** Mounts `/api`, the search and the page; resolves what ends them. */
export function mountHubPage(options: HubPageOptions): () => Promise<void> {
  const { hub, registry, catalog, live, log, accounts } = options;
  const images = new ImageCatalog({
    db: options.tables,
    metadata: registry.metadata,
    storage: options.storage,
  });
  const tags = new TagCatalog({
    db: options.tables,
    describe: (repository, digest) => images.summarize(repository, digest),
    pendingPull: (repository, tag, digest) => catalog.pendingPull(repository, tag, digest),
  });
  const removeTags = async (
    repository: string,
    names: readonly string[],
    limit: RemovalLimit = {},
  ): Promise<TagRemoval> => {
    const removal = await registry.metadata.removeTags(repository, names, limit);
    for (const digest of removal.manifests) await tags.forgetManifest(repository, digest);
    const [tag = null, ...more] = removal.tags;
    if (tag !== null) live.publish({ kind: 'delete', repository, tag: more.length === 0 ? tag : null });
    return removal;
  };
  const retention = new RetentionRunner({
    db: options.tables,
    catalog,
    tags,
    metadata: registry.metadata,
    removeTags,
    log: log.with({ part: 'retention' }),
  });
  if (!options.isReadOnly) retention.start();
  const repositories = new RepositoryRoutes({
    catalog,
    async deleteContent(repository) {
      await tags.forgetRepository(repository);
      await registry.metadata.deleteRepository(repository);
    },
    async moveRepository(from, namespace, name) {
      const to = checkName(namespace, name);
      await catalog.flush();
      await moveRepository(options.tables, from, to);
      registry.metadata.refresh();
      live.publish({ kind: 'move', repository: from, to });
    },
    hasAccount: async (username) => (await accounts.findByName(username)) !== undefined,
    publishDelete: (repository, tag) => live.publish({ kind: 'delete', repository, tag }),
  });
  const { allowsSignUp, isReadOnly, limiter, publicUrl } = options;
  const devices = new DeviceRoutes({
    accounts,
    devices: new DeviceLogins(options.tables),
    live,
    limiter,
    publicUrl,
  });
  const onError = (error: unknown): void => log.error('page request failed', { error: messageOf(error) });
  const { tables, storage } = options;
  const { metadata } = registry;
  const looks = createHubImages({ tables, metadata, storage, catalog, images, publicUrl, onError });
  hub.mount(
    '/api',
    createHubApi({
      accounts,
      catalog,
      repositories,
      images: looks.routes,
      tags: new TagRoutes({
        catalog,
        tags,
        retention,
        previewRemoval: (repository, names) => registry.metadata.previewRemoval(repository, names),
        removeTags,
      }),
      devices,
      live,
      publicUrl,
      allowsSignUp,
      isReadOnly,
      limiter,
      version: VERSION,
      onError,
    }),
  );
  hub.mount('/v1', createSearch({ authenticator: options.authenticator, accounts, catalog, onError }));
  const page = createPage(PAGE_FOLDERS.find((folder) => existsSync(folder)) ?? '');
  if (page === undefined) log.warn('the page has not been built; the registry and the API work without it');
  else hub.mount('/', page);
  const unsubscribe = registry.subscribe(
    (event) => void observe(event, { catalog, tags, live, looks }).catch(onError),
  );
  return async () => {
    retention.stop();
    unsubscribe();
    live.close();
    await looks.close();
    await catalog.flush();
  };
}

async function observe(
  event: RegistryEvent,
  {
    catalog,
    tags,
    live,
    looks,
  }: {
    readonly catalog: Catalog;
    readonly tags: TagCatalog;
    readonly live: LiveEvents;
    readonly looks: HubImages;
  },
): Promise<void> {
  switch (event.kind) {
    case 'pull':
      catalog.countPull(
        event.repository,
        isDigest(event.reference) ? { digest: event.digest } : { tag: event.reference },
      );
      return;
    case 'push':
      await catalog.ensure(event.repository, event.subject);
      await tags.noteManifest(event.repository, event.digest, event.tags.length > 0);
      void looks.notePush(event.repository, event.digest);
      live.publish({ kind: 'push', repository: event.repository, tags: event.tags, digest: event.digest });
      return;
    case 'delete':
      if (event.digest !== undefined) await tags.forgetManifest(event.repository, event.digest);
      live.publish({ kind: 'delete', repository: event.repository, tag: event.tag ?? null });
  }
}
