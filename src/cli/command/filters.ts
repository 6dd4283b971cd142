import { usageError } from './flags.ts';

/** `--filter a=b` as the `filters` parameter; `undefined` when there are none. */
export function encodeFilters(filters: readonly string[]): string | undefined {
  if (filters.length === 0) return undefined;
  const values: Record<string, string[]> = Object.create(null) as Record<string, string[]>;
  for (const filter of filters) {
    const equals = filter.indexOf('=');
    if (equals <= 0)
      throw usageError(
        `invalid argument ${JSON.stringify(filter)} for "-f, --filter" flag: invalid filter '${filter}'`,
      );
    const key = filter.slice(0, equals).trim().toLowerCase();
    values[key] = [...(values[key] ?? []), filter.slice(equals + 1).trim()];
  }
  return JSON.stringify(values);
}

/** The usual flag. */
export const FILTER_FLAG = {
  name: 'filter',
  short: 'f',
  kind: 'list',
  placeholder: 'filter',
  help: 'Filter output based on conditions provided',
} as const;

/** The usual flag of list commands. */
export const FORMAT_FLAG = {
  name: 'format',
  kind: 'string',
  help: "Format output using a custom template: 'table', 'table TEMPLATE', 'json' or 'TEMPLATE'",
} as const;

/** The usual flag of list commands. */
export const QUIET_FLAG = { name: 'quiet', short: 'q', kind: 'bool', help: 'Only display IDs' } as const;

/** The usual flag of list commands. */
export const NO_TRUNC_FLAG = { name: 'no-trunc', kind: 'bool', help: "Don't truncate output" } as const;
