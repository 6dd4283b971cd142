/** Heredoc words: which words of a line announce an inline document, and how its content is read. */
import { CodedError } from '#base/errors/index.ts';
import { expand } from '#dockerfile/expand/index.ts';
import type { Heredoc } from './types.ts';

const NO_VARIABLES: ReadonlyMap<string, string> = new Map();

/**
 * Reads `<<NAME` and its forms; `undefined` for any other word.
 * @throws {CodedError} `invalid_argument` when the name has an open quote.
 */
export function parseHeredocWord(word: string): Heredoc | undefined {
  const match = /^(\d*)<<(-?)\s*([^<]*)$/.exec(word);
  const rest = match?.[3] ?? '';
  if (match === null || rest === '') return undefined;
  const plain = expand(rest, NO_VARIABLES, { escape: '\\', skipUnset: true }).words;
  const [name] = plain;
  if (plain.length !== 1 || name === undefined) return undefined;
  const raw = expand(rest, NO_VARIABLES, { escape: '\\', skipUnset: true, rawQuotes: true }).words;
  return {
    name,
    fileDescriptor: Number(match[1] || '0'),
    expand: countQuotes(raw[0] ?? '') === countQuotes(name),
    chomp: match[2] === '-',
    content: '',
  };
}

/** As `parseHeredocWord`, for a word that was accepted before: an open quote is just no heredoc. */
export function findHeredocWord(word: string): Heredoc | undefined {
  try {
    return parseHeredocWord(word);
  } catch (error) {
    if (error instanceof CodedError) return undefined;
    throw error;
  }
}

/** The documents a line announces, in order, without content. */
export function heredocsOf(line: string): Heredoc[] {
  let words: readonly string[];
  try {
    words = expand(line, NO_VARIABLES, {
      escape: '\\',
      rawQuotes: true,
      rawEscapes: true,
      skipUnset: true,
    }).words;
  } catch (error) {
    // A line that is no valid word list announces nothing; the shell will complain about it.
    if (error instanceof CodedError) return [];
    throw error;
  }
  return words.map(parseHeredocWord).filter((heredoc) => heredoc !== undefined);
}

/** Removes the leading tabs of each line, as `<<-` asks. */
export function chompHeredoc(content: string): string {
  return content.replace(/^\t+/gm, '');
}

function countQuotes(text: string): number {
  let count = 0;
  for (const char of text) if (char === "'" || char === '"') count++;
  return count;
}
