/**
 * Paths inside a container's root, resolved as the container would see them: `..` stops at the root and links,
 * absolute ones too, start again there. For trees in which no process runs; a running container is read through
 * `openat2(RESOLVE_IN_ROOT)` instead.
 */
import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readlinkSync,
  readSync,
  type Stats,
} from 'node:fs';
import { join } from 'node:path';
import { CodedError, isSystemError } from '#base/errors/index.ts';

const MAX_LINKS = 255;

/** Where `path` leads inside `root`. `missing` lists the components that do not exist (all of them then plain names). */
export interface RootedPath {
  readonly hostPath: string;
  readonly inRoot: string;
  readonly missing: readonly string[];
  readonly stat: Stats | undefined;
}

/**
 * Follows `path` inside `root`, links included.
 * @throws {CodedError} `invalid_argument` on too many links or a file used as a directory.
 */
export function resolveInRoot(root: string, path: string): RootedPath {
  const done: string[] = [];
  const todo = path.split('/').filter((part) => part !== '' && part !== '.');
  let links = 0;
  let stat: Stats | undefined = lstatSync(root);
  while (todo.length > 0) {
    const part = todo.shift() as string;
    if (part === '..') {
      done.pop();
      stat = lstatSync(join(root, ...done));
      continue;
    }
    if (stat !== undefined && !stat.isDirectory()) {
      throw new CodedError(
        'invalid_argument',
        `cannot resolve "${path}": "/${done.join('/')}" is not a directory`,
      );
    }
    stat = lstatMaybe(join(root, ...done, part));
    if (stat === undefined) return missingFrom(root, done, [part, ...todo]);
    if (!stat.isSymbolicLink()) {
      done.push(part);
      continue;
    }
    if (++links > MAX_LINKS)
      throw new CodedError('invalid_argument', `cannot resolve "${path}": too many links`);
    const target = readlinkSync(join(root, ...done, part));
    if (target.startsWith('/')) done.length = 0;
    todo.unshift(...target.split('/').filter((name) => name !== '' && name !== '.'));
    stat = lstatSync(join(root, ...done));
  }
  return { hostPath: join(root, ...done), inRoot: `/${done.join('/')}`, missing: [], stat };
}

function missingFrom(root: string, done: readonly string[], rest: readonly string[]): RootedPath {
  const missing: string[] = [];
  for (const part of rest) {
    if (part !== '..') missing.push(part);
    else if (missing.pop() === undefined) {
      // Above an existing directory again: resolve what is left from there.
      return resolveInRoot(root, [...done, '..', ...rest.slice(rest.indexOf('..') + 1)].join('/'));
    }
  }
  return {
    hostPath: join(root, ...done, ...missing),
    inRoot: `/${[...done, ...missing].join('/')}`,
    missing,
    stat: undefined,
  };
}

function lstatMaybe(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/**
 * Reads a small regular file inside `root`; `undefined` when it is absent or not a regular file.
 * @throws {CodedError} `resource_exhausted` beyond `limitBytes`.
 */
export function readFileInRoot(root: string, path: string, limitBytes: number): string | undefined {
  const found = resolveInRoot(root, path);
  if (found.stat === undefined || !found.stat.isFile()) return undefined;
  const fd = openSync(found.hostPath, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    return readLimited(fd, path, limitBytes);
  } finally {
    closeSync(fd);
  }
}

/** Reads an open file up to a limit. @throws {CodedError} `resource_exhausted` beyond it. */
export function readLimited(fd: number, name: string, limitBytes: number): string | undefined {
  const stat = fstatSync(fd);
  if (!stat.isFile()) return undefined;
  if (stat.size > limitBytes) {
    throw new CodedError('resource_exhausted', `"${name}" in the image is larger than ${limitBytes} bytes`);
  }
  const buffer = Buffer.alloc(stat.size);
  let length = 0;
  while (length < buffer.length) {
    const count = readSync(fd, buffer, length, buffer.length - length, length);
    if (count === 0) break;
    length += count;
  }
  return buffer.toString('utf8', 0, length);
}

/**
 * Makes `path` a directory inside `root`; existing parts are kept.
 * @throws {CodedError} `invalid_argument` when something that is not a directory is in the way.
 */
export function ensureDirInRoot(root: string, path: string): string {
  const found = resolveInRoot(root, path);
  if (found.stat !== undefined) {
    if (found.stat.isDirectory()) return found.inRoot;
    throw new CodedError('invalid_argument', `Cannot mkdir: ${path} is not a directory`);
  }
  makeDirs(root, found);
  return found.inRoot;
}

/** Makes the missing part of a path, mode 0755 whatever the umask. Returns the new directories, parents first. */
export function makeDirs(root: string, found: RootedPath): readonly string[] {
  const names = found.inRoot.split('/').slice(1);
  return found.missing.map((_, number) => {
    const inRoot = `/${names.slice(0, names.length - found.missing.length + number + 1).join('/')}`;
    mkdirSync(join(root, inRoot));
    chmodSync(join(root, inRoot), 0o755);
    return inRoot;
  });
}
