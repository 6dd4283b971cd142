/** Paths inside the image. */
import { posix } from 'node:path';
import { CodedError } from '#base/errors/index.ts';

/**
 * The working directory after `WORKDIR requested`; an absolute path stays as written.
 * @throws {CodedError} `invalid_argument` for an empty path.
 */
export function nextWorkdir(current: string | undefined, requested: string): string {
  if (requested === '') throw new CodedError('invalid_argument', 'cannot normalize nothing');
  if (requested.startsWith('/')) return requested;
  return withoutTrailingSlash(posix.join('/', current ?? '', requested));
}

/** Where a copy goes: absolute, with its trailing slash kept, and whether it must be a directory. */
export function destinationOf(
  workdir: string | undefined,
  requested: string,
): { readonly path: string; readonly isDirectory: boolean } {
  const path = requested.startsWith('/')
    ? posix.normalize(requested)
    : posix.join('/', workdir ?? '', requested);
  const isDirectory = requested === '' || /(?:^|\/)\.{0,2}$/.test(requested);
  const bare = withoutTrailingSlash(path);
  return { path: isDirectory && bare !== '/' ? `${bare}/` : bare, isDirectory };
}

function withoutTrailingSlash(path: string): string {
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
}
