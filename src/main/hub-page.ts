/** Puts the page and its API onto a hub, and keeps the catalog in step with what happens in the registry. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { SqlDatabase } from '#base/database/index.ts';
import { messageOf } from '#base/errors/index.ts';
import type { Log } from '#base/log/index.ts';
import { type Accounts, DeviceLogins } from '#hub/account/index.ts';
import { type Catalog, ImageCatalog } from '#hub/catalog/index.ts';
import {
  createHubApi,
  createPage,
  DeviceRoutes,
  type HubServer,
  LayerFileReader,
  type LiveEvents,
  RepositoryRoutes,
} from '#hub/server/index.ts';
import { type Digest, isDigest } from '#oci/digest/index.ts';
import type { BlobStorage, Registry, RegistryEvent, RegistryTables } from '#registry/server/index.ts';
import { VERSION } from './version.ts';

/** What the page works on. */
export interface HubPageOptions {
  readonly hub: HubServer;
  readonly registry: Registry;
  readonly tables: SqlDatabase<unknown>;
  readonly storage: BlobStorage;
  readonly accounts: Accounts;
  readonly catalog: Catalog;
  readonly live: LiveEvents;
  readonly limiter: { check(name: string, address: string): void; fail(name: string, address: string): void };
  readonly allowsSignUp: boolean;
  readonly publicUrl: string | undefined;
  readonly log: Log;
}

/** The built page: beside the bundle when published, in `web/dist` of a checkout. */
const PAGE_FOLDERS = [join(import.meta.dirname, 'web'), join(import.meta.dirname, '../../web/dist')];

/** Mounts `/api` and the page; resolves what ends them. */
export function mountHubPage(options: HubPageOptions): () => Promise<void> {
  const { hub, registry, catalog, live, log } = options;
  const images = new ImageCatalog({
    db: options.tables,
    metadata: registry.metadata,
    storage: options.storage,
  });
  const repositories = new RepositoryRoutes({
    catalog,
    images,
    files: new LayerFileReader({ metadata: registry.metadata, storage: options.storage }),
    deleteTag: (repository, tag) => registry.metadata.deleteTag(repository, tag),
    deleteContent: (repository) => deleteContent(options, repository),
    publishDelete: (repository, tag) => live.publish({ kind: 'delete', repository, tag }),
  });
  const { accounts, allowsSignUp, limiter, publicUrl } = options;
  const devices = new DeviceRoutes({
    accounts,
    devices: new DeviceLogins(options.tables),
    live,
    limiter,
    publicUrl,
  });
  const onError = (error: unknown): void => log.error('page request failed', { error: messageOf(error) });
  hub.mount(
    '/api',
    createHubApi({
      accounts,
      catalog,
      repositories,
      devices,
      live,
      publicUrl,
      allowsSignUp,
      limiter,
      version: VERSION,
      onError,
    }),
  );
  const page = createPage(PAGE_FOLDERS.find((folder) => existsSync(folder)) ?? '');
  if (page === undefined) log.warn('the page has not been built; the registry and the API work without it');
  else hub.mount('/', page);
  const unsubscribe = registry.subscribe((event) => void observe(event, catalog, live).catch(onError));
  return async () => {
    unsubscribe();
    live.close();
    await catalog.flush();
  };
}

async function observe(event: RegistryEvent, catalog: Catalog, live: LiveEvents): Promise<void> {
  switch (event.kind) {
    case 'pull':
      catalog.countPull(event.repository, isDigest(event.reference) ? undefined : event.reference);
      return;
    case 'push':
      await catalog.ensure(event.repository, event.subject);
      live.publish({ kind: 'push', repository: event.repository, tags: event.tags, digest: event.digest });
      return;
    case 'delete':
      live.publish({ kind: 'delete', repository: event.repository, tag: event.tag ?? null });
  }
}

/** Takes every manifest (with its tags) and every blob out of a repository; the collector frees the bytes. */
async function deleteContent({ registry, tables }: HubPageOptions, repository: string): Promise<void> {
  const db = tables as SqlDatabase<RegistryTables>;
  const row = await db.read
    .selectFrom('repositories')
    .select('id')
    .where('name', '=', repository)
    .executeTakeFirst();
  if (row === undefined) return;
  const manifests = await db.read
    .selectFrom('manifests')
    .select('digest')
    .where('repository_id', '=', row.id)
    .execute();
  for (const { digest } of manifests) await registry.metadata.deleteManifest(repository, digest as Digest);
  const blobs = await db.read
    .selectFrom('repository_blobs')
    .select('digest')
    .where('repository_id', '=', row.id)
    .execute();
  for (const { digest } of blobs) await registry.metadata.deleteBlob(repository, digest as Digest);
}
