/** One joined line to a statement. */
import { isSpace, trimSpace } from '#dockerfile/expand/index.ts';
import type { Escape } from '#dockerfile/expand/types.ts';
import type { KeyValue, LineRange, Statement } from './types.ts';
import { cutAtSpace, cutFlags, parseJsonArray, parsePairs, parseWords, splitAtSpace } from './words.ts';

/** What surrounds a line. */
export interface LineContext {
  readonly escape: Escape;
  readonly range: LineRange;
  readonly comments: readonly string[];
  /** How many ONBUILD are around it. */
  readonly depth?: number;
}

/** `ONBUILD ONBUILD` is refused later; that far a chain is read as statements, beyond it as text. */
const TRIGGER_DEPTH = 3;

interface Arguments {
  readonly args: readonly string[];
  readonly json: boolean;
  readonly pairs?: readonly KeyValue[];
  readonly trigger?: Statement;
}

type ArgumentParser = (rest: string, context: LineContext) => Arguments;

const plain = (args: readonly string[]): Arguments => ({ args, json: false });

const wholeText: ArgumentParser = (rest) => plain(rest === '' ? [] : [rest]);

const jsonOrText: ArgumentParser = (rest, context) => {
  const array = rest === '' ? undefined : parseJsonArray(rest);
  return array === undefined ? wholeText(rest, context) : { args: array, json: true };
};

const jsonOrList: ArgumentParser = (rest) => {
  const array = parseJsonArray(rest);
  return array === undefined ? plain(splitAtSpace(rest)) : { args: array, json: true };
};

const list: ArgumentParser = (rest) => plain(splitAtSpace(rest));

const names: ArgumentParser = (rest, context) => plain(parseWords(rest, context.escape));

function keyValues(keyword: string): ArgumentParser {
  return (rest, context) => {
    const pairs = parsePairs(rest, keyword, context.escape);
    return {
      args: pairs.flatMap(({ key, value, hasEquals }) => [key, value, hasEquals ? '=' : '']),
      json: false,
      pairs,
    };
  };
}

const healthcheck: ArgumentParser = (rest, context) => {
  let end = 0;
  while (end < rest.length && !isSpace(rest.charAt(end))) end++;
  if (end === 0) return plain([]);
  let next = end;
  while (next < rest.length && isSpace(rest.charAt(next))) next++;
  const command = jsonOrText(rest.slice(next), context);
  return { args: [rest.slice(0, end), ...command.args], json: command.json };
};

const onbuild: ArgumentParser = (rest, context) => {
  const depth = (context.depth ?? 0) + 1;
  if (rest === '') return plain([]);
  if (depth > TRIGGER_DEPTH) return plain([rest]);
  const trigger = parseStatement(rest, { ...context, comments: [], depth });
  return { args: [trigger.keyword, ...trigger.args], json: false, trigger };
};

const PARSERS: ReadonlyMap<string, ArgumentParser> = new Map([
  ['ADD', jsonOrList],
  ['ARG', names],
  ['CMD', jsonOrText],
  ['COPY', jsonOrList],
  ['ENTRYPOINT', jsonOrText],
  ['ENV', keyValues('ENV')],
  ['EXPOSE', list],
  ['FROM', list],
  ['HEALTHCHECK', healthcheck],
  ['LABEL', keyValues('LABEL')],
  ['MAINTAINER', wholeText],
  ['ONBUILD', onbuild],
  ['RUN', jsonOrText],
  ['SHELL', jsonOrText],
  ['STOPSIGNAL', wholeText],
  ['USER', wholeText],
  ['VOLUME', jsonOrList],
  ['WORKDIR', wholeText],
]);

/** The 18 instructions. */
export const KEYWORDS: readonly string[] = [...PARSERS.keys()];

/** Cuts one line into a statement; an unknown keyword is kept, with one empty argument, for a later error. */
export function parseStatement(line: string, context: LineContext): Statement {
  const [keyword, remainder] = cutAtSpace(trimSpace(line));
  const { flags, rest } = remainder === undefined ? { flags: [], rest: '' } : cutFlags(remainder);
  const parser = PARSERS.get(keyword.toUpperCase());
  const parsed = parser === undefined ? plain(['']) : parser(trimSpace(rest), context);
  return {
    keyword,
    flags,
    ...parsed,
    heredocs: [],
    text: line,
    range: context.range,
    comments: context.comments,
  };
}
