/** Word splitting and variable substitution. Pure; linear in the text and bounded in what it may produce. */
import { CodedError, codeOf, messageOf } from '#base/errors/index.ts';
import { quote } from './character.ts';
import { Lexer } from './lexer.ts';
import type { ExpandOptions, Expansion } from './types.ts';

export { isSpace, quote, trimSpace, trimSpaceEnd, trimSpaceStart } from './character.ts';

/** Largest expansion of one word, in characters. */
export const EXPANSION_LIMIT = 1024 * 1024;

/**
 * Replaces variables of `source` by their values in `env` and removes quotes and escapes.
 * @throws {CodedError} `invalid_argument` with `failed to process "…": …`; `resource_exhausted` past the limit.
 */
export function expand(source: string, env: ReadonlyMap<string, string>, options: ExpandOptions): Expansion {
  const limit = options.limit ?? EXPANSION_LIMIT;
  const lexer = new Lexer(source, env, options, limit);
  try {
    const { text, words } = lexer.run();
    return { text, words, matched: lexer.matched, unmatched: lexer.unmatched };
  } catch (error) {
    throw new CodedError(codeOf(error), `failed to process ${quote(shorten(source))}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** Reads `NAME=value` lines; a line without `=` is a name with an empty value. */
export function envMap(env: readonly string[]): Map<string, string> {
  const map = new Map<string, string>();
  for (const line of env) {
    const at = line.indexOf('=');
    map.set(at < 0 ? line : line.slice(0, at), at < 0 ? '' : line.slice(at + 1));
  }
  return map;
}

function shorten(text: string): string {
  return text.length > 2000 ? `${text.slice(0, 2000)}…` : text;
}
