/**
 * A Dockerfile as text:
 *
 *   file        = [BOM] { directive line } { comment | empty | instruction }
 *   instruction = line { continuation line } { heredoc content, terminator }
 *
 * A line that ends in the escape character (not doubled) goes on; comments and empty lines inside do not count.
 */
import { CodedError } from '#base/errors/index.ts';
import { trimSpace, trimSpaceStart } from '#dockerfile/expand/index.ts';
import type { Escape } from '#dockerfile/expand/types.ts';
import { DirectiveReader } from './directives.ts';
import { DockerfileSyntaxError, locate } from './error.ts';
import { heredocsOf } from './heredoc.ts';
import { parseStatement } from './statement.ts';
import type { Heredoc, LineRange, ParsedText, Statement, TextWarning } from './types.ts';

/** Longest physical line in bytes, as in Docker. */
export const LINE_LIMIT_BYTES = 65535;
/** Longest file in characters. */
export const FILE_LIMIT = 16 * 1024 * 1024;
/** Most inline documents of one instruction. */
export const HEREDOC_LIMIT = 1000;

const EMPTY_CONTINUATION_URL = 'https://docs.docker.com/go/dockerfile/rule/no-empty-continuation/';
const HEREDOC_KEYWORDS = new Set(['ADD', 'COPY', 'RUN']);

/**
 * Splits a Dockerfile into statements.
 * @throws {DockerfileSyntaxError} with Docker's text and the lines; also past a limit.
 */
export function parseText(text: string): ParsedText {
  if (text.length > FILE_LIMIT) {
    throw new DockerfileSyntaxError(`dockerfile greater than max allowed size of ${FILE_LIMIT}`, undefined);
  }
  return new TextParser(text.startsWith('\ufeff') ? text.slice(1) : text).parse();
}

class TextParser {
  readonly #lines: readonly string[];
  readonly #directives = new DirectiveReader();
  readonly #statements: Statement[] = [];
  readonly #warnings: TextWarning[] = [];
  #escape: Escape = '\\';
  #comments: string[] = [];
  /** Number of the line read last; 1-based. */
  #current = 0;

  constructor(text: string) {
    const lines = text.split('\n');
    // What follows the last newline is a line only when there is something.
    if (lines[lines.length - 1] === '') lines.pop();
    this.#lines = lines;
  }

  parse(): ParsedText {
    for (let line = this.#nextLine(); line !== undefined; line = this.#nextLine()) {
      if (this.#readDirective(line)) continue;
      this.#noteComment(line);
      if (!isComment(line)) this.#readInstruction(trimSpaceStart(withoutReturn(line)));
    }
    if (this.#statements.length === 0) {
      throw new DockerfileSyntaxError('file with no instructions', {
        start: this.#current,
        end: this.#current,
      });
    }
    return {
      statements: this.#statements,
      escape: this.#escape,
      directives: this.#directives.found,
      warnings: this.#warnings,
      lines: this.#lines,
    };
  }

  #nextLine(): string | undefined {
    const line = this.#lines[this.#current];
    if (line === undefined) return undefined;
    this.#current++;
    const isLong =
      line.length > LINE_LIMIT_BYTES || (line.length * 3 > LINE_LIMIT_BYTES && isOverLimit(line));
    if (isLong) {
      throw new DockerfileSyntaxError(
        `dockerfile line greater than max allowed size of ${LINE_LIMIT_BYTES}`,
        {
          start: this.#current,
          end: this.#current,
        },
      );
    }
    if (line.includes('\0')) throw this.#nulByte();
    return line;
  }

  #nulByte(): DockerfileSyntaxError {
    const range = { start: this.#current, end: this.#current };
    return new DockerfileSyntaxError('dockerfile holds a NUL byte', range, {
      help: {
        id: 'dockerfile/nul-byte',
        cause: 'the file is no text in UTF-8; some editors and shells write UTF-16',
        fix: ['iconv -f UTF-16 -t UTF-8 Dockerfile > Dockerfile.utf8 && mv Dockerfile.utf8 Dockerfile'],
      },
    });
  }

