import { statSync } from 'node:fs';
import { CodedError } from '#base/errors/index.ts';

/**
 * Makes sure that a file may be put at `path`: what is there is replaced, which must never happen to a device such as /dev/null.
 * @throws {CodedError} `invalid_argument` in Docker's words.
 */
export function checkOutputPath(path: string, what: string): void {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined || found.isFile() || found.isDirectory()) return;
  const kind = found.isCharacterDevice() || found.isBlockDevice() ? 'a device' : 'an irregular file';
  throw new CodedError(
    'invalid_argument',
    `failed to ${what}: invalid output path: "${path}" must be a directory or a regular file: got ${kind}`,
  );
}
