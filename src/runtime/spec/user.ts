import { CodedError } from '#base/errors/index.ts';

/** Largest passwd or group file we read. */
export const ACCOUNT_FILE_LIMIT_BYTES = 1024 * 1024;
const MAX_ID = 2 ** 31 - 1;

/** A user as the kernel wants it. */
export interface ResolvedUser {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
  readonly home: string;
}

interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

interface Group {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

/**
 * Resolves `user`, `uid`, `user:group`, `uid:gid` (empty: root) with the container's own files. Digits are an id,
 * never a name. Without an explicit group the user's supplementary groups are joined.
 * `readFile` gives `/etc/passwd` and `/etc/group` as the container sees them.
 * @throws {CodedError} `invalid_argument` with Docker's text for an unknown name or an id out of range.
 */
export function resolveUser(
  user: string,
  readFile: (path: '/etc/passwd' | '/etc/group') => string | undefined,
  groupAdd: readonly string[] = [],
): ResolvedUser {
  const [userPart = '', groupPart] = splitOnce(user, ':');
  const wanted = userPart === '' ? '0' : userPart;
  const account = findAccount(wanted, readFile('/etc/passwd') ?? '');
  const groups = parseGroups(readFile('/etc/group') ?? '');
  const explicit = groupPart !== undefined && groupPart !== '';
  const gid = explicit ? groupId(groupPart, groups) : account.gid;
  const extra = explicit
    ? []
    : groups.filter((group) => account.name !== '' && group.members.includes(account.name));
  const added = groupAdd.map((name) => groupId(name, groups, 'Unable'));
  const additionalGids = [...new Set([gid, ...extra.map((group) => group.gid), ...added])];
  return { uid: account.uid, gid, additionalGids, home: account.home };
}

function findAccount(wanted: string, passwd: string): Account {
  const id = parseId(wanted);
  for (const line of passwd.split('\n')) {
    const [name = '', , uid = '', gid = '', , home = ''] = line.split(':');
    if (name === '' || name.startsWith('#')) continue;
    const account = { name, uid: Number(uid), gid: Number(gid), home: home || '/' };
    if (!isId(account.uid) || !isId(account.gid) || uid === '') continue;
    if (id === undefined ? name === wanted : account.uid === id) return account;
  }
  if (id === undefined) {
    throw new CodedError(
      'invalid_argument',
      `unable to find user ${wanted}: no matching entries in passwd file`,
    );
  }
  return { name: '', uid: id, gid: 0, home: '/' };
}

function parseGroups(text: string): readonly Group[] {
  return text.split('\n').flatMap((line) => {
    const [name = '', , gid = '', members = ''] = line.trim().split(':');
    if (name === '' || gid === '' || !isId(Number(gid))) return [];
    return [{ name, gid: Number(gid), members: members.split(',').filter((member) => member !== '') }];
  });
}

function groupId(wanted: string, groups: readonly Group[], start = 'unable'): number {
  const id = parseId(wanted);
  if (id !== undefined) return id;
  const found = groups.find((group) => group.name === wanted);
  if (found !== undefined) return found.gid;
  throw new CodedError(
    'invalid_argument',
    `${start} to find group ${wanted}: no matching entries in group file`,
  );
}

function parseId(text: string): number | undefined {
  if (!/^-?\d+$/.test(text)) return undefined;
  const id = Number(text);
  if (!isId(id)) throw new CodedError('invalid_argument', `uids and gids must be in range 0-${MAX_ID}`);
  return id;
}

function isId(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= MAX_ID;
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}
