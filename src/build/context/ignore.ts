import { IgnoreMatcher, parseIgnoreFile } from '#dockerfile/ignore/index.ts';
import type { IgnoreLine, IgnoreText } from './types.ts';

/** An ignore file, ready to be asked. */
export interface Matcher {
  /** The line that hides `path`, by itself or through a parent. */
  match(path: string): IgnoreLine | undefined;
  /** Whether a `!` line may take something below this hidden directory back in. */
  hasExceptionBelow(directory: string): boolean;
}

/** @throws {CodedError} `invalid_argument` for a broken pattern. */
export function createMatcher({ file, text }: IgnoreText): Matcher {
  const matcher = new IgnoreMatcher(parseIgnoreFile(text));
  const lines = linesByPattern(text);
  return {
    match(path) {
      const decision = matcher.decide(path);
      if (!decision.ignored) return undefined;
      const pattern = decision.pattern ?? '';
      return { file, line: lines.get(pattern) ?? 0, pattern };
    },
    hasExceptionBelow: () => matcher.hasExceptions,
  };
}

/** The last line that means a pattern: it is the one that decided. */
function linesByPattern(text: string): ReadonlyMap<string, number> {
  const lines = new Map<string, number>();
  for (const [i, line] of text.split('\n').entries()) {
    const [pattern] = parseIgnoreFile(i === 0 ? line : `\n${line}`);
    if (pattern !== undefined) lines.set(pattern, i + 1);
  }
  return lines;
}

/** Reads the patterns of `--exclude`: a path is excluded when one matches it or a parent. */
export function createExcluder(patterns: readonly string[]): (path: string) => boolean {
  if (patterns.length === 0) return () => false;
  const matcher = new IgnoreMatcher(patterns);
  return (path) => matcher.matches(path);
}
