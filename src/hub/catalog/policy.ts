/** Who may do what in which repository: the one place, asked on every request of clients and of the page. */
import type { AccessToken, TagMutability, TokenScope, Visibility } from '#hub/protocol/index.ts';
import type { Right } from '#registry/server/types.ts';
import { matchesAny } from './patterns.ts';

/** The namespace of official images; administrators push there. */
export const OFFICIAL_NAMESPACE = 'library';

/** What the owner of a repository has decided about it. */
export interface RepositoryRules {
  readonly visibility: Visibility;
  readonly tagMutability: TagMutability;
  readonly immutablePatterns: readonly string[];
}

/** What a decision depends on. */
export interface PolicyInput {
  /** `undefined`: nobody signed in. */
  readonly account: { readonly username: string; readonly isAdmin: boolean } | undefined;
  /** The token the account signed in with; it narrows, never widens. */
  readonly token: Pick<AccessToken, 'scope' | 'repositories'> | undefined;
  readonly repository: string;
  /** The tag that is to be moved, where it is about one. */
  readonly tag?: string | undefined;
  /** `undefined`: the repository does not exist yet. */
  readonly settings: RepositoryRules | undefined;
}

const SCOPE_RIGHTS: Readonly<Record<TokenScope, readonly Right[]>> = {
  read: ['pull'],
  write: ['pull', 'push', 'overwrite'],
  delete: ['pull', 'push', 'overwrite', 'delete'],
};

/**
 * The rights on one repository. Public repositories are pulled by everybody; the rest belongs to the owner of the
 * namespace and to administrators. A repository that does not exist can be pushed to by who would own it.
 */
export function decideRights(input: PolicyInput): ReadonlySet<Right> {
  const { account, token, repository, settings } = input;
  const rights = new Set<Right>();
  if (settings?.visibility === 'public') rights.add('pull');
  const isOwner = account !== undefined && account.username === namespaceOf(repository);
  if (isOwner || account?.isAdmin === true) {
    rights.add('pull').add('push').add('delete');
    if (settings === undefined || !isFixed(settings, input.tag)) rights.add('overwrite');
  }
  if (token === undefined) return rights;
  const isListed = token.repositories.length === 0 || token.repositories.includes(repository);
  const allowed: readonly Right[] = isListed ? SCOPE_RIGHTS[token.scope] : [];
  // What anybody may do stays allowed: a narrow token is never worse than none.
  const byAnybody = settings?.visibility === 'public' ? ['pull'] : [];
  return new Set([...rights].filter((right) => allowed.includes(right) || byAnybody.includes(right)));
}

/** Whether a tag must not move once it is pushed; without a tag: whether none may. */
export function isFixed(
  rules: Pick<RepositoryRules, 'tagMutability' | 'immutablePatterns'>,
  tag: string | undefined,
): boolean {
  if (rules.tagMutability === 'patterns')
    return tag !== undefined && matchesAny(rules.immutablePatterns, tag);
  return rules.tagMutability === 'immutable';
}

/** The first component of a repository's name. */
export function namespaceOf(repository: string): string {
  return repository.split('/')[0] ?? '';
}
