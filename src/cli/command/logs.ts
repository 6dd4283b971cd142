import { CodedError } from '#base/errors/index.ts';
import { readFrames } from '#engine/client/index.ts';
import type { ContainerState } from './attach.ts';
import { writeAll } from './stream-io.ts';
import type { Command } from './types.ts';

/** `slipway logs`. */
export const logs: Command = {
  usage: 'logs [OPTIONS] CONTAINER',
  summary: 'Fetch the logs of a container',
  minArgs: 1,
  maxArgs: 1,
  flags: [
    { name: 'details', kind: 'bool', help: 'Show extra details provided to logs' },
    { name: 'follow', short: 'f', kind: 'bool', help: 'Follow log output' },
    {
      name: 'since',
      kind: 'string',
      help: 'Show logs since timestamp or relative (e.g. "42m" for 42 minutes)',
    },
    {
      name: 'tail',
      short: 'n',
      kind: 'string',
      default: 'all',
      help: 'Number of lines to show from the end of the logs',
    },
    { name: 'timestamps', short: 't', kind: 'bool', help: 'Show timestamps' },
    {
      name: 'until',
      kind: 'string',
      help: 'Show logs before a timestamp or relative (e.g. "42m" for 42 minutes)',
    },
  ],
  async run(context, [name = ''], flags) {
    const engine = await context.engine();
    const path = `/containers/${encodeURIComponent(name)}`;
    const container = await engine.call<ContainerState>('GET', `${path}/json`);
    const bytes = engine.bytes('GET', `${path}/logs`, {
      query: {
        stdout: true,
        stderr: true,
        details: flags.bool('details'),
        follow: flags.bool('follow'),
        since: askedMoment('since', flags.string('since')),
        until: askedMoment('until', flags.string('until')),
        tail: flags.string('tail'),
        timestamps: flags.bool('timestamps'),
      },
      signal: context.signal,
    });
    if (container.Config.Tty) for await (const chunk of bytes) await writeAll(context.stdout.stream, chunk);
    else
      for await (const piece of readFrames(bytes))
        await writeAll((piece.stream === 'stderr' ? context.stderr : context.stdout).stream, piece.bytes);
    return 0;
  },
};

/** @throws {CodedError} `invalid_argument` for what is no moment. */
function askedMoment(name: string, text: string | undefined): string | undefined {
  const moment = momentOf(text);
  if (moment === undefined || /^\d+(\.\d+)?$/.test(moment)) return moment;
  throw new CodedError(
    'invalid_argument',
    `invalid value for "${name}": failed to parse value as time or duration: "${text}"`,
  );
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { ms: 0.001, s: 1, m: 60, h: 3600 };

/** `42m` becomes the second it means; a date or a Unix time is sent as seconds too. */
export function momentOf(text: string | undefined, now: number = Date.now()): string | undefined {
  if (text === undefined || text === '' || /^\d+(\.\d+)?$/.test(text)) return text || undefined;
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  if (parts.length > 0 && parts.map(([whole]) => whole).join('') === text) {
    const seconds = parts.reduce(
      (sum, [, amount, unit]) => sum + Number(amount) * (UNIT_SECONDS[unit ?? ''] ?? 0),
      0,
    );
    return (now / 1000 - seconds).toFixed(9);
  }
  const date = Date.parse(text);
  return Number.isNaN(date) ? text : (date / 1000).toFixed(9);
}
