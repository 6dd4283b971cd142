import { type Column, formatAge, formatDate, formatList, formatSize, shortId } from '#cli/output/index.ts';
import { encodeFilters, FILTER_FLAG, FORMAT_FLAG, NO_TRUNC_FLAG, QUIET_FLAG } from './filters.ts';
import type { Command } from './types.ts';

interface ImageSummary {
  readonly Id: string;
  readonly RepoTags: readonly string[] | null;
  readonly RepoDigests: readonly string[] | null;
  readonly Created: number;
  readonly Size: number;
  readonly SharedSize?: number;
  readonly Containers?: number;
}

/** One line: an image under one of its names. */
interface Line {
  readonly image: ImageSummary;
  readonly repository: string;
  readonly tag: string;
  readonly digest: string;
}

const NONE = '<none>';

/** `slipway images`. */
export const images: Command = {
  usage: 'images [OPTIONS] [REPOSITORY[:TAG]]',
  summary: 'List images',
  aliases: ['slipway image ls', 'slipway image list', 'slipway images'],
  minArgs: 0,
  maxArgs: 1,
  flags: [
    { name: 'all', short: 'a', kind: 'bool', help: 'Show all images (default hides intermediate images)' },
    { name: 'digests', kind: 'bool', help: 'Show digests' },
    FILTER_FLAG,
    FORMAT_FLAG,
    NO_TRUNC_FLAG,
    { ...QUIET_FLAG, help: 'Only show image IDs' },
  ],
  async run(context, args, flags) {
    const filters = [...flags.list('filter'), ...(args[0] === undefined ? [] : [`reference=${args[0]}`])];
    const engine = await context.engine();
    const found = await engine.call<readonly ImageSummary[]>('GET', '/images/json', {
      query: { all: flags.bool('all'), filters: encodeFilters(filters) },
      signal: context.signal,
    });
    const withDigests = flags.bool('digests');
    const lines = found.flatMap((image) => linesOf(image, withDigests));
    const columns = ['Repository', 'Tag', ...(withDigests ? ['Digest'] : []), 'ID', 'CreatedSince', 'Size'];
    const format = flags.string('format');
    context.stdout.write(
      formatList(lines, columnsOf({ full: flags.bool('no-trunc') }), {
        columns,
        quietColumn: 'ID',
        quiet: flags.bool('quiet'),
        ...(format === undefined ? {} : { format }),
      }),
    );
    return 0;
  },
};

function linesOf(image: ImageSummary, withDigests: boolean): Line[] {
  const tags = (image.RepoTags ?? []).filter((tag) => tag !== `${NONE}:${NONE}`);
  const digests = (image.RepoDigests ?? []).filter((digest) => digest !== `${NONE}@${NONE}`);
  const ofRepository = (repository: string): string[] =>
    digests.filter((d) => d.slice(0, d.indexOf('@')) === repository).map((d) => d.slice(d.indexOf('@') + 1));
  const lines = tags.flatMap((name) => {
    const colon = name.lastIndexOf(':');
    const repository = name.slice(0, colon);
    const tag = name.slice(colon + 1);
    const known = withDigests ? ofRepository(repository) : [];
    return (known.length === 0 ? [NONE] : known).map((digest) => ({ image, repository, tag, digest }));
  });
  if (lines.length > 0) return lines;
  const [first] = digests;
  const repository = first === undefined ? NONE : first.slice(0, first.indexOf('@'));
  const shown = withDigests && digests.length > 0 ? ofRepository(repository) : [NONE];
  return shown.map((digest) => ({ image, repository, tag: NONE, digest }));
}

function columnsOf({ full }: { readonly full: boolean }): readonly Column<Line>[] {
  return [
    { name: 'Repository', heading: 'REPOSITORY', cell: (l) => l.repository },
    { name: 'Tag', heading: 'TAG', cell: (l) => l.tag },
    { name: 'Digest', heading: 'DIGEST', cell: (l) => l.digest },
    { name: 'ID', heading: 'IMAGE ID', cell: (l) => (full ? l.image.Id : shortId(l.image.Id)) },
    { name: 'CreatedSince', heading: 'CREATED', cell: (l) => formatAge(l.image.Created) },
    { name: 'CreatedAt', heading: 'CREATED AT', cell: (l) => formatDate(l.image.Created) },
    { name: 'Size', heading: 'SIZE', cell: (l) => formatSize(l.image.Size) },
    { name: 'VirtualSize', heading: 'SIZE', cell: (l) => formatSize(l.image.Size, 4) },
    { name: 'UniqueSize', heading: 'UNIQUE SIZE', cell: () => 'N/A' },
    {
      name: 'SharedSize',
      heading: 'SHARED SIZE',
      cell: (l) => ((l.image.SharedSize ?? -1) < 0 ? 'N/A' : formatSize(l.image.SharedSize ?? 0)),
    },
    {
      name: 'Containers',
      heading: 'CONTAINERS',
      cell: (l) => ((l.image.Containers ?? -1) < 0 ? 'N/A' : String(l.image.Containers)),
    },
  ];
}
