/** Prune commands: each says what it will remove, asks, and tells what it freed. */
import { formatSize } from '#cli/output/index.ts';
import { encodeFilters } from './filters.ts';
import { confirm } from './prompt.ts';
import type { CliContext, Command, Flag, Flags } from './types.ts';

interface PruneReport {
  readonly ContainersDeleted?: readonly string[] | null;
  readonly NetworksDeleted?: readonly string[] | null;
  readonly VolumesDeleted?: readonly string[] | null;
  readonly ImagesDeleted?: readonly { readonly Untagged?: string; readonly Deleted?: string }[] | null;
  readonly CachesDeleted?: readonly string[] | null;
  readonly SpaceReclaimed?: number;
}

const FORCE: Flag = { name: 'force', short: 'f', kind: 'bool', help: 'Do not prompt for confirmation' };
const FILTER: Flag = {
  name: 'filter',
  kind: 'list',
  placeholder: 'filter',
  help: 'Provide filter values (e.g. "until=<timestamp>")',
};
const ALL: Flag = {
  name: 'all',
  short: 'a',
  kind: 'bool',
  help: 'Remove all unused images, not just dangling ones',
};

interface Kind {
  readonly warning: (flags: Flags) => string;
  readonly path: string;
  readonly filters: (flags: Flags) => readonly string[];
  readonly title: string;
  readonly lines: (report: PruneReport) => readonly string[];
  /** Whether freed space is told: networks take none. */
  readonly hasSpace: boolean;
}

const CONTAINERS: Kind = {
  warning: () => 'WARNING! This will remove all stopped containers.',
  path: '/containers/prune',
  filters: (flags) => flags.list('filter'),
  title: 'Deleted Containers:',
  lines: (report) => report.ContainersDeleted ?? [],
  hasSpace: true,
};
const NETWORKS: Kind = {
  warning: () => 'WARNING! This will remove all custom networks not used by at least one container.',
  path: '/networks/prune',
  filters: (flags) => flags.list('filter'),
  title: 'Deleted Networks:',
  lines: (report) => report.NetworksDeleted ?? [],
  hasSpace: false,
};
const VOLUMES: Kind = {
  warning: (flags) =>
    flags.bool('all')
      ? 'WARNING! This will remove all local volumes not used by at least one container.'
      : 'WARNING! This will remove anonymous local volumes not used by at least one container.',
  path: '/volumes/prune',
  filters: (flags) => [...flags.list('filter'), ...(flags.bool('all') ? ['all=true'] : [])],
  title: 'Deleted Volumes:',
  lines: (report) => report.VolumesDeleted ?? [],
  hasSpace: true,
};
const IMAGES: Kind = {
  warning: (flags) =>
    flags.bool('all')
      ? 'WARNING! This will remove all images without at least one container associated to them.'
      : 'WARNING! This will remove all dangling images.',
  path: '/images/prune',
  filters: (flags) => [...flags.list('filter'), `dangling=${!flags.bool('all')}`],
  title: 'Deleted Images:',
  lines: (report) =>
    (report.ImagesDeleted ?? []).map(({ Untagged, Deleted }) =>
      Untagged ? `untagged: ${Untagged}` : `deleted: ${Deleted ?? ''}`,
    ),
  hasSpace: true,
};
const BUILDS: Kind = {
  warning: (flags) =>
    flags.bool('all')
      ? 'WARNING! This will remove all build cache.'
      : 'WARNING! This will remove all dangling build cache.',
  path: '/build/prune',
  filters: (flags) => flags.list('filter'),
  title: 'Deleted build cache objects:',
  lines: (report) => report.CachesDeleted ?? [],
  hasSpace: true,
};

function pruneCommand(kind: Kind, what: string, flags: readonly Flag[]): Command {
  return {
    usage: 'prune [OPTIONS]',
    summary: `Remove ${what}`,
    minArgs: 0,
    maxArgs: 0,
    flags: [FORCE, FILTER, ...flags],
    async run(context, _args, values) {
      if (!values.bool('force') && !(await ask(context, kind.warning(values)))) return 0;
      const freed = await prune(context, kind, values);
      if (kind.hasSpace) context.stdout.write(`Total reclaimed space: ${formatSize(freed)}\n`);
      return 0;
    },
  };
}

function ask(context: CliContext, warning: string): Promise<boolean> {
  context.stdout.write(`${warning}\n`);
  return confirm(context, 'Are you sure you want to continue?');
}

async function prune(context: CliContext, kind: Kind, flags: Flags): Promise<number> {
  const engine = await context.engine();
  const report = await engine.call<PruneReport>('POST', kind.path, {
    query: { filters: encodeFilters(kind.filters(flags)), all: kind === BUILDS && flags.bool('all') },
    signal: context.signal,
  });
  const lines = kind.lines(report);
  if (lines.length > 0) context.stdout.write(`${kind.title}\n${lines.map((line) => `${line}\n`).join('')}\n`);
  return report.SpaceReclaimed ?? 0;
}

/** `slipway container prune`. */
export const containerPrune = pruneCommand(CONTAINERS, 'all stopped containers', []);
/** `slipway network prune`. */
export const networkPrune = pruneCommand(NETWORKS, 'all unused networks', []);
/** `slipway volume prune`. */
export const volumePrune = pruneCommand(VOLUMES, 'unused local volumes', [
  { ...ALL, help: 'Remove all unused volumes, not just anonymous ones' },
]);
/** `slipway image prune`. */
export const imagePrune = pruneCommand(IMAGES, 'unused images', [ALL]);
/** `slipway builder prune`. */
export const builderPrune = pruneCommand(BUILDS, 'build cache', [
  { ...ALL, help: 'Remove all unused build cache, not just dangling ones' },
]);

/** `slipway system prune`. */
export const systemPrune: Command = {
  usage: 'prune [OPTIONS]',
  summary: 'Remove unused data',
  minArgs: 0,
  maxArgs: 0,
  flags: [FORCE, FILTER, ALL, { name: 'volumes', kind: 'bool', help: 'Prune anonymous volumes' }],
  async run(context, _args, flags) {
    const all = flags.bool('all');
    const kinds = [CONTAINERS, NETWORKS, ...(flags.bool('volumes') ? [VOLUMES] : []), IMAGES, BUILDS];
    const lines = [
      'all stopped containers',
      'all networks not used by at least one container',
      ...(flags.bool('volumes') ? ['all anonymous volumes not used by at least one container'] : []),
      all ? 'all images without at least one container associated to them' : 'all dangling images',
      all ? 'all build cache' : 'unused build cache',
    ];
    const warning = `WARNING! This will remove:\n${lines.map((line) => `  - ${line}\n`).join('')}`;
    if (!flags.bool('force') && !(await ask(context, warning))) return 0;
    let freed = 0;
    for (const kind of kinds) freed += await prune(context, kind, flags);
    context.stdout.write(`Total reclaimed space: ${formatSize(freed)}\n`);
    return 0;
  },
};
