/**
 * Parser directives: `# name=value` lines at the very top. The first line that is anything else ends them.
 *
 *   syntax   frontend image; also as `// syntax=…`, or as the field of a JSON document
 *   escape   backquote or backslash
 *   check    `skip=RuleA,RuleB;error=true`
 */
import { trimSpace } from '#dockerfile/expand/index.ts';
import { DockerfileSyntaxError } from './error.ts';
import type { Directive } from './types.ts';

const KNOWN = new Set(['syntax', 'escape', 'check']);
const BOM = '\ufeff';

/** Reads directives line by line until the first line that is none. */
export class DirectiveReader {
  readonly found: Directive[] = [];
  readonly #comment: '#' | '//';
  #done = false;

  constructor(comment: '#' | '//' = '#') {
    this.#comment = comment;
  }

  get isDone(): boolean {
    return this.#done;
  }

  /** The directive on this line, if it is one. @throws {DockerfileSyntaxError} when it was given before. */
  read(line: string, number: number): Directive | undefined {
    if (this.#done) return undefined;
    const directive = parseDirective(line, number, this.#comment);
    if (directive === undefined || !KNOWN.has(directive.name)) {
      this.#done = true;
      return undefined;
    }
    if (this.found.some((earlier) => earlier.name === directive.name)) {
      throw new DockerfileSyntaxError(`only one ${directive.name} parser directive can be used`, {
        start: number,
        end: number,
      });
    }
    this.found.push(directive);
    return directive;
  }
}

/** The `#` directive `key`; a shebang line before it is skipped. `cmdline` is the whole value, `value` its first word. */
export function findDirective(key: string, text: string): FoundDirective | undefined {
  return findWithComment(key, text, '#');
}

/** The frontend a file asks for: `# syntax=`, `// syntax=` or `{"syntax": …}`. */
export function detectSyntax(text: string): FoundDirective | undefined {
  const found = findWithComment('syntax', text, '#') ?? findWithComment('syntax', text, '//');
  if (found !== undefined) return found;
  const { body, skipped } = withoutShebang(text);
  if (!trimSpace(body).startsWith('{')) return undefined;
  try {
    const document = JSON.parse(body) as Record<string, unknown>;
    const value = Object.hasOwn(document, 'syntax') ? document['syntax'] : undefined;
    return typeof value === 'string' ? { value, cmdline: value, line: skipped } : undefined;
  } catch {
    return undefined;
  }
}

/** A directive found in a text; `line` is 0 when it was a JSON document. */
export interface FoundDirective {
  readonly value: string;
  readonly cmdline: string;
  readonly line: number;
}

function findWithComment(key: string, text: string, comment: '#' | '//'): FoundDirective | undefined {
  const { body, skipped } = withoutShebang(text);
  const reader = new DirectiveReader(comment);
  let number = skipped;
  let position = 0;
  while (!reader.isDone && position < body.length) {
    const newline = body.indexOf('\n', position);
    const end = newline < 0 ? body.length : newline;
    number++;
    try {
      reader.read(body.slice(position, end), number);
    } catch {
      break;
    }
    position = end + 1;
  }
  const directive = reader.found.find((candidate) => candidate.name === key);
  if (directive === undefined) return undefined;
  const space = directive.value.indexOf(' ');
  const value = space < 0 ? directive.value : directive.value.slice(0, space);
  return { value, cmdline: directive.value, line: directive.line };
}

function withoutShebang(text: string): { readonly body: string; readonly skipped: number } {
  const body = text.startsWith(BOM) ? text.slice(1) : text;
  if (!body.startsWith('#!')) return { body, skipped: 0 };
  const newline = body.indexOf('\n');
  return { body: newline < 0 ? '' : body.slice(newline + 1), skipped: 1 };
}

function parseDirective(line: string, number: number, comment: string): Directive | undefined {
  if (!line.startsWith(comment)) return undefined;
  const equals = line.indexOf('=');
  if (equals < 0) return undefined;
  const name = asciiTrim(line.slice(comment.length, equals));
  const value = asciiTrim(line.slice(equals + 1));
  if (value === '' || !/^[a-zA-Z][a-zA-Z0-9]*$/.test(name)) return undefined;
  return { name: name.toLowerCase(), value, line: number };
}

function asciiTrim(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && ' \t\n\f\r'.includes(text.charAt(start))) start++;
  while (end > start && ' \t\n\f\r'.includes(text.charAt(end - 1))) end--;
  return text.slice(start, end);
}
