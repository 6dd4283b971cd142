/**
 * The word grammar of a Dockerfile, a small part of the shell's:
 *
 *   word     = { char | escape char | 'single' | "double" | dollar }
 *   dollar   = $name | ${name} | ${name:-word} ${name-word} ${name:+word} ${name+word} ${name:?word} ${name?word}
 *            | ${name#pattern} ${name##pattern} ${name%pattern} ${name%%pattern} | ${name/pattern/word} ${name//pattern/word}
 *
 * Nesting is bounded, and so is what one word may become.
 */
import { CodedError } from '#base/errors/index.ts';
import { isDigit, isNameCharacter, isSpace } from './character.ts';
import { parsePattern, replace, tooLarge, trimPrefix, trimSuffix } from './pattern.ts';
import type { ExpandOptions } from './types.ts';

const DEPTH_LIMIT = 200;
const SPECIAL_PARAMETERS = '@*#?-$!0';
/** What the end of the text looks like in a message. */
const END = '\ufffd';

/** Collects the words of one level; what comes from a variable is split, what was quoted is not. */
class Words {
  readonly #done: string[] = [];
  #word = '';
  #inWord = false;

  add(text: string): void {
    for (const char of text) {
      if (!isSpace(char)) this.addRaw(char);
      else if (this.#inWord && this.#word !== '') this.#finish();
    }
  }

  addRaw(text: string): void {
    this.#word += text;
    this.#inWord = true;
  }

  all(): string[] {
    if (this.#word !== '') this.#finish();
    return this.#done;
  }

  #finish(): void {
    this.#done.push(this.#word);
    this.#word = '';
    this.#inWord = false;
  }
}

interface Level {
  readonly text: string;
  readonly words: string[];
}

/** Expands one text; used once. */
export class Lexer {
  readonly matched = new Set<string>();
  readonly unmatched = new Set<string>();
  readonly #source: string;
  readonly #env: ReadonlyMap<string, string>;
  readonly #options: ExpandOptions;
  readonly #limit: number;
  #position = 0;
  #rawEscapes: boolean;
  #depth = 0;
  #produced = 0;

  constructor(source: string, env: ReadonlyMap<string, string>, options: ExpandOptions, limit: number) {
    this.#source = source;
    this.#env = env;
    this.#options = options;
    this.#limit = limit;
    this.#rawEscapes = options.rawEscapes ?? false;
  }

  run(): Level {
    return this.#level(undefined, this.#rawEscapes);
  }

  #peek(): string {
    const code = this.#source.codePointAt(this.#position);
    return code === undefined ? '' : String.fromCodePoint(code);
  }

