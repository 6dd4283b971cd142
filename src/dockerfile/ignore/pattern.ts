/**
 * One pattern of a .dockerignore file. Four kinds, because most patterns need no search:
 *
 *   exact   a/b           the path itself
 *   prefix  a/**          starts with
 *   suffix  **\/a, **a    ends with, or is without the leading slash
 *   glob    a*b? [a-z] …  runs as a set of positions in the pattern, one step per character
 *
 * `*` and `?` stop at `/`; `**` does not, and `**\/` may be nothing.
 */
import { CodedError } from '#base/errors/index.ts';

type Token =
  | { readonly kind: 'literal'; readonly char: string }
  | { readonly kind: 'one' }
  | { readonly kind: 'star' }
  /** Any directories, each with its slash, or nothing. */
  | { readonly kind: 'directories' }
  | { readonly kind: 'rest' }
  | {
      readonly kind: 'class';
      readonly negated: boolean;
      readonly ranges: readonly (readonly [string, string])[];
    };

type Kind = 'exact' | 'prefix' | 'suffix' | 'glob';

/** A pattern, ready to match. */
export class IgnorePattern {
  /** As written, cleaned, without `!`. */
  readonly text: string;
  /** Written with `!`: brings back what earlier patterns ignored. */
  readonly negated: boolean;
  readonly #kind: Kind;
  readonly #tokens: readonly Token[];
  readonly #isBroken: boolean;

  /** @throws {CodedError} `invalid_argument` with `syntax error in pattern`. */
  constructor(text: string, negated: boolean) {
    this.text = text;
    this.negated = negated;
    const { kind, tokens } = compile(text);
    this.#kind = kind;
    this.#tokens = tokens;
    this.#isBroken = tokens.some(
      (token) => token.kind === 'class' && token.ranges.some(([low, high]) => low > high),
    );
  }

  /** Whether the pattern matches exactly this path. @throws {CodedError} for a class with its ends the wrong way round. */
  matches(path: string): boolean {
    if (this.#isBroken) throw syntaxError();
    switch (this.#kind) {
      case 'exact':
        return path === this.text;
      case 'prefix':
        return path.startsWith(this.text.slice(0, -2));
      case 'suffix': {
        const suffix = this.text.slice(2);
        return path.endsWith(suffix) || (suffix.startsWith('/') && path === suffix.slice(1));
      }
      case 'glob':
        return runGlob(this.#tokens, path);
    }
  }
}

function syntaxError(): CodedError {
  return new CodedError('invalid_argument', 'syntax error in pattern');
}

function compile(text: string): { readonly kind: Kind; readonly tokens: readonly Token[] } {
  const chars = [...text];
  const tokens: Token[] = [];
  let kind: Kind = 'exact';
  for (let i = 0; i < chars.length; i++) {
    const char = chars[i] ?? '';
    if (char === '*' && chars[i + 1] === '*') {
      const isFirst = i === 0;
      i++;
      if (chars[i + 1] === '/') i++;
      const isLast = i + 1 >= chars.length;
      tokens.push({ kind: isLast ? 'rest' : 'directories' });
      if (isFirst) kind = 'suffix';
      else kind = isLast && kind === 'exact' ? 'prefix' : 'glob';
    } else if (char === '*' || char === '?') {
      tokens.push({ kind: char === '*' ? 'star' : 'one' });
      kind = 'glob';
    } else if (char === '\\') {
      const escaped = chars[++i];
      if (escaped === undefined) throw syntaxError();
      tokens.push({ kind: 'literal', char: escaped });
      kind = 'glob';
    } else if (char === '[') {
      const read = readClass(chars, i);
      tokens.push(read.token);
      i = read.end;
      kind = 'glob';
    } else {
      tokens.push({ kind: 'literal', char });
      if (char === ']') kind = 'glob';
    }
  }
  return { kind, tokens };
}

/** `[a-z]`, `[^abc]`; `end` is the position of the closing bracket. */
function readClass(chars: readonly string[], from: number): { readonly token: Token; readonly end: number } {
  let position = from + 1;
  const negated = chars[position] === '^';
  if (negated) position++;
  const ranges: (readonly [string, string])[] = [];
  const readEnd = (): string => {
    const char = chars[position++];
    if (char === undefined || char === '-' || char === ']') throw syntaxError();
    const value = char === '\\' ? chars[position++] : char;
    // A class cannot end the pattern without its bracket.
    if (value === undefined || position >= chars.length) throw syntaxError();
    return value;
  };
  while (chars[position] !== ']' || ranges.length === 0) {
    const low = readEnd();
    let high = low;
    if (chars[position] === '-') {
      position++;
      high = readEnd();
    }
    ranges.push([low, high]);
  }
  return { token: { kind: 'class', negated, ranges }, end: position };
}

/** Positions in `tokens` that are reachable, advanced character by character; never goes back. */
function runGlob(tokens: readonly Token[], path: string): boolean {
  let active = new Set<number>();
  addPosition(active, 0, tokens);
  for (const char of path) {
    const next = new Set<number>();
    for (const position of active) step(position, char, tokens, next);
    if (next.size === 0) return false;
    active = next;
  }
  return active.has(tokens.length);
}

/** Adds `position` and those reached from it without a character. */
function addPosition(set: Set<number>, position: number, tokens: readonly Token[]): void {
  for (let at = position; ; at++) {
    set.add(at);
    const kind = tokens[at]?.kind;
    if (kind !== 'star' && kind !== 'rest' && kind !== 'directories') return;
  }
}

function step(position: number, char: string, tokens: readonly Token[], next: Set<number>): void {
  const token = tokens[position];
  if (token === undefined) return;
  switch (token.kind) {
    case 'literal':
      if (token.char === char) addPosition(next, position + 1, tokens);
      return;
    case 'one':
      if (char !== '/') addPosition(next, position + 1, tokens);
      return;
    case 'class':
      if (isInClass(char, token.ranges) !== token.negated) addPosition(next, position + 1, tokens);
      return;
    case 'star':
      if (char !== '/') addPosition(next, position, tokens);
      return;
    case 'rest':
      addPosition(next, position, tokens);
      return;
    case 'directories':
      // Inside the directories only the position itself is alive; behind a slash what follows may begin.
      if (char === '/') addPosition(next, position + 1, tokens);
      next.add(position);
  }
}

function isInClass(char: string, ranges: readonly (readonly [string, string])[]): boolean {
  return ranges.some(([low, high]) => low <= char && char <= high);
}
