import { CodedError } from '#base/errors/index.ts';
import type { TreeEntry } from './types.ts';

const LINK_LIMIT = 255;

/** What path walking needs: one lookup that follows nothing. */
export interface Lookup {
  find(path: string): TreeEntry | undefined;
}

/** Where a path leads. `missing` are the last names that do not exist. */
export interface Resolved {
  readonly path: string;
  readonly entry: TreeEntry | undefined;
  readonly missing: readonly string[];
}

/**
 * Walks `path` with the tree's root as `/`: links are followed inside it and `..` stops at it. `path` is where it leads,
 * including names that are missing. With `followLast` false a link at the end is the result itself.
 * @throws {CodedError} `invalid_argument` when a file stands where a directory is needed, or links go in a circle.
 */
export function resolvePath(tree: Lookup, path: string, options: { readonly followLast: boolean }): Resolved {
  const pending = path.split('/').toReversed();
  const done: string[] = [];
  let missing: string[] = [];
  let entry = tree.find('');
  let links = 0;
  while (pending.length > 0) {
    const name = pending.pop() as string;
    if (name === '' || name === '.') continue;
    if (name === '..') {
      if (missing.length > 0) missing = missing.slice(0, -1);
      else done.pop();
      entry = missing.length > 0 ? undefined : tree.find(done.join('/'));
      continue;
    }
    if (missing.length > 0) {
      missing.push(name);
      continue;
    }
    if (entry !== undefined && entry.type !== 'd') throw notDirectory(done.join('/'));
    const at = [...done, name].join('/');
    const found = tree.find(at);
    const isLast = pending.every((part) => part === '' || part === '.');
    if (found === undefined) {
      missing.push(name);
      entry = undefined;
    } else if (found.type === 'l' && (!isLast || options.followLast)) {
      if (++links > LINK_LIMIT) throw new CodedError('invalid_argument', `too many links in "${path}"`);
      const target = found.linkTarget ?? '';
      if (target.startsWith('/')) done.length = 0;
      pending.push(...target.split('/').toReversed());
      entry = tree.find(done.join('/'));
    } else {
      done.push(name);
      entry = found;
    }
  }
  return { path: [...done, ...missing].join('/'), entry, missing };
}

function notDirectory(path: string): CodedError {
  return new CodedError('invalid_argument', `"/${path}" is not a directory`, {
    subject: { kind: 'path', name: path },
  });
}