  #next(): string {
    const char = this.#peek();
    this.#position += char.length;
    return char;
  }

  /** Text up to `stop`, which is consumed, or to the end. */
  #level(stop: string | undefined, rawEscapes: boolean): Level {
    if (++this.#depth > DEPTH_LIMIT) {
      throw new CodedError('resource_exhausted', `substitutions are nested deeper than ${DEPTH_LIMIT}`);
    }
    const outer = this.#rawEscapes;
    this.#rawEscapes = rawEscapes;
    try {
      return this.#levelBody(stop);
    } finally {
      this.#rawEscapes = outer;
      this.#depth--;
    }
  }

  #levelBody(stop: string | undefined): Level {
    const words = new Words();
    let text = '';
    for (let char = this.#peek(); char !== ''; char = this.#peek()) {
      if (char === stop) {
        this.#next();
        return { text, words: words.all() };
      }
      const special = this.#special(char);
      if (special !== undefined) {
        text += this.#count(special);
        if (char === '$') words.add(special);
        else words.addRaw(special);
      } else if (this.#next() === this.#options.escape) {
        const kept = (this.#rawEscapes ? char : '') + this.#peek();
        if (kept !== '') words.addRaw(kept);
        text += kept;
        this.#next();
      } else {
        words.add(char);
        text += char;
      }
    }
    if (stop !== undefined) {
      throw new CodedError(
        'invalid_argument',
        `unexpected end of statement while looking for matching ${stop}`,
      );
    }
    return { text, words: words.all() };
  }

  /** Value of a construct that starts with `char`, or `undefined` for an ordinary character. */
  #special(char: string): string | undefined {
    if (char === '$') return this.#dollar();
    if (this.#options.skipProcessQuotes) return undefined;
    if (char === "'") return this.#singleQuote();
    if (char === '"') return this.#doubleQuote();
    if (char === '<') return this.#possibleHeredoc();
    return undefined;
  }

  #count(text: string): string {
    this.#produced += text.length;
    if (this.#produced > this.#limit) throw tooLarge(this.#limit);
    return text;
  }

  /** `<<` keeps the spaces that follow, so that the delimiter stays in its word. */
  #possibleHeredoc(): string {
    this.#next();
    if (this.#peek() !== '<') return '<';
    this.#next();
    let text = '<<';
    while (this.#peek() === ' ' || this.#peek() === '\t') text += this.#next();
    return text;
  }

  #singleQuote(): string {
    const start = this.#position;
    const end = this.#source.indexOf("'", start + 1);
    if (end < 0) {
      this.#position = this.#source.length;
      throw new CodedError(
        'invalid_argument',
        'unexpected end of statement while looking for matching single-quote',
      );
    }
    this.#position = end + 1;
    return this.#options.rawQuotes ? this.#source.slice(start, end + 1) : this.#source.slice(start + 1, end);
  }

  #doubleQuote(): string {
    const { escape: escapeChar, rawQuotes } = this.#options;
    let text = rawQuotes ? this.#next() : this.#next().slice(1);
    for (let char = this.#peek(); char !== ''; char = this.#peek()) {
      if (char === '"') {
        this.#next();
        return rawQuotes ? `${text}"` : text;
      }
      if (char === '$') {
        text += this.#dollar();
        if (text.length > this.#limit) throw tooLarge(this.#limit);
        continue;
      }
      this.#next();
      if (char === escapeChar) {
        if (this.#rawEscapes) text += char;
        const escaped = this.#peek();
        if (escaped === '') continue;
        if (escaped === '"' || escaped === '$' || escaped === escapeChar) char = this.#next();
      }
      text += char;
    }
    throw new CodedError(
      'invalid_argument',
      'unexpected end of statement while looking for matching double-quote',
    );
  }

  #dollar(): string {
    this.#next();
    if (this.#peek() !== '{') {
      const name = this.#name();
      if (name === '') return '$';
      const value = this.#lookup(name);
      return value === undefined && this.#options.skipUnset ? `$${name}` : (value ?? '');
    }
    this.#next();
    const first = this.#peek();
    if (first === '') throw new CodedError('invalid_argument', "syntax error: missing '}'");
    if (first === '{' || first === '}' || first === ':') {
      throw new CodedError('invalid_argument', 'syntax error: bad substitution');
    }
    return this.#braces(this.#name());
  }

  #braces(name: string): string {
    const operator = this.#next();
    if (operator === '}') {
      const value = this.#lookup(name);
      return value === undefined && this.#options.skipUnset ? `\${${name}}` : (value ?? '');
    }
    if (operator === '/') return this.#replacement(name);
    if (operator === '#' || operator === '%') return this.#trimmed(name, operator);
    const modifier = operator === ':' ? `:${this.#peek() || END}` : operator || END;
    if (operator === ':') this.#next();
    const action = modifier.slice(-1);
    if (action !== '-' && action !== '+' && action !== '?') {
      throw new CodedError('invalid_argument', `unsupported modifier (${modifier}) in substitution`);
    }
    const word = this.#operand('}', false, "syntax error: missing '}'");
    const value = this.#lookup(name);
    if (value === undefined && this.#options.skipUnset) return `\${${name}${modifier}${word}}`;
    const absent = value === undefined || (operator === ':' && value === '');
    if (action === '-') return absent ? word : value;
    if (action === '+') return absent ? '' : word;
    if (!absent) return value;
    const reason = value === undefined ? 'is not allowed to be unset' : 'is not allowed to be empty';
    throw new CodedError('invalid_argument', `${name}: ${word || reason}`);
  }

  #trimmed(name: string, operator: '#' | '%'): string {
    let pattern = this.#operand('}', true, "syntax error: missing '}'");
    const value = this.#lookup(name);
    if (value === undefined && this.#options.skipUnset) return `\${${name}${operator}${pattern}}`;
    const longest = pattern.startsWith(operator);
    if (longest) pattern = pattern.slice(1);
    const trim = operator === '#' ? trimPrefix : trimSuffix;
    return trim(value ?? '', parsePattern(pattern), { longest });
  }

  #replacement(name: string): string {
    const all = this.#peek() === '/';
    if (all) this.#next();
    const pattern = this.#operand('/', true, `syntax error: missing '/' in \${}`);
    const replacement = this.#operand('}', true, "syntax error: missing '}'");
    const value = this.#lookup(name);
    if (value === undefined && this.#options.skipUnset) {
      return `\${${name}/${all ? '/' : ''}${pattern}/${replacement}}`;
    }
    return replace(value ?? '', parsePattern(pattern), replacement, { all, limit: this.#limit });
  }

  /** The text up to `stop`; when it is the end that is missing, `missing` says so. */
  #operand(stop: string, rawEscapes: boolean, missing: string): string {
    try {
      return this.#level(stop, rawEscapes).text;
    } catch (error) {
      const atEnd = this.#position >= this.#source.length;
      if (atEnd && error instanceof CodedError && error.code === 'invalid_argument') {
        throw new CodedError('invalid_argument', missing);
      }
      throw error;
    }
  }

  #name(): string {
    let name = '';
    const first = this.#peek();
    if (first !== '' && isDigit(first)) {
      while (this.#peek() !== '' && isDigit(this.#peek())) name += this.#next();
      return name;
    }
    if (first !== '' && SPECIAL_PARAMETERS.includes(first)) return this.#next();
    while (this.#peek() !== '' && isNameCharacter(this.#peek())) name += this.#next();
    return name;
  }

  #lookup(name: string): string | undefined {
    const value = this.#env.get(name);
    (value === undefined ? this.unmatched : this.matched).add(name);
    return value;
  }
}
