/**
 * The part of Go's template language that people use with `--format`.
 *
 *     text {{.Field.Sub}} {{json .}} {{index .Map "key" 0}} {{.A | upper | printf "%s"}} and comments
 *     {{if a}}…{{else if b}}…{{else}}…{{end}}  {{range .List}}…{{else}}…{{end}}  {{range $k, $v := .Map}}…{{end}}
 *     {{with .X}}…{{end}}  {{$x := .Y}}  {{- trims the white space before, and after -}}
 */
import { CodedError } from '#base/errors/index.ts';

/** A value in an action. */
export type Operand =
  | { readonly kind: 'path'; readonly variable: string | undefined; readonly fields: readonly string[] }
  | { readonly kind: 'literal'; readonly value: string | number | boolean | null }
  | { readonly kind: 'pipeline'; readonly pipeline: Pipeline; readonly fields: readonly string[] }
  | { readonly kind: 'call'; readonly name: string };

/** Commands joined by `|`; each is an operand with arguments. */
export type Pipeline = readonly (readonly Operand[])[];

/** A parsed template. */
export type Node =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'print'; readonly pipeline: Pipeline }
  | { readonly kind: 'assign'; readonly name: string; readonly pipeline: Pipeline }
  | {
      readonly kind: 'if' | 'with' | 'range';
      readonly variables: readonly string[];
      readonly pipeline: Pipeline;
      readonly body: readonly Node[];
      readonly otherwise: readonly Node[];
    };

interface Piece {
  readonly kind: 'text' | 'action';
  readonly text: string;
}

const TOKEN =
  /\s*(?:("(?:[^"\\]|\\.)*"|`[^`]*`)|(-?\d+(?:\.\d+)?)|(\$?[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*|\$(?:\.[A-Za-z_][A-Za-z0-9_]*)*)|((?:\.[A-Za-z_][A-Za-z0-9_]*)+|\.)|(:=|[|(),=]))/y;
const MAX_DEPTH = 64;

/** Reads a template. @throws {CodedError} `invalid_argument` with `template parsing error: …`. */
export function parseTemplate(text: string): readonly Node[] {
  const parser = new Parser(split(text));
  return parser.parseAll();
}

