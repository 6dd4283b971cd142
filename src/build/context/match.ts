/**
 * Go's `filepath.Match`, which decides what a wildcard in COPY and ADD means: `*` and `?` stay within one name, `[a-z]` and
 * `[^a-z]` are classes, a backslash takes the next character literally. Linear in the text for each star.
 */
import { CodedError } from '#base/errors/index.ts';

/** Whether a source is a pattern; Docker looks for these three characters only. */
export function hasWildcard(source: string): boolean {
  for (let i = 0; i < source.length; i++) {
    const char = source[i];
    if (char === '\\') i++;
    else if (char === '*' || char === '?' || char === '[') return true;
  }
  return false;
}

/**
 * Matches the whole of `name`.
 * @throws {CodedError} `invalid_argument` for a broken class or a trailing backslash.
 */
export function matchPath(pattern: string, name: string): boolean {
  const tokens = parsePattern(pattern);
  let [t, n] = [0, 0];
  let star = -1;
  let starName = 0;
  const chars = [...name];
  while (n < chars.length) {
    const token = tokens[t];
    const char = chars[n] as string;
    if (token?.kind === 'star') {
      star = t++;
      starName = n;
    } else if (token !== undefined && accepts(token, char)) {
      t++;
      n++;
    } else if (star >= 0 && chars[starName] !== '/') {
      t = star + 1;
      n = ++starName;
    } else {
      return false;
    }
  }
  while (tokens[t]?.kind === 'star') t++;
  return t === tokens.length;
}

/** A name taken literally: what a backslash protected is itself. */
export function unescapePattern(source: string): string {
  return source.replace(/\\(.)/gs, '$1');
}

type Token =
  | { readonly kind: 'star' }
  | { readonly kind: 'any' }
  | { readonly kind: 'char'; readonly char: string }
  | { readonly kind: 'class'; readonly negated: boolean; readonly ranges: readonly [string, string][] };

function accepts(token: Token, char: string): boolean {
  switch (token.kind) {
    case 'star':
      return false;
    case 'any':
      return char !== '/';
    case 'char':
      return char === token.char;
    case 'class': {
      const inside = token.ranges.some(([low, high]) => low <= char && char <= high);
      return inside !== token.negated && char !== '/';
    }
  }
}

function parsePattern(pattern: string): readonly Token[] {
  const chars = [...pattern];
  const tokens: Token[] = [];
  let i = 0;
  while (i < chars.length) {
    const char = chars[i++] as string;
    if (char === '*') {
      if (tokens.at(-1)?.kind !== 'star') tokens.push({ kind: 'star' });
    } else if (char === '?') tokens.push({ kind: 'any' });
    else if (char === '\\') {
      const next = chars[i++];
      if (next === undefined) throw badPattern(pattern);
      tokens.push({ kind: 'char', char: next });
    } else if (char === '[') {
      const parsed = parseClass(chars, i, pattern);
      tokens.push(parsed.token);
      i = parsed.next;
    } else tokens.push({ kind: 'char', char });
  }
  return tokens;
}

function parseClass(
  chars: readonly string[],
  start: number,
  pattern: string,
): { token: Token; next: number } {
  let i = start;
  const negated = chars[i] === '^';
  if (negated) i++;
  const ranges: [string, string][] = [];
  const one = (): string => {
    let char = chars[i++];
    if (char === '\\') char = chars[i++];
    else if (char === '-' || char === ']') throw badPattern(pattern);
    if (char === undefined) throw badPattern(pattern);
    return char;
  };
  while (chars[i] !== ']' || ranges.length === 0) {
    if (i >= chars.length) throw badPattern(pattern);
    const low = one();
    let high = low;
    if (chars[i] === '-') {
      i++;
      high = one();
    }
    ranges.push([low, high]);
  }
  return { token: { kind: 'class', negated, ranges }, next: i + 1 };
}

function badPattern(pattern: string): CodedError {
  return new CodedError('invalid_argument', `syntax error in pattern: ${pattern}`);
}
