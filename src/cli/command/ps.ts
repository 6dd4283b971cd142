import {
  type Column,
  ellipsis,
  formatAge,
  formatDate,
  formatList,
  formatSize,
  shortId,
} from '#cli/output/index.ts';
import { encodeFilters, FILTER_FLAG, FORMAT_FLAG, NO_TRUNC_FLAG, QUIET_FLAG } from './filters.ts';
import type { Command } from './types.ts';

interface Port {
  readonly IP?: string;
  readonly PrivatePort: number;
  readonly PublicPort?: number;
  readonly Type: string;
}

interface ContainerSummary {
  readonly Id: string;
  readonly Names: readonly string[];
  readonly Image: string;
  readonly ImageID: string;
  readonly Command: string;
  readonly Created: number;
  readonly State: string;
  readonly Status: string;
  readonly Ports: readonly Port[] | null;
  readonly Labels: Readonly<Record<string, string>> | null;
  readonly SizeRw?: number;
  readonly SizeRootFs?: number;
  readonly Mounts?:
    | readonly { readonly Name?: string; readonly Source?: string; readonly Type?: string }[]
    | null;
  readonly NetworkSettings?: { readonly Networks: Readonly<Record<string, unknown>> | null } | null;
}

/** `slipway ps`. */
export const ps: Command = {
  usage: 'ps [OPTIONS]',
  summary: 'List containers',
  minArgs: 0,
  maxArgs: 0,
  flags: [
    { name: 'all', short: 'a', kind: 'bool', help: 'Show all containers (default shows just running)' },
    {
      name: 'last',
      short: 'n',
      kind: 'int',
      default: -1,
      help: 'Show n last created containers (includes all states)',
    },
    {
      name: 'latest',
      short: 'l',
      kind: 'bool',
      help: 'Show the latest created container (includes all states)',
    },
    { name: 'size', short: 's', kind: 'bool', help: 'Display total file sizes' },
    FILTER_FLAG,
    FORMAT_FLAG,
    NO_TRUNC_FLAG,
    { ...QUIET_FLAG, help: 'Only display container IDs' },
  ],
  async run(context, _args, flags) {
    const last = flags.bool('latest') ? 1 : (flags.int('last') ?? -1);
    const engine = await context.engine();
    const withSize = flags.bool('size');
    const containers = await engine.call<readonly ContainerSummary[]>('GET', '/containers/json', {
      query: {
        all: flags.bool('all') || last > 0,
        limit: last > 0 ? last : undefined,
        size: withSize,
        filters: encodeFilters(flags.list('filter')),
      },
      signal: context.signal,
    });
    const columns = columnsOf({ full: flags.bool('no-trunc') });
    const names = [
      'ID',
      'Image',
      'Command',
      'RunningFor',
      'Status',
      'Ports',
      'Names',
      ...(withSize ? ['Size'] : []),
    ];
    const format = flags.string('format') || (await psFormat(context));
    context.stdout.write(
      formatList(containers, columns, {
        columns: names,
        quietColumn: 'ID',
        quiet: flags.bool('quiet'),
        ...(format === undefined ? {} : { format }),
      }),
    );
    return 0;
  },
};

async function psFormat(context: Parameters<Command['run']>[0]): Promise<string | undefined> {
  const { existsSync } = await import('node:fs');
  return existsSync(context.configPath) ? (await context.config()).psFormat : undefined;
}

function columnsOf({ full }: { readonly full: boolean }): readonly Column<ContainerSummary>[] {
  const id = (text: string): string => (full ? text : shortId(text));
  return [
    { name: 'ID', heading: 'CONTAINER ID', cell: (c) => id(c.Id) },
    { name: 'Image', heading: 'IMAGE', cell: (c) => imageOf(c, full) },
    {
      name: 'Command',
      heading: 'COMMAND',
      cell: (c) => JSON.stringify(full ? c.Command : ellipsis(c.Command, 20)),
    },
    { name: 'RunningFor', heading: 'CREATED', cell: (c) => formatAge(c.Created) },
    { name: 'CreatedAt', heading: 'CREATED AT', cell: (c) => formatDate(c.Created) },
    { name: 'Status', heading: 'STATUS', cell: (c) => c.Status },
    { name: 'State', heading: 'STATE', cell: (c) => c.State },
    { name: 'Ports', heading: 'PORTS', cell: (c) => formatPorts(c.Ports ?? []) },
    { name: 'Names', heading: 'NAMES', cell: (c) => namesOf(c, full) },
    { name: 'Size', heading: 'SIZE', cell: sizeOf },
    {
      name: 'Labels',
      heading: 'LABELS',
      cell: (c) =>
        Object.entries(c.Labels ?? {})
          .map(([key, value]) => `${key}=${value}`)
          .join(','),
    },
    {
      name: 'Mounts',
      heading: 'MOUNTS',
      cell: (c) => (c.Mounts ?? []).map((m) => m.Name || m.Source || '').join(','),
    },
    {
      name: 'LocalVolumes',
      heading: 'LOCAL VOLUMES',
      cell: (c) => String((c.Mounts ?? []).filter((m) => m.Type === 'volume').length),
    },
    {
      name: 'Networks',
      heading: 'NETWORKS',
      cell: (c) => Object.keys(c.NetworkSettings?.Networks ?? {}).join(','),
    },
  ];
}

function imageOf(container: ContainerSummary, full: boolean): string {
  if (container.Image === '') return '<no image>';
  return !full && container.Image === container.ImageID ? shortId(container.ImageID) : container.Image;
}

function namesOf(container: ContainerSummary, full: boolean): string {
  const names = container.Names.map((name) => name.replace(/^\//, ''));
  // Names with a slash belong to links of other containers.
  return (full ? names : names.filter((name) => !name.includes('/'))).join(',');
}

function sizeOf(container: ContainerSummary): string {
  const own = formatSize(container.SizeRw ?? 0);
  return container.SizeRootFs ? `${own} (virtual ${formatSize(container.SizeRootFs)})` : own;
}

/** `0.0.0.0:80->80/tcp, 443/tcp`; neighbouring ports are joined to a range, as docker does. */
export function formatPorts(ports: readonly Port[]): string {
  const shown = ports
    .map((port) => ({ ...port, IP: port.IP ?? '' }))
    .sort((a, b) => a.PrivatePort - b.PrivatePort || (a.IP < b.IP ? -1 : 1));
  const groups: { ip: string; type: string; first: number; last: number; publicFirst: number }[] = [];
  for (const { IP: ip, PrivatePort: inside, PublicPort: outside = 0, Type: type } of shown) {
    const group = groups.find(
      (g) =>
        g.ip === ip &&
        g.type === type &&
        g.last + 1 === inside &&
        (outside === 0
          ? g.publicFirst === 0
          : g.publicFirst + (inside - g.first) === outside && g.publicFirst === g.first),
    );
    if (group !== undefined) group.last = inside;
    else groups.push({ ip, type, first: inside, last: inside, publicFirst: outside });
  }
  return groups
    .map(({ ip, type, first, last, publicFirst }) => {
      const range = (from: number): string =>
        first === last ? String(from) : `${from}-${from + last - first}`;
      const host = ip.includes(':') ? `[${ip}]` : ip;
      return publicFirst === 0
        ? `${range(first)}/${type}`
        : `${host}:${range(publicFirst)}->${range(first)}/${type}`;
    })
    .join(', ');
}
