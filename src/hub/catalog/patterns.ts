import { CodedError } from '#base/errors/index.ts';

const PATTERN = /^[A-Za-z0-9_.*?-]{1,128}$/;
const PATTERNS_MAX = 50;

/** Whether all of `text` fits: `*` stands for any text, `?` for one character, everything else for itself. */
export function matchesPattern(pattern: string, text: string): boolean {
  let p = 0;
  let t = 0;
  // Where to go on when what follows the last `*` does not fit: one character later.
  let star = -1;
  let resume = 0;
  while (t < text.length) {
    if (pattern[p] === '*') {
      star = p++;
      resume = t;
    } else if (pattern[p] === '?' || pattern[p] === text[t]) {
      p++;
      t++;
    } else if (star >= 0) {
      p = star + 1;
      t = ++resume;
    } else return false;
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}

/** Whether any of the patterns fits. */
export function matchesAny(patterns: readonly string[], text: string): boolean {
  return patterns.some((pattern) => matchesPattern(pattern, text));
}

/**
 * Patterns as somebody sent them, each once.
 * @throws {CodedError} `invalid_argument` about `field`.
 */
export function parsePatterns(value: unknown, field: string): readonly string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [];
  const patterns = [...new Set(list.map((entry) => String(entry).trim()))];
  const wrong = patterns.find((pattern) => !PATTERN.test(pattern));
  if (wrong !== undefined) {
    throw invalid(
      field,
      `"${wrong.slice(0, 140)}" is no pattern of tags: use letters, digits, "_", ".", "-", and "*" or "?" for what varies`,
    );
  }
  if (patterns.length > PATTERNS_MAX) throw invalid(field, `use at most ${PATTERNS_MAX} patterns`);
  return patterns;
}

function invalid(field: string, message: string): CodedError {
  return new CodedError('invalid_argument', message, { subject: { kind: 'field', name: field } });
}
