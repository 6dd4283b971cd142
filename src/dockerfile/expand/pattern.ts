/**
 * Shell patterns of `${name#pattern}`, `%` and `/`: `*` any run, `?` one character, `\` makes `*`, `?` and `\`
 * literal (and lets `}` and `/` be written inside the braces). There are no bracket expressions.
 * A pattern is a list of pieces between stars, each found leftmost after the one before, so a match never goes back.
 */
import { CodedError } from '#base/errors/index.ts';

/** `undefined` is `?`. */
type Unit = string | undefined;
type Piece = readonly Unit[];

/** Comparisons one substitution may make; a piece full of `?` cannot be searched by index. */
const WORK_LIMIT = 50_000_000;

/** A compiled pattern; `pieces` are joined by stars. */
export interface Pattern {
  readonly pieces: readonly Piece[];
}

/**
 * Reads a pattern.
 * @throws {CodedError} `invalid_argument` with `invalid pattern (…) in substitution: …`.
 */
export function parsePattern(text: string): Pattern {
  const pieces: Unit[][] = [[]];
  const chars = [...text];
  for (let i = 0; i < chars.length; i++) {
    const char = chars[i] ?? '';
    const last = pieces[pieces.length - 1] as Unit[];
    if (char === '*') pieces.push([]);
    else if (char === '?') last.push(undefined);
    else if (char === '\\' && chars[i + 1] !== '}' && chars[i + 1] !== '/')
      last.push(escaped(chars[++i], text));
    else if (char !== '\\') last.push(char);
  }
  return { pieces };
}

function escaped(char: string | undefined, pattern: string): string {
  if (char === '*' || char === '?' || char === '\\') return char;
  throw new CodedError(
    'invalid_argument',
    `invalid pattern (${pattern}) in substitution: invalid escape '\\${char ?? '\ufffd'}'`,
  );
}

/** Removes the shortest or longest start of `value` that matches. */
export function trimPrefix(value: string, pattern: Pattern, options: { readonly longest: boolean }): string {
  const chars = [...value];
  const end = new Matcher(chars, pattern.pieces).matchAt(0, options.longest);
  return end === undefined ? value : chars.slice(end).join('');
}

/** Removes the shortest or longest end of `value` that matches. */
export function trimSuffix(value: string, pattern: Pattern, options: { readonly longest: boolean }): string {
  const reversed = [...value].reverse();
  const pieces = pattern.pieces.map((piece) => [...piece].reverse()).reverse();
  const end = new Matcher(reversed, pieces).matchAt(0, options.longest);
  return end === undefined ? value : reversed.slice(end).reverse().join('');
}

/** Replaces the first or every leftmost longest match; an empty match inserts. */
export function replace(
  value: string,
  pattern: Pattern,
  replacement: string,
  options: { readonly all: boolean; readonly limit: number },
): string {
  const chars = [...value];
  const matcher = new Matcher(chars, pattern.pieces);
  let result = '';
  let position = 0;
  let afterMatch = -1;
  while (position <= chars.length) {
    const found = matcher.find(position);
    if (found === undefined) break;
    result += chars.slice(position, found.start).join('');
    // An empty match right behind a match is not a match of its own.
    if (found.end > found.start || found.start !== afterMatch) result += replacement;
    if (result.length > options.limit) throw tooLarge(options.limit);
    if (found.end === found.start) result += chars[found.end] ?? '';
    position = found.end > found.start ? found.end : found.end + 1;
    afterMatch = found.end > found.start ? found.end : -1;
    if (!options.all) break;
  }
  return result + chars.slice(position).join('');
}

/** The error for a word that grows past `limit` characters. */
export function tooLarge(limit: number): CodedError {
  return new CodedError('resource_exhausted', `variable expansion is larger than ${limit} characters`, {
    help: {
      id: 'dockerfile/expansion-too-large',
      cause: 'a variable refers to others that double at each step',
      fix: ['shorten the values of ARG and ENV'],
    },
  });
}

class Matcher {
  readonly #chars: readonly string[];
  readonly #pieces: readonly Piece[];
  #work = 0;

  constructor(chars: readonly string[], pieces: readonly Piece[]) {
    this.#chars = chars;
    this.#pieces = pieces;
  }

  /** Leftmost match at or after `from`, as long as possible. */
  find(from: number): { readonly start: number; readonly end: number } | undefined {
    const first = this.#pieces[0] ?? [];
    const start = this.#search(first, from);
    if (start === undefined) return undefined;
    // When the pieces after the first do not fit here, they fit nowhere further right.
    const end = this.matchAt(start, true);
    return end === undefined ? undefined : { start, end };
  }

  /** End of the match that starts at `start`. */
  matchAt(start: number, longest: boolean): number | undefined {
    const first = this.#pieces[0] ?? [];
    if (!this.#fits(first, start)) return undefined;
    let end = start + first.length;
    for (let i = 1; i < this.#pieces.length; i++) {
      const piece = this.#pieces[i] ?? [];
      const isLast = i === this.#pieces.length - 1;
      const at = isLast && longest ? this.#searchBackward(piece, end) : this.#search(piece, end);
      if (at === undefined) return undefined;
      end = at + piece.length;
    }
    return end;
  }

  #search(piece: Piece, from: number): number | undefined {
    for (let at = from; at + piece.length <= this.#chars.length; at++) if (this.#fits(piece, at)) return at;
    return undefined;
  }

  #searchBackward(piece: Piece, from: number): number | undefined {
    for (let at = this.#chars.length - piece.length; at >= from; at--) if (this.#fits(piece, at)) return at;
    return undefined;
  }

  #fits(piece: Piece, at: number): boolean {
    if (at + piece.length > this.#chars.length) return false;
    for (let i = 0; i < piece.length; i++) {
      if (++this.#work > WORK_LIMIT) {
        throw new CodedError('resource_exhausted', 'pattern in substitution takes too long to match');
      }
      const unit = piece[i];
      if (unit !== undefined && unit !== this.#chars[at + i]) return false;
    }
    return true;
  }
}
