import { CodedError } from '#base/errors/index.ts';

const LIMIT = 512;

/**
 * Shell patterns of names: `*` and `?` stay inside one component, `[a-z]` and `[^a]` are one character, `\` quotes.
 * Work is bounded by pattern length times text length.
 * @throws {CodedError} `invalid_argument` for an unfinished class or a pattern too long.
 */
export function matchesGlob(pattern: string, text: string): boolean {
  const parts = parseGlob(pattern);
  // reachable[i]: the first i parts can match what was read so far.
  let reachable = new Set([0, ...skipStars(parts, 0)]);
  for (const char of text) {
    const next = new Set<number>();
    for (const at of reachable) {
      const part = parts[at];
      if (part === undefined) continue;
      if (part === '*') {
        if (char !== '/') for (const to of [at, ...skipStars(parts, at)]) next.add(to);
      } else if (part(char)) {
        next.add(at + 1);
        for (const to of skipStars(parts, at + 1)) next.add(to);
      }
    }
    reachable = next;
  }
  return reachable.has(parts.length);
}

type Part = '*' | ((char: string) => boolean);

/** Positions reached from `at` by letting stars match nothing. */
function skipStars(parts: readonly Part[], at: number): number[] {
  const reached: number[] = [];
  for (let i = at; parts[i] === '*'; i++) reached.push(i + 1);
  return reached;
}

function parseGlob(pattern: string): readonly Part[] {
  if (pattern.length > LIMIT) throw invalid(pattern);
  const chars = [...pattern];
  const parts: Part[] = [];
  for (let i = 0; i < chars.length; i++) {
    const char = chars[i] ?? '';
    if (char === '*') parts.push('*');
    else if (char === '?') parts.push((c) => c !== '/');
    else if (char === '[') {
      const end = chars.indexOf(']', i + 2);
      if (end < 0) throw invalid(pattern);
      parts.push(parseClass(chars.slice(i + 1, end)));
      i = end;
    } else {
      const literal = char === '\\' ? chars[++i] : char;
      if (literal === undefined) throw invalid(pattern);
      parts.push((c) => c === literal);
    }
  }
  return parts;
}

function parseClass(chars: readonly string[]): Part {
  const negated = chars[0] === '^';
  const items = negated ? chars.slice(1) : chars;
  const ranges: [string, string][] = [];
  for (let i = 0; i < items.length; i++) {
    const low = items[i] ?? '';
    const isRange = items[i + 1] === '-' && items[i + 2] !== undefined;
    ranges.push([low, isRange ? (items[i + 2] ?? low) : low]);
    if (isRange) i += 2;
  }
  return (c) => c !== '/' && ranges.some(([low, high]) => c >= low && c <= high) !== negated;
}

function invalid(pattern: string): CodedError {
  return new CodedError('invalid_argument', 'syntax error in pattern', {
    subject: { kind: 'pattern', name: pattern.slice(0, LIMIT) },
  });
}
