import { CodedError } from '#base/errors/index.ts';

/** Makes the new permission bits of a file from its old ones. */
export type ModeChange = (mode: number, isDirectory: boolean) => number;

const CLAUSE = /^([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)$/;
const BITS: Readonly<Record<string, number>> = { r: 4, w: 2, x: 1 };
const SHIFT: Readonly<Record<string, number>> = { u: 6, g: 3, o: 0 };

/**
 * Reads the value of `--chmod`: octal (`0755`) or symbolic as in chmod(1) (`u=rwX,go=rX`), without umask.
 * @throws {CodedError} `invalid_argument`.
 */
export function parseMode(text: string): ModeChange {
  if (/^[0-7]+$/.test(text)) {
    const mode = Number.parseInt(text, 8);
    if (mode > 0o7777) throw invalid(text);
    return () => mode;
  }
  const clauses = text.split(',').map((clause) => {
    const match = CLAUSE.exec(clause);
    if (match === null) throw invalid(text);
    const who = match[1] === '' || (match[1] ?? '').includes('a') ? 'ugo' : (match[1] as string);
    return { who, actions: [...(match[2] as string).matchAll(/([-+=])([rwxXst]*|[ugo])/g)] };
  });
  return (mode, isDirectory) => {
    let bits = mode;
    for (const { who, actions } of clauses) {
      for (const [, operator, what] of actions)
        bits = change(bits, who, operator as string, what as string, isDirectory);
    }
    return bits;
  };
}

function change(mode: number, who: string, operator: string, what: string, isDirectory: boolean): number {
  let [set, cleared] = [0, 0];
  for (const person of who) {
    const shift = SHIFT[person] as number;
    set |= permissionsOf(mode, what, isDirectory) << shift;
    cleared |= 0o7 << shift;
  }
  if (what.includes('s')) set |= (who.includes('u') ? 0o4000 : 0) | (who.includes('g') ? 0o2000 : 0);
  if (what.includes('t')) set |= 0o1000;
  if (operator === '+') return mode | set;
  if (operator === '-') return mode & ~set;
  const special = (who.includes('u') ? 0o4000 : 0) | (who.includes('g') ? 0o2000 : 0);
  return (mode & ~cleared & ~(isDirectory ? 0 : special)) | set;
}

function permissionsOf(mode: number, what: string, isDirectory: boolean): number {
  const copied = SHIFT[what];
  if (copied !== undefined) return (mode >> copied) & 7;
  let bits = 0;
  for (const letter of what) {
    if (letter === 'X') bits |= isDirectory || (mode & 0o111) !== 0 ? 1 : 0;
    else bits |= BITS[letter] ?? 0;
  }
  return bits;
}

function invalid(text: string): CodedError {
  return new CodedError(
    'invalid_argument',
    `invalid chmod parameter: '${text}'. it should be octal string and between 0 and 07777`,
    {
      help: {
        id: 'build/chmod',
        cause: `--chmod=${text} is no file mode`,
        fix: ['use an octal mode such as --chmod=755, or a symbolic one such as --chmod=u=rwX,go=rX'],
      },
    },
  );
}
