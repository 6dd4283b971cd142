/** Progress lines of pull, push, load and build. */

/** What a part of the work has done. */
export interface Progress {
  readonly id?: string;
  readonly status: string;
  readonly current?: number;
  readonly total?: number;
}

/** One line as Docker sends it, with the bar for clients that print `progress` as it is. */
export interface ProgressLine {
  readonly status: string;
  readonly progressDetail?: { readonly current?: number; readonly total?: number };
  readonly progress?: string;
  readonly id?: string;
}

/** The line for a progress report. A report without an id is a plain status. */
export function progressLine(progress: Progress): ProgressLine {
  const { id, status, current, total } = progress;
  if (id === undefined) return { status };
  const detail = { ...(current === undefined ? {} : { current }), ...(total ? { total } : {}) };
  const text = formatProgress(current, total);
  return { status, progressDetail: detail, ...(text === '' ? {} : { progress: text }), id };
}

const BAR_WIDTH = 50;

/** `[=====>      ]  1.2MB/3MB`; only the amount where the total is unknown. */
export function formatProgress(current: number | undefined, total: number | undefined): string {
  if (current === undefined) return '';
  if (!total || total <= 0) return formatSize(current).padStart(8);
  const done = Math.min(BAR_WIDTH, Math.floor((current / total) * BAR_WIDTH));
  const bar =
    done === BAR_WIDTH ? `${'='.repeat(BAR_WIDTH)}>` : `${'='.repeat(done)}>${' '.repeat(BAR_WIDTH - done)}`;
  return `[${bar}] ${formatSize(current).padStart(8)}/${formatSize(total)}`;
}

/** A size in decimal units with four significant digits, as Docker prints it: `1.982MB`. */
export function formatSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < SIZE_UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${Number(value.toPrecision(4))}${SIZE_UNITS[unit] ?? ''}`;
}

const SIZE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const;
