/** Character classes as Dockerfiles have always had them (Unicode White_Space, letters, decimal digits). */

const SPACE = /^[\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]$/u;
const LETTER = /^\p{L}$/u;
const DIGIT = /^\p{Nd}$/u;

/** Whether `char` (one code point) separates words. */
export function isSpace(char: string): boolean {
  const code = char.charCodeAt(0);
  if (code < 128) return code === 32 || (code >= 9 && code <= 13);
  return SPACE.test(char);
}

/** Whether `char` may be part of a variable name that starts with a letter or `_`. */
export function isNameCharacter(char: string): boolean {
  const code = char.charCodeAt(0);
  if (code < 128) {
    return (code >= 97 && code <= 122) || (code >= 65 && code <= 90) || code === 95 || isDigit(char);
  }
  return LETTER.test(char) || DIGIT.test(char);
}

/** Whether `char` is a decimal digit. */
export function isDigit(char: string): boolean {
  const code = char.charCodeAt(0);
  if (code < 128) return code >= 48 && code <= 57;
  return DIGIT.test(char);
}

/** Removes white space at both ends, by the same class as `isSpace`. */
export function trimSpace(text: string): string {
  return trimSpaceEnd(trimSpaceStart(text));
}

/** Removes leading white space. */
export function trimSpaceStart(text: string): string {
  let start = 0;
  while (start < text.length && isSpace(text.charAt(start))) start++;
  return text.slice(start);
}

/** Removes trailing white space. */
export function trimSpaceEnd(text: string): string {
  let end = text.length;
  while (end > 0 && isSpace(text.charAt(end - 1))) end--;
  return text.slice(0, end);
}

/** `text` in double quotes with escapes for what cannot be shown, as error messages print it. */
export function quote(text: string): string {
  let quoted = '"';
  for (const char of text) quoted += quoteCharacter(char);
  return `${quoted}"`;
}

const SHORT_ESCAPES: Readonly<Record<string, string>> = {
  '\u0007': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '"': '\\"',
  '\\': '\\\\',
};

function quoteCharacter(char: string): string {
  const short = SHORT_ESCAPES[char];
  if (short !== undefined) return short;
  const code = char.codePointAt(0) ?? 0;
  if (code < 32 || code === 127) return `\\x${code.toString(16).padStart(2, '0')}`;
  if (code < 127) return char;
  if (/^[\p{L}\p{M}\p{N}\p{P}\p{S}]$/u.test(char)) return char;
  return code > 0xffff
    ? `\\U${code.toString(16).padStart(8, '0')}`
    : `\\u${code.toString(16).padStart(4, '0')}`;
}
