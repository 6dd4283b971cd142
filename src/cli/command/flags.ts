/** The command line as pflag reads it: `--name value`, `--name=value`, `-abc`, `-n5`, `--bool=false`, `--`. */
import { CodedError, messageOf } from '#base/errors/index.ts';
import { findSimilar } from '#base/similar/index.ts';
import type { Flag, Flags } from './types.ts';

/** What a command line says. */
export interface ParsedLine {
  readonly args: readonly string[];
  readonly flags: Flags;
  readonly wantsHelp: boolean;
}

const TRUE = new Set(['1', 't', 'T', 'true', 'TRUE', 'True']);
const FALSE = new Set(['0', 'f', 'F', 'false', 'FALSE', 'False']);

/** A command line nobody can follow; the usage hint is printed after it and the exit code is 125 or 1. */
export function usageError(message: string): CodedError {
  return new CodedError('invalid_argument', message, { data: { usage: true } });
}

/** Reads a command line. @throws {CodedError} `invalid_argument` in Docker's words. */
export function parseLine(
  words: readonly string[],
  known: readonly Flag[],
  options: { readonly stopAtFirst?: boolean } = {},
): ParsedLine {
  const values = new Map<string, string[]>();
  const args: string[] = [];
  let wantsHelp = false;
  let i = 0;
  const next = (flag: Flag, shown: string): string => {
    const value = words[i++];
    if (value === undefined) throw usageError(`flag needs an argument: ${shown}`);
    checkValue(flag, value, nameOf(flag));
    return value;
  };
  const add = (flag: Flag, value: string): void => {
    const before = flag.kind === 'list' ? (values.get(flag.name) ?? []) : [];
    values.set(flag.name, [...before, value]);
  };
  while (i < words.length) {
    const word = words[i++] ?? '';
    if (word === '--') {
      args.push(...words.slice(i));
      break;
    }
    if (word === '-' || !word.startsWith('-')) {
      args.push(word);
      if (!options.stopAtFirst) continue;
      args.push(...words.slice(i));
      break;
    }
    if (word.startsWith('--')) {
      const equals = word.indexOf('=');
      const name = word.slice(2, equals < 0 ? undefined : equals);
      if (name === 'help') {
        wantsHelp = true;
        continue;
      }
      const flag = known.find((one) => one.name === name);
      if (flag === undefined) throw unknownFlag(name, known);
      if (equals >= 0) {
        const value = word.slice(equals + 1);
        checkValue(flag, value, nameOf(flag));
        add(flag, value);
      } else
        add(flag, flag.kind === 'bool' ? 'true' : flag.kind === 'optional' ? '' : next(flag, `--${name}`));
      continue;
    }
    wantsHelp = readShort(word, known, add, next) || wantsHelp;
  }
  return { args, flags: makeFlags(known, values), wantsHelp };
}

/** `-abc`, `-n5`, `-n=5`, `-n 5`; returns whether help was asked for. */
function readShort(
  word: string,
  known: readonly Flag[],
  add: (flag: Flag, value: string) => void,
  next: (flag: Flag, shown: string) => string,
): boolean {
  for (let at = 1; at < word.length; at++) {
    const short = word[at] ?? '';
    const flag = known.find((one) => one.short === short);
    if (flag === undefined && short === 'h') return true;
    if (flag === undefined) throw usageError(`unknown shorthand flag: '${short}' in ${word}`);
    const rest = word.slice(at + 1);
    if (flag.kind === 'bool' && !rest.startsWith('=')) {
      add(flag, 'true');
      continue;
    }
    if (rest === '') add(flag, next(flag, `'${short}' in ${word}`));
    else {
      const value = rest.replace(/^=/, '');
      checkValue(flag, value, nameOf(flag));
      add(flag, value);
    }
    break;
  }
  return false;
}

function unknownFlag(name: string, known: readonly Flag[]): CodedError {
  const similar = findSimilar(
    name,
    known.map((flag) => flag.name),
    { caseSensitive: true },
  );
  return new CodedError('invalid_argument', `unknown flag: --${name}`, {
    data: { usage: true },
    ...(similar === undefined
      ? {}
      : { help: { id: 'cli/unknown-flag', fix: [`did you mean --${similar}?`] } }),
  });
}

/** As pflag names a flag in a message. */
function nameOf({ name, short }: Flag): string {
  return short === undefined ? `--${name}` : `-${short}, --${name}`;
}

function checkValue(flag: Flag, value: string, shown: string): void {
  if (flag.kind === 'bool' && !TRUE.has(value) && !FALSE.has(value))
    throw usageError(
      `invalid argument ${JSON.stringify(value)} for "${shown}" flag: strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax`,
    );
  if (flag.kind === 'int' && !/^-?\d+$/.test(value))
    throw usageError(
      `invalid argument ${JSON.stringify(value)} for "${shown}" flag: strconv.ParseInt: parsing ${JSON.stringify(value)}: invalid syntax`,
    );
  try {
    flag.check?.(value);
  } catch (error) {
    throw new CodedError(
      'invalid_argument',
      `invalid argument ${JSON.stringify(value)} for "${shown}" flag: ${messageOf(error)}`,
      { data: { usage: true }, help: error instanceof CodedError ? error.help : undefined, cause: error },
    );
  }
}

function makeFlags(known: readonly Flag[], values: ReadonlyMap<string, readonly string[]>): Flags {
  const defaultOf = (name: string): Flag['default'] => known.find((flag) => flag.name === name)?.default;
  const last = (name: string): string | undefined => values.get(name)?.at(-1);
  return {
    bool: (name) => {
      const value = last(name);
      return value === undefined ? defaultOf(name) === true : TRUE.has(value);
    },
    string: (name) => {
      const fallback = defaultOf(name);
      return last(name) ?? (typeof fallback === 'string' ? fallback : undefined);
    },
    list: (name) => values.get(name) ?? [],
    int: (name) => {
      const value = last(name);
      const fallback = defaultOf(name);
      return value === undefined ? (typeof fallback === 'number' ? fallback : undefined) : Number(value);
    },
    has: (name) => values.has(name),
  };
}

/** The `Options:` part of a command's help. */
export function describeFlags(flags: readonly Flag[]): string {
  const rows = [...flags]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map((flag) => {
      const type =
        flag.kind === 'bool'
          ? ''
          : ` ${flag.placeholder ?? (flag.kind === 'optional' ? 'string' : flag.kind)}`;
      return {
        left: `${flag.short ? `-${flag.short}, ` : '    '}--${flag.name}${type}`,
        right: helpOf(flag),
      };
    });
  const width = Math.max(...rows.map(({ left }) => left.length), 0) + 3;
  return rows.map(({ left, right }) => `  ${left.padEnd(width)}${right}\n`).join('');
}

function helpOf(flag: Flag): string {
  if (flag.default === undefined || flag.default === '' || flag.default === false) return flag.help;
  return `${flag.help} (default ${typeof flag.default === 'string' ? JSON.stringify(flag.default) : flag.default})`;
}
