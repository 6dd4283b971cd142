import { CodedError } from '#base/errors/index.ts';

/** Numeric owner of a file. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Largest passwd or group file that is read, in bytes. */
export const ACCOUNT_FILE_LIMIT = 1024 * 1024;
const ID_LIMIT = 2 ** 32 - 2;

/**
 * Reads the value of `--chown`: `user`, `user:group`, names or numbers; a single word names the group too, as in Docker.
 * `readFile` gives a file of the image's root, or `undefined`.
 * @throws {CodedError} `invalid_argument` with Docker's texts.
 */
export function parseOwner(chown: string, readFile: (path: string) => string | undefined): Owner {
  const parts = chown.split(':');
  if (parts.length > 2) throw invalid(`invalid chown string format: ${chown}`, chown);
  const user = parts[0] ?? '';
  const group = parts[1] ?? user;
  return {
    uid: findId(
      user,
      () => readFile('etc/passwd'),
      `can't find uid for user ${user}: no such user: ${user}`,
      chown,
    ),
    gid: findId(
      group,
      () => readFile('etc/group'),
      `can't find gid for group ${group}: no such group: ${group}`,
      chown,
    ),
  };
}

function findId(name: string, readFile: () => string | undefined, absent: string, chown: string): number {
  if (/^\d+$/.test(name)) {
    const id = Number(name);
    if (id > ID_LIMIT) throw invalid(`id ${name} is out of range`, chown);
    return id;
  }
  for (const line of (readFile() ?? '').split('\n')) {
    const [entry, , id = ''] = line.split(':');
    if (entry === name && name !== '' && /^\d+$/.test(id) && Number(id) <= ID_LIMIT) return Number(id);
  }
  throw invalid(absent, chown);
}

function invalid(detail: string, chown: string): CodedError {
  return new CodedError(
    'invalid_argument',
    `unable to convert uid/gid chown string to host mapping: ${detail}`,
    {
      help: {
        id: 'build/chown',
        cause: `--chown=${chown} names an account that the image does not have`,
        fix: ['create it in a RUN before this line, or use numbers, such as --chown=1000:1000'],
      },
    },
  );
}