function split(text: string): Piece[] {
  const pieces: Piece[] = [];
  let at = 0;
  let trimNext = false;
  while (at < text.length) {
    const open = text.indexOf('{{', at);
    let plain = text.slice(at, open < 0 ? text.length : open);
    if (trimNext) plain = plain.trimStart();
    const trimsBefore = open >= 0 && /^\{\{-\s/.test(text.slice(open, open + 4));
    pieces.push({ kind: 'text', text: trimsBefore ? plain.trimEnd() : plain });
    if (open < 0) break;
    const close = endOfAction(text, open + 2);
    if (close < 0) throw templateError('unclosed action');
    let action = text.slice(open + 2, close);
    if (trimsBefore) action = action.slice(1);
    trimNext = /\s-$/.test(action);
    if (trimNext) action = action.slice(0, -1);
    pieces.push({ kind: 'action', text: action.trim() });
    at = close + 2;
  }
  return pieces;
}

function endOfAction(text: string, from: number): number {
  let quote = '';
  for (let i = from; i < text.length; i++) {
    const character = text[i] ?? '';
    if (quote !== '') {
      if (character === '\\' && quote === '"') i++;
      else if (character === quote) quote = '';
    } else if (character === '"' || character === '`') quote = character;
    else if (character === '}' && text[i + 1] === '}') return i;
  }
  return -1;
}

class Parser {
  readonly #pieces: readonly Piece[];
  #at = 0;
  #depth = 0;

  constructor(pieces: readonly Piece[]) {
    this.#pieces = pieces;
  }

  parseAll(): readonly Node[] {
    const { nodes, end } = this.#parseList();
    if (end !== undefined) throw templateError(`unexpected {{${end}}}`);
    return nodes;
  }

  #parseList(): { nodes: Node[]; end: string | undefined } {
    const nodes: Node[] = [];
    while (this.#at < this.#pieces.length) {
      const piece = this.#pieces[this.#at++];
      if (piece === undefined) break;
      if (piece.kind === 'text') {
        if (piece.text !== '') nodes.push({ kind: 'text', text: piece.text });
        continue;
      }
      if (piece.text.startsWith('/*')) continue;
      const word = /^[a-z]+/.exec(piece.text)?.[0] ?? '';
      if (word === 'end' || word === 'else') return { nodes, end: piece.text };
      nodes.push(this.#parseAction(piece.text, word));
    }
    return { nodes, end: undefined };
  }

  #parseAction(text: string, word: string): Node {
    if (word === 'if' || word === 'with' || word === 'range')
      return this.#parseBlock(word, text.slice(word.length));
    const assignment = /^\$([A-Za-z_]\w*)\s*:?=\s*/.exec(text);
    if (assignment?.[1] !== undefined)
      return {
        kind: 'assign',
        name: assignment[1],
        pipeline: parsePipeline(text.slice(assignment[0].length)),
      };
    return { kind: 'print', pipeline: parsePipeline(text) };
  }

  #parseBlock(kind: 'if' | 'with' | 'range', text: string): Node {
    if (++this.#depth > MAX_DEPTH) throw templateError('blocks are nested too deep');
    const declared = /^\s*\$([A-Za-z_]\w*)\s*(?:,\s*\$([A-Za-z_]\w*)\s*)?:=\s*/.exec(text);
    const variables = declared === null ? [] : declared.slice(1).filter((name) => name !== undefined);
    const pipeline = parsePipeline(declared === null ? text : text.slice(declared[0].length));
    const body = this.#parseList();
    let otherwise: readonly Node[] = [];
    if (body.end === undefined) throw templateError('unexpected EOF');
    if (body.end.startsWith('else')) {
      const rest = body.end.slice('else'.length).trim();
      const word = /^[a-z]+/.exec(rest)?.[0] ?? '';
      if (word === 'if' || word === 'with') {
        otherwise = [this.#parseBlock(word, rest.slice(word.length))];
      } else {
        const list = this.#parseList();
        if (list.end !== 'end') throw templateError('unexpected EOF');
        otherwise = list.nodes;
      }
    }
    this.#depth--;
    return { kind, variables, pipeline, body: body.nodes, otherwise };
  }
}

interface Token {
  readonly kind: 'literal' | 'word' | 'path' | 'mark';
  readonly text: string;
  readonly value?: string | number;
}

function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  TOKEN.lastIndex = 0;
  let at = 0;
  while (text.slice(at).trim() !== '') {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    if (match === null)
      throw templateError(`unexpected ${JSON.stringify(text.slice(at).trim().slice(0, 20))} in action`);
    at = TOKEN.lastIndex;
    const [, quoted, number, word, path, mark] = match;
    if (quoted !== undefined) tokens.push({ kind: 'literal', text: quoted, value: unquote(quoted) });
    else if (number !== undefined) tokens.push({ kind: 'literal', text: number, value: Number(number) });
    else if (word !== undefined) tokens.push({ kind: 'word', text: word });
    else if (path !== undefined) tokens.push({ kind: 'path', text: path });
    else tokens.push({ kind: 'mark', text: mark ?? '' });
  }
  return tokens;
}

function unquote(text: string): string {
  if (text.startsWith('`')) return text.slice(1, -1);
  const named: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r' };
  return text.slice(1, -1).replace(/\\(.)/g, (_, character: string) => named[character] ?? character);
}

function parsePipeline(text: string): Pipeline {
  const tokens = tokenize(text);
  const { pipeline, next } = readPipeline(tokens, 0, 0);
  if (next < tokens.length) throw templateError(`unexpected "${tokens[next]?.text}" in action`);
  return pipeline;
}

function readPipeline(
  tokens: readonly Token[],
  from: number,
  depth: number,
): { pipeline: Pipeline; next: number } {
  if (depth > MAX_DEPTH) throw templateError('parentheses are nested too deep');
  const commands: Operand[][] = [[]];
  let i = from;
  for (; i < tokens.length; i++) {
    const token = tokens[i];
    if (token === undefined || token.text === ')') break;
    if (token.kind === 'mark' && token.text === '|') {
      commands.push([]);
      continue;
    }
    if (token.kind === 'mark' && token.text === '(') {
      const inner = readPipeline(tokens, i + 1, depth + 1);
      if (tokens[inner.next]?.text !== ')') throw templateError('unclosed left paren');
      i = inner.next;
      const after = tokens[i + 1];
      const fields = after?.kind === 'path' && after.text !== '.' ? fieldsOf(after.text) : [];
      if (fields.length > 0) i++;
      commands.at(-1)?.push({ kind: 'pipeline', pipeline: inner.pipeline, fields });
      continue;
    }
    commands.at(-1)?.push(operandOf(token));
  }
  if (commands.some((command) => command.length === 0)) throw templateError('missing value for command');
  return { pipeline: commands, next: i };
}

function operandOf(token: Token): Operand {
  if (token.kind === 'literal') return { kind: 'literal', value: token.value ?? null };
  if (token.kind === 'path') return { kind: 'path', variable: undefined, fields: fieldsOf(token.text) };
  if (token.kind === 'mark') throw templateError(`unexpected "${token.text}" in action`);
  if (token.text.startsWith('$')) {
    const [variable = '', ...fields] = token.text.slice(1).split('.');
    return { kind: 'path', variable, fields };
  }
  if (token.text === 'true' || token.text === 'false')
    return { kind: 'literal', value: token.text === 'true' };
  if (token.text === 'nil') return { kind: 'literal', value: null };
  return { kind: 'call', name: token.text };
}

function fieldsOf(path: string): readonly string[] {
  return path === '.' ? [] : path.slice(1).split('.');
}

/** A failure of a template in Docker's words. */
export function templateError(detail: string): CodedError {
  return new CodedError('invalid_argument', `template parsing error: template: :1: ${detail}`);
}
