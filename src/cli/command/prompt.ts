import { CodedError } from '#base/errors/index.ts';
import type { CliContext } from './types.ts';

/** Asks for one line on the terminal; `hidden` does not show what is typed. */
export async function promptLine(
  context: CliContext,
  question: string,
  options: { readonly hidden?: boolean } = {},
): Promise<string> {
  const input = context.stdin.stream;
  context.stderr.write(question);
  if (options.hidden && input.isTTY) input.setRawMode(true);
  try {
    return await readLine(input, options.hidden === true);
  } finally {
    if (options.hidden && input.isTTY) {
      input.setRawMode(false);
      context.stderr.write('\n');
    }
    input.pause();
  }
}

function readLine(input: NodeJS.ReadStream, raw: boolean): Promise<string> {
  return new Promise((resolve, reject) => {
    let line = '';
    const settle = (): void => {
      input.off('data', onData);
      input.off('end', onEnd);
    };
    const onEnd = (): void => {
      settle();
      resolve(line);
    };
    const onData = (chunk: Buffer): void => {
      for (const character of chunk.toString('utf8')) {
        if (character === '\n' || character === '\r' || character === '\x04') {
          settle();
          resolve(line);
          return;
        }
        if (raw && character === '\x03') {
          settle();
          reject(new CodedError('aborted', 'interrupted', { data: { silent: true, exitCode: 130 } }));
          return;
        }
        line = raw && character === '\x7f' ? line.slice(0, -1) : line + character;
      }
    };
    input.on('data', onData);
    input.on('end', onEnd);
    input.resume();
  });
}

/** Asks a yes-or-no question; without a terminal it reads a line of stdin, as docker does. */
export async function confirm(context: CliContext, question: string): Promise<boolean> {
  const answer = await promptLine(context, `${question} [y/N] `);
  return /^y(es)?$/i.test(answer.trim());
}
