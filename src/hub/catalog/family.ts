/**
 * Which images begin with the layers of which. Every image that is pushed leaves one row for each of its chain IDs, so
 * that both directions are one look-up; the rows go with the manifest.
 *
 *     image_chains (chain_id, repository_id, manifest)      family_progress (what of earlier pushes has been noted)
 */
import { setTimeout as delay } from 'node:timers/promises';
import { sql } from 'kysely';
import type { Migrations, SqlDatabase } from '#base/database/index.ts';
import type { ImageFamily, RelatedImage } from '#hub/protocol/index.ts';
import { type ChainId, type DiffId, type Digest, extendChain } from '#oci/digest/index.ts';
import type { RegistryTables } from '#registry/server/index.ts';
import type { Catalog } from './catalog.ts';
import { decideRights, namespaceOf, OFFICIAL_NAMESPACE } from './policy.ts';
import type { DocumentReader } from './reader.ts';
import type { CatalogTables } from './schema.ts';

/** Most layers an image is followed through. */
const LAYER_LIMIT = 512;
/** Rows looked at in each direction, the newest first, and images shown. */
const ROW_LIMIT = 2000;
const SHOWN_LIMIT = 100;
const TAGS_SHOWN = 3;
const BACKFILL_BATCH = 50;
const BACKFILL_PAUSE_MS = 50;

interface FamilyTables extends RegistryTables, CatalogTables {
  image_chains: {
    chain_id: string;
    repository_id: number;
    manifest: string;
    /** Layers up to here, and in all. */
    depth: number;
    layers: number;
    noted_at: number;
  };
  family_progress: { id: number; repository_id: number; digest: string; is_done: number };
}

/** Tables of the family. The registry's must exist. */
const FAMILY_MIGRATIONS: Migrations = {
  component: 'family',
  steps: [
    `
    CREATE TABLE image_chains (
      chain_id TEXT NOT NULL, repository_id BIGINT NOT NULL, manifest TEXT NOT NULL, depth BIGINT NOT NULL, layers BIGINT NOT NULL,
      noted_at BIGINT NOT NULL, PRIMARY KEY (repository_id, manifest, depth),
      FOREIGN KEY (repository_id, manifest) REFERENCES manifests (repository_id, digest) ON DELETE CASCADE) {clustered};
    CREATE INDEX image_chains_by_chain ON image_chains (chain_id, noted_at);
    CREATE TABLE family_progress (
      id BIGINT NOT NULL PRIMARY KEY, repository_id BIGINT NOT NULL, digest TEXT NOT NULL, is_done BIGINT NOT NULL);
    `,
  ],
};

type Viewer = Parameters<typeof decideRights>[0]['account'];

interface Row {
  readonly repository_id: number;
  readonly repository: string;
  readonly manifest: string;
  readonly depth: number;
  readonly layers: number;
  readonly pushed_at: number;
}

/** The base with most layers first; among equals official ones, then the one that was there first. */
function byNearness(a: Row, b: Row): number {
  const isOfficial = (row: Row): boolean => namespaceOf(row.repository) === OFFICIAL_NAMESPACE;
  return b.layers - a.layers || Number(isOfficial(b)) - Number(isOfficial(a)) || a.pushed_at - b.pushed_at;
}

/** Finds the images an image builds on, and those that build on it, among those the viewer may see. */
export class ImageFamilies {
  readonly #db: SqlDatabase<FamilyTables>;
  readonly #catalog: Pick<Catalog, 'findSettings'>;
  readonly #reader: DocumentReader;
  #isClosed = false;

  constructor(db: SqlDatabase<unknown>, catalog: Pick<Catalog, 'findSettings'>, reader: DocumentReader) {
    this.#db = db.open<FamilyTables>(FAMILY_MIGRATIONS);
    this.#catalog = catalog;
    this.#reader = reader;
  }

