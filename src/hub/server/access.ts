import { CodedError } from '#base/errors/index.ts';
import type { AccountRow } from '#hub/account/index.ts';
import { type Catalog, decideRights, namespaceOf, type RepositorySettings } from '#hub/catalog/index.ts';
import type { RepositoryDetail } from '#hub/protocol/index.ts';
import type { Exchange } from './exchange.ts';

/** What the page asks for: the registry's rights, and `admin` for the settings. */
export type PageRight = RepositoryDetail['rights'][number];

/**
 * The repository of a request, if the caller has this right on it; one they may not see does not exist for them.
 * @throws {CodedError} `not_found`, `permission_denied`.
 */
export async function findRepository(
  catalog: Pick<Catalog, 'findSettings'>,
  exchange: Exchange,
  right: PageRight,
): Promise<RepositorySettings> {
  const name = `${exchange.params['namespace']}/${exchange.params['name']}`;
  const settings = await catalog.findSettings(name);
  const rights = settings === undefined ? [] : rightsOnPage(settings, exchange.account);
  if (settings === undefined || !rights.includes('pull')) {
    throw new CodedError('not_found', `there is no repository ${name}, or it is private`, {
      help: {
        id: 'page/no-repository',
        cause:
          exchange.account === undefined
            ? 'you are not signed in'
            : `you are signed in as ${exchange.account.username}`,
      },
    });
  }
  if (!rights.includes(right))
    throw new CodedError('permission_denied', `only the owner of ${namespaceOf(name)} may do this`);
  return settings;
}

/** What somebody who is signed in on the page may do. */
export function rightsOnPage(settings: RepositorySettings, account: AccountRow | undefined): PageRight[] {
  const granted = decideRights({ account, token: undefined, repository: settings.name, settings });
  const rights: PageRight[] = [];
  if (granted.has('pull')) rights.push('pull');
  if (granted.has('push')) rights.push('push');
  if (granted.has('delete')) rights.push('delete', 'admin');
  return rights;
}
