import { CodedError } from '#base/errors/index.ts';
import { hasWildcard, matchPath, resolvePath, type Tree, unescapePattern } from '#build/context/index.ts';
import { findNear } from './near.ts';

/** What one COPY or ADD takes sources from, and how it speaks of them. */
export interface SourceRequest {
  readonly sources: readonly string[];
  readonly createdBy: 'ADD' | 'COPY';
  /** The build context: nothing to be found there may be the fault of an ignore line. */
  readonly isContext: boolean;
  readonly allowEmptyWildcard: boolean;
}

/** One thing to copy. `path` is where it is after links, `name` what it is called at the destination. */
export interface Source {
  readonly written: string;
  readonly path: string;
  readonly name: string;
  readonly isDirectory: boolean;
}

/**
 * Finds the sources of a COPY or ADD: each is a path or a pattern (Go's `filepath.Match`), a link at its end is followed
 * inside the tree.
 * @throws {CodedError} `not_found` or `invalid_argument` with Docker's texts.
 */
export function findSources(tree: Tree, request: SourceRequest): readonly Source[] {
  const found: Source[] = [];
  for (const written of request.sources) {
    const path = written.replace(/^\//, '').replace(/^\.\//, '');
    if (hasWildcard(path)) found.push(...expandPattern(tree, path, request));
    else found.push(findOne(tree, unescapePattern(path), written, request));
  }
  if (found.length === 0 && !(request.allowEmptyWildcard && request.sources.length > 0)) {
    throw new CodedError('not_found', `${request.createdBy} failed: no source files were specified`, {
      help: {
        id: 'build/no-match',
        cause: `no file of the ${request.isContext ? 'build context' : 'source stage'} matches ${request.sources.map((s) => `"${s}"`).join(', ')}`,
        fix: ['check the pattern, the build context and .dockerignore'],
      },
    });
  }
  return found;
}

function findOne(tree: Tree, path: string, written: string, request: SourceRequest): Source {
  if (leavesRoot(path)) {
    throw new CodedError(
      'invalid_argument',
      `${request.createdBy} failed: forbidden path outside the build context: ${path} ()`,
      {
        help: {
          id: 'build/outside-context',
          cause: `"${written}" lies above the build context; only files inside it can be copied`,
          fix: ['build with a directory further up as the context and name the Dockerfile with -f'],
        },
      },
    );
  }
  const resolved = resolvePath(tree, path, { followLast: true });
  if (resolved.entry === undefined) throw missing(tree, path, resolved.path, request);
  return {
    written,
    path: resolved.path,
    name: baseName(path),
    isDirectory: resolved.entry.type === 'd',
  };
}

function expandPattern(tree: Tree, pattern: string, request: SourceRequest): Source[] {
  const depth = pattern.split('/').length;
  const found: Source[] = [];
  const walk = (directory: string, level: number): void => {
    for (const name of tree.list(directory)) {
      const path = directory === '' ? name : `${directory}/${name}`;
      const entry = tree.find(path);
      if (entry === undefined) continue;
      if (level === depth) {
        if (matchPath(pattern, path)) found.push(findOne(tree, path, pattern, request));
      } else if (entry.type === 'd') walk(path, level + 1);
    }
  };
  matchPath(pattern, '');
  walk('', 1);
  return found;
}

function leavesRoot(path: string): boolean {
  let depth = 0;
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    depth += part === '..' ? -1 : 1;
    if (depth < 0) return true;
  }
  return false;
}

function baseName(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return parts.at(-1) ?? '';
}

function missing(tree: Tree, path: string, resolved: string, request: SourceRequest): CodedError {
  const place = request.isContext ? 'file not found in build context or excluded by .dockerignore: ' : '';
  const message = `${request.createdBy} failed: ${place}stat ${path}: file does not exist`;
  const hidden = tree.hiddenBy(resolved) ?? hiddenAbove(tree, resolved);
  if (hidden !== undefined) {
    return new CodedError('not_found', message, {
      data: { ignoredBy: hidden },
      help: {
        id: 'build/ignored',
        cause: `"${path}" is in the build context, but line ${hidden.line} of ${hidden.file} excludes it: ${hidden.pattern}`,
        fix: [`add the line !${resolved} to ${hidden.file}, or copy another file`],
      },
    });
  }
  const leftOut = tree.leftOutBy(resolved);
  if (leftOut !== undefined) {
    return new CodedError('not_found', message, {
      data: { ignoredBy: leftOut },
      help: {
        id: 'build/ignored',
        cause: `line ${leftOut.line} of ${leftOut.file} keeps "${path}" out of the build context: ${leftOut.pattern}`,
        fix: [`add the line !${resolved} to ${leftOut.file}, or copy another file`],
      },
    });
  }
  const near = findNear(tree, resolved);
  return new CodedError('not_found', message, {
    data: near === undefined ? undefined : { near },
    help: {
      id: 'build/missing',
      cause: request.isContext
        ? `"${path}" is not in the build context`
        : `"/${path}" is not in the stage or image it is copied from`,
      fix: [
        near === undefined
          ? 'check the path: it is relative to the root of the build context, not to the Dockerfile'
          : `did you mean ${near}?`,
      ],
    },
  });
}

function hiddenAbove(tree: Tree, path: string): ReturnType<Tree['hiddenBy']> {
  const names = path.split('/');
  for (let count = names.length - 1; count > 0; count--) {
    const hidden = tree.hiddenBy(names.slice(0, count).join('/'));
    if (hidden !== undefined) return hidden;
  }
  return undefined;
}
