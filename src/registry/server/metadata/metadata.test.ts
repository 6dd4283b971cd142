import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cacheMetadata } from '../cache.ts';
import { createSqlMetadata, openRegistryDatabase } from './index.ts';
import { describeRegistryMetadata, type OpenMetadata } from './metadata.contract.ts';

const openSqlite: OpenMetadata = async (grace) => {
  const dir = await mkdtemp(join(tmpdir(), 'slipway-metadata-'));
  const database = openRegistryDatabase(join(dir, 'hub.db'));
  return {
    metadata: createSqlMetadata(database, grace),
    close: async () => {
      await database.close();
      await rm(dir, { recursive: true });
    },
  };
};

describeRegistryMetadata('metadata in SQLite', openSqlite);
describeRegistryMetadata('metadata in SQLite behind the cache', async (grace) => {
  const opened = await openSqlite(grace);
  return { ...opened, metadata: cacheMetadata(opened.metadata) };
});
