import { CodedError } from '#base/errors/index.ts';

/**
 * A path below `root` made by reading the text only: absolute and `..` parts stay inside, as in a chroot. Links on disk are not
 * looked at: use it for names we made ourselves, and `openInRoot` (base/posix) where others could have laid a link.
 * @throws {CodedError} `invalid_argument` for a NUL byte.
 */
export function joinInRoot(root: string, path: string): string {
  const inside = cleanPath(path);
  const base = root.endsWith('/') ? root.slice(0, -1) : root;
  return inside === '' ? base || '/' : `${base}/${inside}`;
}

/** The path without leading slash, empty, `.` and `..` parts: `..` never climbs over the top. `''` is the top. */
export function cleanPath(path: string): string {
  if (path.includes('\0'))
    throw new CodedError('invalid_argument', `invalid path ${JSON.stringify(path)}: it holds a NUL byte`);
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..') parts.pop();
    else parts.push(part);
  }
  return parts.join('/');
}