  /** Remembers the layers of an image that was pushed; what is no image leaves nothing. */
  async note(repository: string, digest: Digest): Promise<void> {
    const chains = await this.#chainsOf(repository, digest);
    if (chains.length === 0) return;
    const noted_at = Date.now();
    await this.#db.writeSoon(async (rows) => {
      const found = await rows
        .selectFrom('repositories')
        .innerJoin('manifests', 'manifests.repository_id', 'repositories.id')
        .select('repositories.id')
        .where('repositories.name', '=', repository)
        .where('manifests.digest', '=', digest)
        .executeTakeFirst();
      if (found === undefined) return; // deleted meanwhile
      const repository_id = Number(found.id);
      const values = chains.map((chain_id, at) => ({
        chain_id,
        repository_id,
        manifest: digest,
        depth: at + 1,
        layers: chains.length,
        noted_at,
      }));
      await rows
        .insertInto('image_chains')
        .values(values)
        .onConflict((conflict) => conflict.doNothing())
        .execute();
    });
  }

  /** Relatives of an image, with what of them the viewer may see. */
  async find(repository: string, digest: Digest, viewer: Viewer): Promise<ImageFamily> {
    const chains = await this.#chainsOf(repository, digest);
    const whole = chains.at(-1);
    if (whole === undefined) return { uses: [], twins: [], usedBy: [], isTruncated: false };
    // A hub that was killed between a push and its note catches up here.
    if (!(await this.#isNoted(repository, digest))) await this.note(repository, digest);
    const [above, below] = await Promise.all([
      this.#listWhole(chains, viewer),
      this.#listBuiltOn(whole, viewer),
    ]);
    const isOther = (row: Row): boolean => row.repository !== repository || row.manifest !== digest;
    const bases = above.rows.filter((row) => row.layers < chains.length);
    const twins = above.rows.filter((row) => row.layers === chains.length && isOther(row));
    return {
      uses: await this.#describe(bases.sort(byNearness), viewer),
      twins: await this.#describe(twins, viewer),
      usedBy: await this.#describe(below.rows, viewer),
      isTruncated: above.isTruncated || below.isTruncated,
    };
  }

  /** Notes what was pushed before there was a family; once, a little at a time. */
  async backfill(): Promise<void> {
    while (!this.#isClosed) {
      const progress = await this.#db.read.selectFrom('family_progress').selectAll().executeTakeFirst();
      if (progress?.is_done === 1) return;
      const after = progress ?? { repository_id: 0, digest: '' };
      const batch = await this.#db.read
        .selectFrom('manifests')
        .innerJoin('repositories', 'repositories.id', 'manifests.repository_id')
        .select(['manifests.repository_id', 'manifests.digest', 'repositories.name'])
        .where(
          sql<boolean>`(manifests.repository_id, manifests.digest) > (${after.repository_id}, ${after.digest})`,
        )
        .orderBy('manifests.repository_id')
        .orderBy('manifests.digest')
        .limit(BACKFILL_BATCH)
        .execute();
      for (const row of batch) await this.note(row.name, row.digest as Digest);
      const last = batch.at(-1);
      const next = {
        repository_id: Number(last?.repository_id ?? 0),
        digest: last?.digest ?? '',
        is_done: batch.length < BACKFILL_BATCH ? 1 : 0,
      };
      await this.#db.writeSoon((rows) =>
        rows
          .insertInto('family_progress')
          .values({ id: 1, ...next })
          .onConflict((conflict) => conflict.column('id').doUpdateSet(next))
          .execute(),
      );
      if (next.is_done === 0) await delay(BACKFILL_PAUSE_MS);
    }
  }

  close(): void {
    this.#isClosed = true;
  }

  async #isNoted(repository: string, digest: Digest): Promise<boolean> {
    const row = await this.#db.read
      .selectFrom('repositories')
      .innerJoin('image_chains', 'image_chains.repository_id', 'repositories.id')
      .select('image_chains.depth')
      .where('repositories.name', '=', repository)
      .where('image_chains.manifest', '=', digest)
      .limit(1)
      .executeTakeFirst();
    return row !== undefined;
  }

  async #chainsOf(repository: string, digest: Digest): Promise<readonly ChainId[]> {
    const decoded = await this.#reader.findManifest(repository, digest);
    if (decoded?.kind !== 'manifest') return [];
    const config = await this.#reader.readConfig(repository, decoded.value);
    const diffIds: readonly DiffId[] = config?.rootfs.diff_ids ?? [];
    if (diffIds.length > LAYER_LIMIT || diffIds.length !== decoded.value.layers.length) return [];
    const chains: ChainId[] = [];
    for (const diffId of diffIds) chains.push(extendChain(chains.at(-1), diffId));
    return chains;
  }

  /** Images that consist of exactly the layers up to one of these. */
  async #listWhole(
    chains: readonly ChainId[],
    viewer: Viewer,
  ): Promise<{ readonly rows: readonly Row[]; readonly isTruncated: boolean }> {
    const rows: Row[] = [];
    let isTruncated = false;
    // From the nearest on: what is far away may fall off the end.
    for (const chain of chains.toReversed()) {
      const found = await this.#select(chain, viewer, '=');
      rows.push(...found.rows);
      isTruncated ||= found.isTruncated;
      if (rows.length >= SHOWN_LIMIT) return { rows: rows.slice(0, SHOWN_LIMIT), isTruncated: true };
    }
    return { rows, isTruncated };
  }

  #listBuiltOn(chain: ChainId, viewer: Viewer) {
    return this.#select(chain, viewer, '>');
  }

  /** Rows of one chain whose image has as many layers, or more; newest first, and only so many are looked at. */
  async #select(
    chain: ChainId,
    viewer: Viewer,
    how: '=' | '>',
  ): Promise<{ readonly rows: Row[]; readonly isTruncated: boolean }> {
    const newest = this.#db.read
      .selectFrom('image_chains')
      .selectAll()
      .where('chain_id', '=', chain)
      .orderBy('noted_at', 'desc')
      .limit(ROW_LIMIT);
    const found = await this.#db.read
      .selectFrom(newest.as('chains'))
      .innerJoin('repositories', 'repositories.id', 'chains.repository_id')
      .innerJoin('repository_settings', 'repository_settings.name', 'repositories.name')
      .innerJoin('manifests', (join) =>
        join
          .onRef('manifests.repository_id', '=', 'chains.repository_id')
          .onRef('manifests.digest', '=', 'chains.manifest'),
      )
      .select([
        'chains.repository_id',
        'repositories.name as repository',
        'chains.manifest',
        'chains.depth',
        'chains.layers',
        'manifests.created_at as pushed_at',
      ])
      .where('chains.layers', how, sql<number>`chains.depth`)
      .$if(viewer?.isAdmin !== true, (query) =>
        query.where((where) =>
          where.or([
            where('repository_settings.visibility', '=', 'public'),
            where('repository_settings.namespace', '=', viewer?.username ?? ''),
          ]),
        ),
      )
      .orderBy('chains.noted_at', 'desc')
      .limit(SHOWN_LIMIT)
      .execute();
    return { rows: found, isTruncated: found.length === SHOWN_LIMIT };
  }

  async #describe(rows: readonly Row[], viewer: Viewer): Promise<readonly RelatedImage[]> {
    const related: RelatedImage[] = [];
    for (const row of rows) {
      // The one policy decides; the query above only keeps the list short.
      const settings = await this.#catalog.findSettings(row.repository);
      const asked = { account: viewer, token: undefined, repository: row.repository, settings };
      if (!decideRights(asked).has('pull')) continue;
      related.push({
        repository: row.repository,
        tags: await this.#listTags(row),
        digest: row.manifest,
        sharedLayers: Number(row.depth),
        layers: Number(row.layers),
      });
    }
    // An image without a tag is somebody's older push: those with one go first.
    return [
      ...related.filter(({ tags }) => tags.length > 0),
      ...related.filter(({ tags }) => tags.length === 0),
    ];
  }

  /** Tags of the image, or of an index that holds it. */
  async #listTags({ repository_id, manifest }: Row): Promise<readonly string[]> {
    const direct = this.#db.read
      .selectFrom('tags')
      .select(['tags.name', 'tags.updated_at'])
      .where('tags.repository_id', '=', repository_id)
      .where('tags.digest', '=', manifest);
    const byIndex = this.#db.read
      .selectFrom('manifest_references')
      .innerJoin('tags', (join) =>
        join
          .onRef('tags.repository_id', '=', 'manifest_references.repository_id')
          .onRef('tags.digest', '=', 'manifest_references.manifest'),
      )
      .select(['tags.name', 'tags.updated_at'])
      .where('manifest_references.repository_id', '=', repository_id)
      .where('manifest_references.target', '=', manifest);
    const tags = await direct.union(byIndex).orderBy('updated_at', 'desc').limit(TAGS_SHOWN).execute();
    return tags.map((tag) => tag.name);
  }
}