  #readDirective(line: string): boolean {
    const directive = this.#directives.read(line, this.#current);
    if (directive === undefined) return false;
    if (directive.name !== 'escape') return true;
    if (directive.value !== '\\' && directive.value !== '`') {
      throw new DockerfileSyntaxError(`invalid escape token '${directive.value}' does not match \` or \\`, {
        start: this.#current,
        end: this.#current,
      });
    }
    this.#escape = directive.value;
    return true;
  }

  #noteComment(line: string): void {
    if (!isComment(line)) return;
    const comment = trimSpace(line.slice(1));
    if (comment === '') this.#comments = [];
    else this.#comments.push(comment);
  }

  #readInstruction(firstLine: string): void {
    const start = this.#current;
    let piece = cutContinuation(firstLine, this.#escape);
    if (!piece.isContinued && piece.text === '') {
      return;
    }
    const pieces = [piece.text];
    let hasEmptyLine = false;
    while (piece.isContinued) {
      const line = this.#nextLine();
      if (line === undefined) break;
      if (isComment(line)) continue;
      if (trimSpaceStart(line) === '') {
        hasEmptyLine = true;
        continue;
      }
      piece = cutContinuation(withoutReturn(line), this.#escape);
      pieces.push(piece.text);
    }
    const text = pieces.join('');
    if (hasEmptyLine) this.#warnings.push(emptyContinuation(text, this.#current));
    this.#addStatement(text, start);
  }

  #addStatement(text: string, start: number): void {
    const range = (): LineRange => ({ start, end: this.#current });
    try {
      const context = { escape: this.#escape, range: range(), comments: this.#comments };
      const statement = parseStatement(text, context);
      const heredocs = this.#readHeredocs(statement);
      this.#statements.push({ ...statement, heredocs, range: range() });
    } catch (error) {
      throw locate(error, range());
    }
    this.#comments = [];
  }

  #readHeredocs(statement: Statement): Heredoc[] {
    const owner = statement.trigger ?? statement;
    if (!HEREDOC_KEYWORDS.has(owner.keyword.toUpperCase()) || owner.json || !statement.text.includes('<<'))
      return [];
    const announced = heredocsOf(statement.text);
    if (announced.length > HEREDOC_LIMIT) {
      throw new CodedError('resource_exhausted', `more than ${HEREDOC_LIMIT} heredocs in one instruction`);
    }
    return announced.map((heredoc) => ({ ...heredoc, content: this.#readHeredoc(heredoc) }));
  }

  #readHeredoc(heredoc: Heredoc): string {
    const content: string[] = [];
    for (let line = this.#nextLine(); line !== undefined; line = this.#nextLine()) {
      const bare = withoutReturn(line);
      if ((heredoc.chomp ? bare.replace(/^\t+/, '') : bare) === heredoc.name) return content.join('');
      content.push(line, '\n');
    }
    throw new CodedError('invalid_argument', 'unterminated heredoc', {
      help: {
        id: 'dockerfile/unterminated-heredoc',
        cause: `no line holds only "${heredoc.name}"`,
        fix: [`add a line with only ${heredoc.name} after the document`],
      },
    });
  }
}

function cutContinuation(
  line: string,
  escapeChar: Escape,
): { readonly text: string; readonly isContinued: boolean } {
  let end = line.length;
  while (end > 0 && (line.charAt(end - 1) === ' ' || line.charAt(end - 1) === '\t')) end--;
  const isContinued = line.charAt(end - 1) === escapeChar && line.charAt(end - 2) !== escapeChar;
  return isContinued ? { text: line.slice(0, end - 1), isContinued } : { text: line, isContinued };
}

function isComment(line: string): boolean {
  return trimSpaceStart(line).startsWith('#');
}

function withoutReturn(line: string): string {
  let end = line.length;
  while (end > 0 && line.charAt(end - 1) === '\r') end--;
  return line.slice(0, end);
}

function isOverLimit(line: string): boolean {
  return Buffer.byteLength(line) > LINE_LIMIT_BYTES;
}

function emptyContinuation(text: string, line: number): TextWarning {
  return {
    message: `Empty continuation line found in: ${text}`,
    detail: 'Empty continuation lines will become errors in a future release',
    url: EMPTY_CONTINUATION_URL,
    range: { start: line, end: line },
  };
}
