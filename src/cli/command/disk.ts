import { type Column, formatAge, formatList, formatSize, formatTable, shortId } from '#cli/output/index.ts';
import { FORMAT_FLAG } from './filters.ts';
import type { Command } from './types.ts';

interface DiskUsage {
  readonly LayersSize: number;
  readonly Images:
    | readonly {
        readonly Id: string;
        readonly RepoTags: readonly string[] | null;
        readonly Created: number;
        readonly Size: number;
        readonly SharedSize: number;
        readonly Containers: number;
      }[]
    | null;
  readonly Containers:
    | readonly {
        readonly Id: string;
        readonly Names: readonly string[];
        readonly Image: string;
        readonly State: string;
        readonly Status: string;
        readonly SizeRw?: number;
      }[]
    | null;
  readonly Volumes:
    | readonly {
        readonly Name: string;
        readonly UsageData?: { readonly Size: number; readonly RefCount: number };
      }[]
    | null;
  readonly BuildCache?:
    | readonly {
        readonly ID: string;
        readonly Size: number;
        readonly InUse: boolean;
        readonly Shared: boolean;
      }[]
    | null;
}

interface Line {
  readonly type: string;
  readonly total: number;
  readonly active: number;
  readonly size: number;
  readonly reclaimable: number;
}

/** `slipway system df`. */
export const diskUsage: Command = {
  usage: 'df [OPTIONS]',
  summary: 'Show disk usage',
  minArgs: 0,
  maxArgs: 0,
  flags: [
    FORMAT_FLAG,
    { name: 'verbose', short: 'v', kind: 'bool', help: 'Show detailed information on space usage' },
  ],
  async run(context, _args, flags) {
    const engine = await context.engine();
    const usage = await engine.call<DiskUsage>('GET', '/system/df', { signal: context.signal });
    if (flags.bool('verbose')) {
      context.stdout.write(describeAll(usage));
      return 0;
    }
    const columns: readonly Column<Line>[] = [
      { name: 'Type', heading: 'TYPE', cell: (l) => l.type },
      { name: 'TotalCount', heading: 'TOTAL', cell: (l) => String(l.total) },
      { name: 'Active', heading: 'ACTIVE', cell: (l) => String(l.active) },
      { name: 'Size', heading: 'SIZE', cell: (l) => formatSize(l.size, 4) },
      { name: 'Reclaimable', heading: 'RECLAIMABLE', cell: reclaimableOf },
    ];
    const format = flags.string('format');
    context.stdout.write(
      formatList(summarize(usage), columns, {
        columns: ['Type', 'TotalCount', 'Active', 'Size', 'Reclaimable'],
        quietColumn: 'Type',
        ...(format === undefined ? {} : { format }),
      }),
    );
    return 0;
  },
};

function reclaimableOf(line: Line): string {
  const percent = line.size > 0 ? ` (${Math.floor((line.reclaimable * 100) / line.size)}%)` : '';
  return `${formatSize(line.reclaimable, 4)}${line.type === 'Build Cache' ? '' : percent}`;
}

function sum(sizes: readonly number[]): number {
  return sizes.reduce((total, size) => total + size, 0);
}

function summarize(usage: DiskUsage): Line[] {
  const images = usage.Images ?? [];
  const containers = usage.Containers ?? [];
  const volumes = usage.Volumes ?? [];
  const cache = usage.BuildCache ?? [];
  const used = images.filter((image) => image.Containers > 0);
  const usedSize = sum(
    used.map((image) => (image.Size < 0 || image.SharedSize < 0 ? 0 : image.Size - image.SharedSize)),
  );
  const running = containers.filter(
    ({ State: state }) => state === 'running' || state === 'paused' || state === 'restarting',
  );
  const rw = (list: typeof containers): number => sum(list.map(({ SizeRw: size }) => size ?? 0));
  const bound = volumes.filter((volume) => (volume.UsageData?.RefCount ?? 0) > 0);
  const volumeSize = (list: typeof volumes): number =>
    sum(list.map((volume) => Math.max(0, volume.UsageData?.Size ?? 0)));
  return [
    {
      type: 'Images',
      total: images.length,
      active: used.length,
      size: usage.LayersSize,
      reclaimable: Math.max(0, usage.LayersSize - usedSize),
    },
    {
      type: 'Containers',
      total: containers.length,
      active: running.length,
      size: rw(containers),
      reclaimable: rw(containers) - rw(running),
    },
    {
      type: 'Local Volumes',
      total: volumes.length,
      active: bound.length,
      size: volumeSize(volumes),
      reclaimable: volumeSize(volumes) - volumeSize(bound),
    },
    {
      type: 'Build Cache',
      total: cache.length,
      active: cache.filter(({ InUse: inUse }) => inUse).length,
      size: sum(cache.map(({ Size: size }) => size)),
      reclaimable: sum(
        cache.filter(({ InUse: inUse, Shared: shared }) => !inUse && !shared).map(({ Size: size }) => size),
      ),
    },
  ];
}

function describeAll(usage: DiskUsage): string {
  const images = (usage.Images ?? []).map((image) => {
    const name = image.RepoTags?.[0] ?? '<none>:<none>';
    const colon = name.lastIndexOf(':');
    const shared = Math.max(0, image.SharedSize);
    return [
      name.slice(0, colon),
      name.slice(colon + 1),
      shortId(image.Id),
      formatAge(image.Created),
      formatSize(image.Size),
      formatSize(shared, 4),
      formatSize(image.Size - shared, 4),
      String(Math.max(0, image.Containers)),
    ];
  });
  const containers = (usage.Containers ?? []).map((container) => [
    shortId(container.Id),
    container.Image,
    formatSize(container.SizeRw ?? 0, 3),
    container.Status,
    container.Names.map((name) => name.replace(/^\//, '')).join(','),
  ]);
  const volumes = (usage.Volumes ?? []).map((volume) => [
    volume.Name,
    String(volume.UsageData?.RefCount ?? 'N/A'),
    volume.UsageData === undefined || volume.UsageData.Size < 0 ? 'N/A' : formatSize(volume.UsageData.Size),
  ]);
  const cache = (usage.BuildCache ?? []).map((record) => [
    shortId(record.ID),
    formatSize(record.Size),
    String(record.InUse),
    String(record.Shared),
  ]);
  return [
    'Images space usage:\n\n',
    formatTable([
      ['REPOSITORY', 'TAG', 'IMAGE ID', 'CREATED', 'SIZE', 'SHARED SIZE', 'UNIQUE SIZE', 'CONTAINERS'],
      ...images,
    ]),
    '\nContainers space usage:\n\n',
    formatTable([['CONTAINER ID', 'IMAGE', 'SIZE', 'STATUS', 'NAMES'], ...containers]),
    '\nLocal Volumes space usage:\n\n',
    formatTable([['VOLUME NAME', 'LINKS', 'SIZE'], ...volumes]),
    `\nBuild cache usage: ${formatSize(sum((usage.BuildCache ?? []).map(({ Size: size }) => size)), 4)}\n\n`,
    formatTable([['CACHE ID', 'SIZE', 'IN USE', 'SHARED'], ...cache]),
  ].join('');
}
