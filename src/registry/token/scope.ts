import type { Right } from '#registry/server/types.ts';

/** One thing a token gives access to; the wire form of the `access` claim. */
export interface Access {
  readonly type: string;
  readonly name: string;
  readonly actions: readonly string[];
}

/** Scopes in one request; a client that mounts from many repositories sends a few. */
const SCOPE_LIMIT = 100;
const SCOPE_LENGTH = 600;

/**
 * Reads scopes such as `repository:localhost:5000/a:pull,push`. A name may hold a colon (a port), so the type ends at
 * the first and the actions begin after the last. What cannot be read grants nothing and is left out.
 */
export function parseScopes(texts: readonly string[]): Access[] {
  const scopes: Access[] = [];
  for (const text of texts.flatMap((value) => value.split(' ')).slice(0, SCOPE_LIMIT)) {
    const first = text.indexOf(':');
    const last = text.lastIndexOf(':');
    if (text.length > SCOPE_LENGTH || first <= 0 || last <= first) continue;
    // Docker's `repository(plugin)` is a repository.
    const type = text.slice(0, first).replace(/\([a-z0-9]*\)$/, '');
    const actions = text
      .slice(last + 1)
      .split(',')
      .filter((action) => /^(?:[a-z]+|\*)$/.test(action));
    scopes.push({ type, name: text.slice(first + 1, last), actions: [...new Set(actions)] });
  }
  return scopes;
}

/** The words of the protocol for our rights; moving a tag is part of `push`, and the account decides it. */
const ACTIONS: readonly (readonly [action: string, right: Right])[] = [
  ['pull', 'pull'],
  ['push', 'push'],
  ['delete', 'delete'],
];

/** What is granted of what was asked, given the rights of the account. */
export function grantedActions(asked: readonly string[], rights: ReadonlySet<Right>): string[] {
  return ACTIONS.filter(
    ([action, right]) => (asked.includes(action) || asked.includes('*')) && rights.has(right),
  ).map(([action]) => action);
}

/** Whether an access list covers a right on a repository. */
export function coversRight(access: readonly Access[], repository: string, right: Right): boolean {
  const action = right === 'overwrite' ? 'push' : right;
  return access.some(
    (entry) => entry.type === 'repository' && entry.name === repository && entry.actions.includes(action),
  );
}

/** The `scope` field of an OAuth answer. */
export function encodeScopes(access: readonly Access[]): string {
  return access.map(({ type, name, actions }) => `${type}:${name}:${actions.join(',')}`).join(' ');
}
