import { type Column, formatList } from '#cli/output/index.ts';
import { pairsOf } from './container-body.ts';
import { forEachName } from './each.ts';
import { encodeFilters, FILTER_FLAG, FORMAT_FLAG, QUIET_FLAG } from './filters.ts';
import { labelsOf } from './network.ts';
import type { Command } from './types.ts';

interface VolumeSummary {
  readonly Name: string;
  readonly Driver: string;
  readonly Mountpoint: string;
  readonly Scope?: string;
  readonly Labels?: Readonly<Record<string, string>> | null;
}

/** `slipway volume ls`. */
export const volumeList: Command = {
  usage: 'ls [OPTIONS]',
  summary: 'List volumes',
  minArgs: 0,
  maxArgs: 0,
  flags: [FILTER_FLAG, FORMAT_FLAG, { ...QUIET_FLAG, help: 'Only display volume names' }],
  async run(context, _args, flags) {
    const engine = await context.engine();
    const { Volumes: volumes } = await engine.call<{ Volumes: readonly VolumeSummary[] | null }>(
      'GET',
      '/volumes',
      {
        query: { filters: encodeFilters(flags.list('filter')) },
        signal: context.signal,
      },
    );
    const columns: readonly Column<VolumeSummary>[] = [
      { name: 'Driver', heading: 'DRIVER', cell: (v) => v.Driver },
      { name: 'Name', heading: 'VOLUME NAME', cell: (v) => v.Name },
      { name: 'Scope', heading: 'SCOPE', cell: (v) => v.Scope ?? '' },
      { name: 'Mountpoint', heading: 'MOUNTPOINT', cell: (v) => v.Mountpoint },
      { name: 'Labels', heading: 'LABELS', cell: (v) => labelsOf(v.Labels) },
      { name: 'Links', heading: 'LINKS', cell: () => 'N/A' },
      { name: 'Size', heading: 'SIZE', cell: () => 'N/A' },
    ];
    const format = flags.string('format');
    const sorted = [...(volumes ?? [])].sort((a, b) => (a.Name < b.Name ? -1 : 1));
    context.stdout.write(
      formatList(sorted, columns, {
        columns: ['Driver', 'Name'],
        quietColumn: 'Name',
        quiet: flags.bool('quiet'),
        ...(format === undefined ? {} : { format }),
      }),
    );
    return 0;
  },
};

/** `slipway volume create`. */
export const volumeCreate: Command = {
  usage: 'create [OPTIONS] [VOLUME]',
  summary: 'Create a volume',
  minArgs: 0,
  maxArgs: 1,
  flags: [
    { name: 'driver', short: 'd', kind: 'string', default: 'local', help: 'Specify volume driver name' },
    { name: 'label', kind: 'list', help: 'Set metadata for a volume' },
    { name: 'name', kind: 'string', help: 'Specify volume name' },
    { name: 'opt', short: 'o', kind: 'list', help: 'Set driver specific options' },
  ],
  async run(context, [name], flags) {
    const engine = await context.engine();
    const created = await engine.call<VolumeSummary>('POST', '/volumes/create', {
      json: {
        Name: name ?? flags.string('name') ?? '',
        Driver: flags.string('driver'),
        DriverOpts: pairsOf(flags.list('opt')),
        Labels: pairsOf(flags.list('label')),
      },
      signal: context.signal,
    });
    context.stdout.write(`${created.Name}\n`);
    return 0;
  },
};

/** `slipway volume rm`. */
export const volumeRemove: Command = {
  usage: 'rm [OPTIONS] VOLUME [VOLUME...]',
  summary: 'Remove one or more volumes',
  minArgs: 1,
  maxArgs: Number.POSITIVE_INFINITY,
  flags: [{ name: 'force', short: 'f', kind: 'bool', help: 'Force the removal of one or more volumes' }],
  async run(context, args, flags) {
    const engine = await context.engine();
    return forEachName(context, args, async (name) => {
      await engine.call('DELETE', `/volumes/${encodeURIComponent(name)}`, {
        query: { force: flags.bool('force') },
        signal: context.signal,
      });
      context.stdout.write(`${name}\n`);
    });
  },
};
