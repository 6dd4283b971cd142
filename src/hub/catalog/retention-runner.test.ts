import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createLog } from '#base/log/index.ts';
import { digestOf } from '#oci/digest/index.ts';
import { createSqlMetadata, openRegistryDatabase, REGISTRY_MIGRATIONS } from '#registry/server/index.ts';
import { Catalog } from './catalog.ts';
import { RetentionRunner } from './retention-runner.ts';
import { TagCatalog } from './tags.ts';

const DAY = 24 * 3600_000;

async function withRunner(
  body: (parts: {
    readonly runner: RetentionRunner;
    readonly push: (repository: string, tag: string) => Promise<void>;
    readonly tagsOf: (repository: string) => Promise<readonly string[] | undefined>;
    readonly pass: (ms: number) => void;
    readonly logged: string[];
    /** Called before each removal. */
    readonly onRemove: (action: () => Promise<void>) => void;
  }) => Promise<void>,
): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'slipway-retention-'));
  const database = openRegistryDatabase(join(dir, 'hub.db'));
  const db = database.open<unknown>(REGISTRY_MIGRATIONS);
  const metadata = createSqlMetadata(database);
  const catalog = new Catalog(db, { publicByDefault: false });
  const logged: string[] = [];
  let ahead = 0;
  let before = async (): Promise<void> => {};
  const runner = new RetentionRunner({
    db,
    catalog,
    tags: new TagCatalog({
      db,
      describe: () => Promise.resolve({ platforms: [], sizeBytes: 0 }),
      pendingPull: () => undefined,
    }),
    metadata,
    removeTags: async (...args) => {
      await before();
      return metadata.removeTags(...args);
    },
    log: createLog({ level: 'info', write: (line) => void logged.push(line) }),
    now: () => Date.now() + ahead,
  });
  try {
    await body({
      runner,
      logged,
      push: async (repository, tag) => {
        await catalog.ensure(repository, 'cynthia');
        const bytes = Buffer.from(`${repository} ${tag}`);
        await metadata.putManifest({
          repository,
          digest: digestOf(bytes),
          mediaType: 'application/vnd.oci.image.manifest.v1+json',
          bytes,
          artifactType: undefined,
          subject: undefined,
          annotations: undefined,
          references: [],
          contentSizeBytes: 0,
          tags: [tag],
          pushedBy: 'cynthia',
          fixedTags: [],
        });
      },
      tagsOf: (repository) => metadata.listTags(repository, { limit: 100 }),
      pass: (ms) => {
        ahead += ms;
      },
      onRemove: (action) => {
        before = action;
      },
    });
  } finally {
    await database.close();
    await rm(dir, { recursive: true });
  }
}

test('the hourly run applies the rules of every repository that has some', () =>
  withRunner(async ({ runner, push, tagsOf, pass, logged }) => {
    for (const tag of ['dev-1', 'v1']) {
      await push('cynthia/ruled', tag);
      await push('cynthia/free', tag);
    }
    const rules = [{ pattern: 'dev-*', condition: 'pushed', value: 30 } as const];
    await runner.save('cynthia/ruled', { rules, keep: [] });
    await runner.runAll();
    assert.deepEqual(await tagsOf('cynthia/ruled'), ['dev-1', 'v1'], 'not yet');
    pass(31 * DAY);
    await runner.runAll();
    assert.deepEqual(await tagsOf('cynthia/ruled'), ['v1']);
    assert.deepEqual(await tagsOf('cynthia/free'), ['dev-1', 'v1']);
    assert.equal((await runner.find('cynthia/ruled')).removedTags, 1);
    assert.match(logged.join(''), /retention removed tags.*cynthia\/ruled/);
  }));

test('a tag that is pushed again while the rules are applied stays', () =>
  withRunner(async ({ runner, push, tagsOf, onRemove }) => {
    await push('cynthia/app', 'a');
    await push('cynthia/app', 'b');
    await push('cynthia/app', 'c');
    await runner.save('cynthia/app', {
      rules: [{ pattern: '*', condition: 'beyond', value: 1 }],
      keep: [],
    });
    await new Promise((resolve) => setTimeout(resolve, 5));
    onRemove(() => push('cynthia/app', 'a'));
    await runner.runAll();
    assert.deepEqual(await tagsOf('cynthia/app'), ['a', 'c']);
  }));
