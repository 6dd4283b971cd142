/** Small pieces that every instruction's parser uses. */
import { CodedError } from '#base/errors/index.ts';
import { quote } from '#dockerfile/expand/index.ts';
import { chompHeredoc, findHeredocWord } from '#dockerfile/text/index.ts';
import type { KeyValue, Statement } from '#dockerfile/text/types.ts';
import type { CommandLine, InlineFile, InstructionSource } from './types.ts';

/** The fields that come from where the instruction stands. */
export function sourceOf(statement: Statement): InstructionSource {
  const { keyword, text, range, comments } = statement;
  return { keyword, text, range, comments };
}

/** An `invalid_argument` error. */
export function invalid(message: string): CodedError {
  return new CodedError('invalid_argument', message);
}

/** `X requires at least one argument`, when there is none. */
export function requireArguments(statement: Statement, keyword: string): void {
  if (statement.args.length === 0) throw invalid(`${keyword} requires at least one argument`);
}

/** The only argument. */
export function requireOneArgument(statement: Statement, keyword: string): string {
  const [argument] = statement.args;
  if (argument === undefined || statement.args.length !== 1) {
    throw invalid(`${keyword} requires exactly one argument`);
  }
  return argument;
}

/** Arguments of a command: a JSON array as it is, anything else as one string. */
export function commandArguments(args: readonly string[], json: boolean): readonly string[] {
  return json || args.length === 0 ? args : [args.join(' ')];
}

/** RUN, CMD and ENTRYPOINT. */
export function parseCommandLine(statement: Statement): CommandLine {
  return {
    command: commandArguments(statement.args, statement.json),
    isShell: !statement.json,
    heredocs: statement.heredocs.map(({ name, content, chomp, expand }) => ({
      name,
      content,
      chomp,
      expand,
    })),
  };
}

/** The pairs of ENV and LABEL, checked. */
export function parseKeyValues(statement: Statement, keyword: string): readonly KeyValue[] {
  requireArguments(statement, keyword);
  const pairs = statement.pairs ?? [];
  if (pairs.some((pair) => pair.key === '')) throw invalid(`${keyword} names can not be blank`);
  return pairs;
}

/** Paths and heredocs of ADD and COPY. */
export function parseSources(
  statement: Statement,
  keyword: string,
): {
  readonly sources: readonly string[];
  readonly inlineSources: readonly InlineFile[];
  readonly destination: string;
} {
  const destination = statement.args[statement.args.length - 1] ?? '';
  if (!statement.json && findHeredocWord(destination) !== undefined) {
    throw invalid(`${keyword} cannot accept a heredoc as a destination`);
  }
  const contents = new Map(statement.heredocs.map((heredoc) => [heredoc.name, heredoc.content]));
  const sources: string[] = [];
  const inlineSources: InlineFile[] = [];
  for (const source of statement.args.slice(0, -1)) {
    const heredoc = statement.json ? undefined : findHeredocWord(source);
    if (heredoc === undefined) {
      sources.push(source);
      continue;
    }
    const content = contents.get(heredoc.name) ?? '';
    inlineSources.push({
      name: heredoc.name,
      content: heredoc.chomp ? chompHeredoc(content) : content,
      expand: heredoc.expand,
    });
  }
  return { sources, inlineSources, destination };
}

/** `ADD` and `COPY` need a source and a destination. */
export function requireDestination(statement: Statement, keyword: string): void {
  if (statement.args.length >= 2) return;
  throw invalid(
    `${keyword} requires at least two arguments, but only one was provided. Destination could not be determined`,
  );
}

/** What a comment `# name text` says about `name`. */
export function descriptionOf(comments: readonly string[], name: string): string {
  if (name === '') return '';
  const line = comments.find((comment) => comment.startsWith(`${name} `));
  return line?.slice(name.length + 1) ?? '';
}

export { quote };
