import type { SqlDatabase } from '#base/database/index.ts';
import { CodedError } from '#base/errors/index.ts';
import type { AccountTables } from '#hub/account/index.ts';
import type { RegistryTables } from '#registry/server/index.ts';
import { namespaceOf } from './policy.ts';
import type { CatalogTables } from './schema.ts';

type Tables = RegistryTables & CatalogTables & AccountTables;

/**
 * Gives a repository another name, in one transaction: bytes, tags, pulls, stars and rules stay with it, and the old name
 * is free. Tokens that are limited to it follow within the namespace. The registry's cache is the caller's to refresh.
 *
 * @throws {CodedError} `already_exists` (about the field `name`), `not_found`.
 */
export async function moveRepository(db: SqlDatabase<unknown>, from: string, to: string): Promise<void> {
  await (db as SqlDatabase<Tables>).write(async (rows) => {
    for (const table of ['repository_settings', 'repositories'] as const) {
      const taken = await rows.selectFrom(table).select('name').where('name', '=', to).executeTakeFirst();
      if (taken === undefined) continue;
      throw new CodedError('already_exists', `repository ${to} exists already`, {
        subject: { kind: 'field', name: 'name' },
      });
    }
    const moved = await rows
      .updateTable('repository_settings')
      .set({ name: to, namespace: namespaceOf(to) })
      .where('name', '=', from)
      .executeTakeFirst();
    if (moved.numUpdatedRows === 0n) throw new CodedError('not_found', `there is no repository ${from}`);
    await rows.updateTable('repositories').set({ name: to }).where('name', '=', from).execute();
    for (const table of ['tag_pulls', 'repository_stars'] as const)
      await rows.updateTable(table).set({ repository: to }).where('repository', '=', from).execute();
    if (namespaceOf(from) !== namespaceOf(to)) return;
    const tokens = await rows
      .selectFrom('tokens')
      .select(['id', 'repositories'])
      .where('repositories', 'like', `%${JSON.stringify(from)}%`)
      .execute();
    for (const token of tokens) {
      const names = (JSON.parse(token.repositories) as string[]).map((name) => (name === from ? to : name));
      await rows
        .updateTable('tokens')
        .set({ repositories: JSON.stringify(names) })
        .where('id', '=', token.id)
        .execute();
    }
  });
}
