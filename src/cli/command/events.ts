import { compileTemplate, escapeLine, goJson } from '#cli/output/index.ts';
import { encodeFilters, FILTER_FLAG } from './filters.ts';
import { momentOf } from './logs.ts';
import type { Command } from './types.ts';

interface EngineEvent {
  readonly Type: string;
  readonly Action: string;
  readonly Actor: { readonly ID: string; readonly Attributes?: Readonly<Record<string, string>> };
  readonly time?: number;
  readonly timeNano?: number;
}

/** `slipway events`. */
export const events: Command = {
  usage: 'events [OPTIONS]',
  summary: 'Get real time events from the server',
  minArgs: 0,
  maxArgs: 0,
  flags: [
    FILTER_FLAG,
    { name: 'format', kind: 'string', help: "Format output using a custom template or 'json'" },
    { name: 'since', kind: 'string', help: 'Show all events created since timestamp' },
    { name: 'until', kind: 'string', help: 'Stream events until this timestamp' },
  ],
  async run(context, _args, flags) {
    const format = flags.string('format');
    const template = format && format !== 'json' ? compileTemplate(format) : undefined;
    const engine = await context.engine();
    const stream = engine.lines<EngineEvent>('GET', '/events', {
      query: {
        since: momentOf(flags.string('since')),
        until: momentOf(flags.string('until')),
        filters: encodeFilters(flags.list('filter')),
      },
      signal: context.signal,
    });
    for await (const event of stream) {
      const line =
        template !== undefined ? template(event) : format === 'json' ? goJson(event) : describe(event);
      context.stdout.write(`${escapeLine(line)}\n`);
    }
    return 0;
  },
};

function describe(event: EngineEvent): string {
  const time = new Date(event.timeNano === undefined ? (event.time ?? 0) * 1000 : event.timeNano / 1e6);
  const attributes = Object.entries(event.Actor.Attributes ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${value}`);
  const suffix = attributes.length === 0 ? '' : ` (${attributes.join(', ')})`;
  return `${time.toISOString()} ${event.Type} ${event.Action} ${event.Actor.ID}${suffix}`;
}
