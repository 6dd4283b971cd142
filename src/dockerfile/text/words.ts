/** How the rest of an instruction's line is cut into arguments; each instruction uses one of these. */
import { CodedError } from '#base/errors/index.ts';
import { isSpace, quote, trimSpaceStart } from '#dockerfile/expand/index.ts';
import type { Escape } from '#dockerfile/expand/types.ts';
import type { KeyValue } from './types.ts';

const SEPARATOR = /[\t\v\f\r ]+/;

/** Cuts at white space, without quotes. */
export function splitAtSpace(rest: string): string[] {
  return rest === '' ? [] : rest.split(SEPARATOR);
}

/** Cuts off the first word; `undefined` when there is no second. */
export function cutAtSpace(rest: string): readonly [string, string | undefined] {
  const match = SEPARATOR.exec(rest);
  if (match === null) return [rest, undefined];
  return [rest.slice(0, match.index), rest.slice(match.index + match[0].length)];
}

/**
 * A JSON array of strings; `undefined` when the text is not JSON at all (then it is for the shell).
 * @throws {CodedError} `invalid_argument` when it is an array with anything but strings.
 */
export function parseJsonArray(rest: string): string[] | undefined {
  const text = trimSpaceStart(rest);
  if (!text.startsWith('[')) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!Array.isArray(value)) return undefined;
  if (!value.every((item) => typeof item === 'string')) {
    throw new CodedError(
      'invalid_argument',
      'when using JSON array syntax, arrays must be comprised of strings only',
    );
  }
  return value;
}

/** Words with quotes and escapes kept in them; white space inside quotes does not split. */
export function parseWords(rest: string, escapeChar: Escape): string[] {
  const words: string[] = [];
  let word = '';
  let quoteChar = '';
  const chars = [...rest];
  for (let i = 0; i < chars.length; i++) {
    const char = chars[i] ?? '';
    if (quoteChar === '' && isSpace(char)) {
      if (word !== '') words.push(word);
      word = '';
      continue;
    }
    if (char === escapeChar && quoteChar !== "'") {
      const next = chars[i + 1];
      // An escape at the very end says nothing.
      if (next === undefined) break;
      word += char + next;
      i++;
      continue;
    }
    if (quoteChar === '' && (char === "'" || char === '"')) quoteChar = char;
    else if (char === quoteChar) quoteChar = '';
    word += char;
  }
  if (word !== '') words.push(word);
  return words;
}

/**
 * `a=b c=d`, or the old `a b`.
 * @throws {CodedError} `invalid_argument` when a word has no `=`, or the old form no value.
 */
export function parsePairs(rest: string, keyword: string, escapeChar: Escape): KeyValue[] {
  const words = parseWords(rest, escapeChar);
  const [first] = words;
  if (first === undefined) return [];
  if (!first.includes('=')) {
    const [key, value] = cutAtSpace(rest);
    if (value === undefined) throw new CodedError('invalid_argument', `${keyword} must have two arguments`);
    return [{ key, value, hasEquals: false }];
  }
  return words.map((word) => {
    const at = word.indexOf('=');
    if (at < 0) {
      throw new CodedError(
        'invalid_argument',
        `Syntax error - can't find = in ${quote(word)}. Must be of the form: name=value`,
      );
    }
    return { key: word.slice(0, at), value: word.slice(at + 1), hasEquals: true };
  });
}

/** Cuts leading `--flag` words off; `--` alone ends them. Quotes and backslashes inside a flag are resolved. */
export function cutFlags(line: string): { readonly flags: string[]; readonly rest: string } {
  const flags: string[] = [];
  let position = 0;
  for (;;) {
    while (position < line.length && isSpace(line.charAt(position))) position++;
    if (!line.startsWith('--', position)) return { flags, rest: line.slice(position) };
    const flag = readFlag(line, position);
    if (flag.text === '--') return { flags, rest: line.slice(flag.end) };
    flags.push(flag.text);
    position = flag.end;
    if (position >= line.length) return { flags, rest: '' };
  }
}

function readFlag(line: string, from: number): { readonly text: string; readonly end: number } {
  let text = '';
  let quoteChar = '';
  let position = from;
  for (; position < line.length; position++) {
    let char = line.charAt(position);
    if (quoteChar === '' && isSpace(char)) break;
    if (quoteChar === '' && (char === "'" || char === '"')) {
      quoteChar = char;
      continue;
    }
    if (char === quoteChar) {
      quoteChar = '';
      continue;
    }
    if (char === '\\') {
      if (position + 1 >= line.length) continue;
      char = line.charAt(++position);
    }
    text += char;
  }
  return { text, end: position };
}
