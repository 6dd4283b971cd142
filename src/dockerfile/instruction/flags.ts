/** `--name=value` words of an instruction against the flags it knows. */
import { CodedError } from '#base/errors/index.ts';
import { findSimilar, withSuggestion } from '#base/similar/index.ts';

/** Kinds of flags: `strings` may be repeated. */
export type FlagKind = 'string' | 'strings' | 'bool';

/** The flags an instruction was given. */
export interface Flags {
  /** Last value of a `string` flag, or ''. */
  string(name: string): string;
  /** Values of a `strings` flag. */
  strings(name: string): readonly string[];
  /** A `bool` flag; `undefined` when not given. */
  bool(name: string): boolean | undefined;
  /** Names given, in order. */
  readonly used: readonly string[];
}

/**
 * Reads the flags of one instruction.
 * @throws {CodedError} `invalid_argument`: unknown, twice, without value, not a boolean.
 */
export function parseFlags(words: readonly string[], known: Readonly<Record<string, FlagKind>>): Flags {
  const values = new Map<string, string[]>();
  for (const word of words) {
    const equals = word.indexOf('=');
    const flag = equals < 0 ? word : word.slice(0, equals);
    const value = equals < 0 ? undefined : word.slice(equals + 1);
    const name = flag.slice(2);
    const kind = Object.hasOwn(known, name) ? known[name] : undefined;
    if (kind === undefined) {
      throw unknownFlag(flag, name, Object.keys(known));
    }
    const earlier = values.get(name);
    if (earlier !== undefined && kind !== 'strings') throw invalid(`duplicate flag specified: ${flag}`);
    values.set(name, [...(earlier ?? []), flagValue(flag, value, kind)]);
  }
  return {
    string: (name) => values.get(name)?.[0] ?? '',
    strings: (name) => values.get(name) ?? [],
    bool: (name) => (values.has(name) ? values.get(name)?.[0] === 'true' : undefined),
    used: [...values.keys()],
  };
}

function flagValue(flag: string, value: string | undefined, kind: FlagKind): string {
  if (kind !== 'bool') {
    if (value === undefined) throw invalid(`missing a value on flag: ${flag}`);
    return value;
  }
  if (value === '') throw invalid(`missing a value on flag: ${flag}`);
  const lower = value?.toLowerCase() ?? 'true';
  if (lower === 'true' || lower === 'false') return lower;
  throw invalid(`expecting boolean value for flag ${flag}, not: ${value}`);
}

function unknownFlag(flag: string, name: string, known: readonly string[]): CodedError {
  const message = withSuggestion(`unknown flag: ${flag}`, name, known, { caseSensitive: true });
  const similar = findSimilar(name, known, { caseSensitive: true });
  return new CodedError('invalid_argument', message, {
    help: {
      id: 'dockerfile/unknown-flag',
      cause:
        known.length === 0
          ? 'this instruction has no flags'
          : `the flags of this instruction are ${known.map((one) => `--${one}`).join(', ')}`,
      fix: [similar === undefined ? `remove ${flag}` : `replace ${flag} by --${similar}`],
    },
  });
}

function invalid(message: string): CodedError {
  return new CodedError('invalid_argument', message);
}
