import { escapeText } from './escape.ts';
import { formatTable } from './table.ts';
import { compileTemplate, goJson } from './template.ts';

/** A column of a list: its name in templates, its heading, and the cell of a row. */
export interface Column<Row> {
  readonly name: string;
  readonly heading: string;
  readonly cell: (row: Row) => string;
}

/** How a list is printed. */
export interface ListOptions {
  /** The value of `--format`: empty, `json`, `table TEMPLATE` or a template. */
  readonly format?: string;
  readonly quiet?: boolean;
  /** Names of the columns of the usual table. */
  readonly columns: readonly string[];
  /** Column printed with `--quiet`. */
  readonly quietColumn: string;
}

/**
 * Prints rows as docker's list commands do: a table, one id a line, JSON a line, or a template.
 * @throws {CodedError} `invalid_argument` for a bad template.
 */
export function formatList<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  options: ListOptions,
): string {
  const format = options.format ?? '';
  // Keys in the order of their names, as Go writes a map.
  const value = (row: Row): Record<string, string> =>
    Object.fromEntries(
      columns
        .map(({ name, cell }): [string, string] => [name, cell(row)])
        .sort(([a], [b]) => (a < b ? -1 : 1)),
    );
  if (options.quiet && format === '')
    return rows.map((row) => `${value(row)[options.quietColumn] ?? ''}\n`).join('');
  if (format === 'json') return rows.map((row) => `${goJson(value(row))}\n`).join('');
  if (format === '' || format === 'table') {
    const shown = options.columns.flatMap((name) => columns.find((column) => column.name === name) ?? []);
    return formatTable([
      shown.map(({ heading }) => heading),
      ...rows.map((row) => shown.map(({ cell }) => cell(row))),
    ]);
  }
  const isTable = format.startsWith('table ');
  const template = compileTemplate(unescapeTabs(isTable ? format.slice('table '.length) : format));
  const lines = rows.map((row) => template(value(row)));
  if (!isTable) return lines.map((line) => `${escapeText(line)}\n`).join('');
  const headings = Object.fromEntries(columns.map(({ name, heading }) => [name, heading]));
  return formatTable([template(headings), ...lines].map((line) => line.split('\t')));
}

/** A shell passes `\t` and `\n` as they are typed. */
function unescapeTabs(format: string): string {
  return format.replaceAll('\\t', '\t').replaceAll('\\n', '\n');
}
