import { type Column, ellipsis, formatAge, formatList, formatSize, shortId } from '#cli/output/index.ts';
import { FORMAT_FLAG, NO_TRUNC_FLAG, QUIET_FLAG } from './filters.ts';
import type { Command } from './types.ts';

interface HistoryItem {
  readonly Id: string;
  readonly Created: number;
  readonly CreatedBy: string;
  readonly Size: number;
  readonly Comment: string;
}

/** `slipway history`. */
export const history: Command = {
  usage: 'history [OPTIONS] IMAGE',
  summary: 'Show the history of an image',
  minArgs: 1,
  maxArgs: 1,
  flags: [
    FORMAT_FLAG,
    {
      name: 'human',
      short: 'H',
      kind: 'bool',
      default: true,
      help: 'Print sizes and dates in human readable format',
    },
    NO_TRUNC_FLAG,
    { ...QUIET_FLAG, help: 'Only show image IDs' },
  ],
  async run(context, [name = ''], flags) {
    const engine = await context.engine();
    const items = await engine.call<readonly HistoryItem[]>(
      'GET',
      `/images/${encodeURIComponent(name)}/history`,
      {
        signal: context.signal,
      },
    );
    const human = flags.bool('human');
    const full = flags.bool('no-trunc');
    const date = (item: HistoryItem): string =>
      new Date(item.Created * 1000).toISOString().replace('.000Z', 'Z');
    const createdBy = (item: HistoryItem): string => item.CreatedBy.replaceAll('\t', ' ');
    const columns: readonly Column<HistoryItem>[] = [
      { name: 'ID', heading: 'IMAGE', cell: (i) => (full || i.Id === '<missing>' ? i.Id : shortId(i.Id)) },
      {
        name: 'CreatedSince',
        heading: human ? 'CREATED' : 'CREATED AT',
        cell: (i) => (human ? formatAge(i.Created) : date(i)),
      },
      { name: 'CreatedAt', heading: 'CREATED AT', cell: date },
      {
        name: 'CreatedBy',
        heading: 'CREATED BY',
        cell: (i) => (full ? createdBy(i) : ellipsis(createdBy(i), 45)),
      },
      { name: 'Size', heading: 'SIZE', cell: (i) => (human ? formatSize(i.Size) : String(i.Size)) },
      { name: 'Comment', heading: 'COMMENT', cell: (i) => i.Comment },
    ];
    const format = flags.string('format');
    context.stdout.write(
      formatList(items, columns, {
        columns: ['ID', 'CreatedSince', 'CreatedBy', 'Size', 'Comment'],
        quietColumn: 'ID',
        quiet: flags.bool('quiet'),
        ...(format === undefined ? {} : { format }),
      }),
    );
    return 0;
  },
};
