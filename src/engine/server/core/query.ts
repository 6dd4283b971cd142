import { CodedError } from '#base/errors/index.ts';
import { type Filters, parseFilters } from '#engine/protocol/index.ts';
import type { Query } from './types.ts';

const PARAMETER_LIMIT = 2000;
const FALSE = new Set(['', '0', 'no', 'false', 'none']);

/**
 * Reads a query string.
 * @throws {CodedError} `invalid_argument` beyond the number of parameters a client has a use for.
 */
export function parseQuery(text: string): Query {
  const values = new Map<string, string[]>();
  let count = 0;
  for (const [name, value] of new URLSearchParams(text)) {
    if (++count > PARAMETER_LIMIT)
      throw new CodedError('invalid_argument', `query has more than ${PARAMETER_LIMIT} parameters`);
    const list = values.get(name);
    if (list === undefined) values.set(name, [value]);
    else list.push(value);
  }
  return new ParsedQuery(values);
}

class ParsedQuery implements Query {
  readonly #values: ReadonlyMap<string, readonly string[]>;

  constructor(values: ReadonlyMap<string, readonly string[]>) {
    this.#values = values;
  }

  get(name: string): string | undefined {
    return this.#values.get(name)?.[0];
  }

  all(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  flag(name: string, fallback = false): boolean {
    const value = this.get(name);
    return value === undefined ? fallback : !FALSE.has(value.trim().toLowerCase());
  }

  integer(name: string): number | undefined {
    const text = this.get(name)?.trim();
    if (text === undefined || text === '') return undefined;
    const value = Number(text);
    if (!/^[+-]?\d+$/.test(text) || !Number.isSafeInteger(value))
      throw new CodedError(
        'invalid_argument',
        `invalid value ${JSON.stringify(text)} for "${name}": not a whole number`,
      );
    return value;
  }

  json(name: string): unknown {
    const text = this.get(name);
    if (text === undefined || text === '') return undefined;
    try {
      return JSON.parse(text, (key, value: unknown) => (key === '__proto__' ? undefined : value));
    } catch {
      throw new CodedError('invalid_argument', `invalid JSON in query parameter "${name}"`);
    }
  }

  filters(): Filters {
    return parseFilters(this.get('filters'));
  }
}
