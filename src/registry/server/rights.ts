import type { Authorizer, Right } from './types.ts';

/** Rights may also end by the clock (a token expires), so that an answer is not kept for ever. */
const MAX_AGE_MS = 10_000;
const ENTRY_LIMIT = 10_000;

/**
 * Keeps the answers of a policy that reads this database. Any write to it makes them all be asked for again, so what
 * was taken away is gone with the transaction that took it. A shared database is not cached.
 */
export function cacheRights(
  authorizer: Authorizer,
  database: { readonly version: number; readonly shared: boolean },
  now: () => number = () => performance.now(),
): Authorizer {
  if (database.shared) return authorizer;
  const known = new Map<string, { readonly rights: ReadonlySet<Right>; readonly until: number }>();
  let version = -1;
  return {
    async rightsOf(subject, repository, tag) {
      const before = database.version;
      if (before !== version || known.size > ENTRY_LIMIT) known.clear();
      version = before;
      const key = `${subject.name}\n${subject.credential ?? ''}\n${repository}\n${tag ?? ''}`;
      const entry = known.get(key);
      if (entry !== undefined && entry.until > now()) return entry.rights;
      const rights = await authorizer.rightsOf(subject, repository, tag);
      if (database.version === before && version === before) {
        known.set(key, { rights, until: now() + MAX_AGE_MS });
      }
      return rights;
    },
  };
}
