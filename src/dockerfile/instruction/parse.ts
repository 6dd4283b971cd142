/** Statements to typed instructions, and a whole file to stages. */
import { CodedError, messageOf } from '#base/errors/index.ts';
import { findSimilar, withSuggestion } from '#base/similar/index.ts';
import { DockerfileSyntaxError, KEYWORDS, locate } from '#dockerfile/text/index.ts';
import type { Statement } from '#dockerfile/text/types.ts';
import { parseAdd } from './add.ts';
import { parseArg } from './arg.ts';
import { parseCmd } from './cmd.ts';
import { parseCopy } from './copy.ts';
import { parseEntrypoint } from './entrypoint.ts';
import { parseEnv } from './env.ts';
import { parseExpose } from './expose.ts';
import { parseFrom } from './from.ts';
import { parseHealthcheck } from './healthcheck.ts';
import { parseLabel } from './label.ts';
import { parseMaintainer } from './maintainer.ts';
import { parseOnbuild } from './onbuild.ts';
import { parseRun } from './run.ts';
import { parseShell } from './shell.ts';
import { parseStopsignal } from './stopsignal.ts';
import type { ArgInstruction, Dockerfile, FromInstruction, Instruction, StageInstruction } from './types.ts';
import { parseUser } from './user.ts';
import { parseVolume } from './volume.ts';
import { parseWorkdir } from './workdir.ts';

const PARSERS: { readonly [K in Instruction['kind']]: (statement: Statement) => Instruction & { kind: K } } =
  {
    ADD: parseAdd,
    ARG: parseArg,
    CMD: parseCmd,
    COPY: parseCopy,
    ENTRYPOINT: parseEntrypoint,
    ENV: parseEnv,
    EXPOSE: parseExpose,
    FROM: parseFrom,
    HEALTHCHECK: parseHealthcheck,
    LABEL: parseLabel,
    MAINTAINER: parseMaintainer,
    ONBUILD: parseOnbuild,
    RUN: parseRun,
    SHELL: parseShell,
    STOPSIGNAL: parseStopsignal,
    USER: parseUser,
    VOLUME: parseVolume,
    WORKDIR: parseWorkdir,
  };

/**
 * Gives one statement its meaning.
 * @throws {DockerfileSyntaxError} with the bare text (`unknown instruction: FOO (did you mean FROM?)`) and the lines.
 */
export function parseInstruction(statement: Statement): Instruction {
  const keyword = statement.keyword.toUpperCase();
  try {
    const parser = isKeyword(keyword) ? PARSERS[keyword] : undefined;
    if (parser === undefined) throw unknownInstruction(statement.keyword);
    return parser(statement);
  } catch (error) {
    throw locate(error, statement.range);
  }
}

/**
 * Sorts statements into stages.
 * @throws {DockerfileSyntaxError} with `dockerfile parse error on line N: …`, or when an instruction precedes FROM.
 */
export function parseStages(statements: readonly Statement[]): Dockerfile {
  const globalArgs: ArgInstruction[] = [];
  const stages: { from: FromInstruction; instructions: StageInstruction[] }[] = [];
  for (const statement of statements) {
    const instruction = parseAtLine(statement);
    const stage = stages[stages.length - 1];
    if (instruction.kind === 'FROM') stages.push({ from: instruction, instructions: [] });
    else if (stage !== undefined) stage.instructions.push(instruction);
    else if (instruction.kind === 'ARG') globalArgs.push(instruction);
    else throw new DockerfileSyntaxError('no build stage in current context', statement.range, NO_STAGE);
  }
  return { globalArgs, stages };
}

const NO_STAGE = {
  help: {
    id: 'dockerfile/no-from',
    cause: 'only ARG may stand before the first FROM',
    fix: ['start the Dockerfile with FROM <image>'],
  },
};

function parseAtLine(statement: Statement): Instruction {
  try {
    return parseInstruction(statement);
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    const message = `dockerfile parse error on line ${statement.range.start}: ${messageOf(error)}`;
    throw new DockerfileSyntaxError(message, statement.range, { cause: error });
  }
}

function isKeyword(keyword: string): keyword is Instruction['kind'] {
  return Object.hasOwn(PARSERS, keyword);
}

function unknownInstruction(keyword: string): CodedError {
  const message = withSuggestion(`unknown instruction: ${keyword}`, keyword, KEYWORDS, {
    caseSensitive: false,
  });
  const similar = findSimilar(keyword, KEYWORDS, { caseSensitive: false });
  return new CodedError('invalid_argument', message, {
    subject: { kind: 'instruction', name: keyword },
    help: {
      id: 'dockerfile/unknown-instruction',
      cause: 'each line starts with an instruction, or continues the line before that ends in a backslash',
      fix: similar === undefined ? [] : [`replace ${keyword} by ${similar}`],
    },
  });
}
