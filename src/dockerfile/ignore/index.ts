/**
 * .dockerignore: the last pattern that matches a path or one of its parents decides. Pure.
 * A walk should keep the `state` that `matchBelow` returns for a directory and pass it for its entries:
 * then each entry is matched once, whatever its depth.
 */
import { CodedError, messageOf } from '#base/errors/index.ts';
import { trimSpace } from '#dockerfile/expand/index.ts';
import { cleanPath } from './clean.ts';
import { IgnorePattern } from './pattern.ts';

export { cleanPath } from './clean.ts';

/** Per pattern: whether a directory matched it. */
export type DirectoryState = readonly boolean[];

/** What decided about a path. */
export interface IgnoreDecision {
  readonly ignored: boolean;
  /** The deciding pattern as written (`!` included); `undefined` when none matched. */
  readonly pattern: string | undefined;
}

/** Reads the lines of an ignore file: comments and empty lines drop out, paths are cleaned and made relative. */
export function parseIgnoreFile(text: string): string[] {
  const patterns: string[] = [];
  for (const raw of (text.startsWith('\ufeff') ? text.slice(1) : text).split('\n')) {
    const line = trimSpace(raw);
    if (raw.startsWith('#') || line === '') continue;
    const negated = line.startsWith('!');
    const pattern = negated ? trimSpace(line.slice(1)) : line;
    patterns.push((negated ? '!' : '') + relative(pattern));
  }
  return patterns;
}

function relative(pattern: string): string {
  if (pattern === '') return '';
  const clean = cleanPath(pattern);
  return clean.length > 1 && clean.startsWith('/') ? clean.slice(1) : clean;
}

/** A list of patterns, ready to match slash-separated relative paths. */
export class IgnoreMatcher {
  readonly patterns: readonly IgnorePattern[];
  /** Some pattern starts with `!`, so an ignored directory may hold files that are not. */
  readonly hasExceptions: boolean;

  /** @throws {CodedError} `invalid_argument`: `illegal exclusion pattern: "!"`, `syntax error in pattern`. */
  constructor(patterns: readonly string[]) {
    this.patterns = patterns.flatMap((text) => {
      const trimmed = trimSpace(text);
      return trimmed === '' ? [] : [parsePattern(cleanPath(trimmed))];
    });
    this.hasExceptions = this.patterns.some((pattern) => pattern.negated);
  }

  /** Whether `path` is ignored, by itself or through a parent. */
  matches(path: string): boolean {
    return this.decide(path).ignored;
  }

  /** As `matches`, and by which pattern. */
  decide(path: string): IgnoreDecision {
    const parents = parentsOf(path);
    let decision: IgnoreDecision = { ignored: false, pattern: undefined };
    for (const pattern of this.patterns) {
      if (pattern.negated !== decision.ignored) continue;
      if (!pattern.matches(path) && !parents.some((parent) => pattern.matches(parent))) continue;
      decision = { ignored: !pattern.negated, pattern: (pattern.negated ? '!' : '') + pattern.text };
    }
    return decision;
  }

  /** As `matches`, given what the parent directory matched; pass `undefined` at the top. */
  matchBelow(path: string, parent: DirectoryState | undefined): { ignored: boolean; state: DirectoryState } {
    if (parent !== undefined && parent.length !== this.patterns.length) {
      throw new CodedError('invalid_argument', 'wrong number of values in parentMatched');
    }
    const parents = parent === undefined ? parentsOf(path) : [];
    let ignored = false;
    const state = this.patterns.map((pattern, i) => {
      let matched = parent?.[i] ?? false;
      if (!matched && pattern.negated === ignored) {
        matched = pattern.matches(path) || parents.some((ancestor) => pattern.matches(ancestor));
      }
      if (matched) ignored = !pattern.negated;
      return matched;
    });
    return { ignored, state };
  }
}

function parsePattern(text: string): IgnorePattern {
  if (!text.startsWith('!')) return compile(text, false);
  if (text === '!') throw new CodedError('invalid_argument', 'illegal exclusion pattern: "!"');
  return compile(text.slice(1), true);
}

function compile(text: string, negated: boolean): IgnorePattern {
  try {
    return new IgnorePattern(text, negated);
  } catch (error) {
    throw new CodedError('invalid_argument', messageOf(error), {
      cause: error,
      subject: { kind: 'pattern', name: text.slice(0, 200) },
    });
  }
}

/** `a/b/c` has `a` and `a/b`. */
function parentsOf(path: string): string[] {
  const parents: string[] = [];
  for (let slash = path.indexOf('/'); slash >= 0; slash = path.indexOf('/', slash + 1)) {
    if (slash > 0) parents.push(path.slice(0, slash));
  }
  return parents;
}
