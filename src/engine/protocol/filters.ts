/**
 * The `filters` parameter: `{"label":["a=b"]}` or, from old clients, `{"label":{"a=b":true}}`.
 * Values of one key are alternatives, keys are conditions that all hold.
 */
import { CodedError } from '#base/errors/index.ts';

/** Parsed filters. Lookups never meet a prototype key. */
export class Filters {
  readonly #values: ReadonlyMap<string, readonly string[]>;

  constructor(values: ReadonlyMap<string, readonly string[]> = new Map()) {
    this.#values = values;
  }

  /** Values given for a key; none: an empty list. */
  get(key: string): readonly string[] {
    return this.#values.get(key) ?? [];
  }

  has(key: string): boolean {
    return this.get(key).length > 0;
  }

  /** These filters and one more value. */
  with(key: string, value: string): Filters {
    return new Filters(new Map([...this.#values, [key, [...this.get(key), value]]]));
  }

  get size(): number {
    return this.#values.size;
  }

  keys(): Iterable<string> {
    return this.#values.keys();
  }

  /** @throws `invalid_argument` with Docker's `invalid filter 'x'` for a key not in `known`. */
  checkKnown(known: readonly string[]): void {
    for (const key of this.#values.keys()) {
      if (!known.includes(key)) throw new CodedError('invalid_argument', `invalid filter '${key}'`);
    }
  }

  /** Whether the key is absent or one of its values equals `value`. */
  matches(key: string, value: string): boolean {
    return !this.has(key) || this.get(key).includes(value);
  }

  /** Whether the key is absent or some value satisfies `test`. */
  some(key: string, test: (value: string) => boolean): boolean {
    return !this.has(key) || this.get(key).some(test);
  }

  /** `undefined` when absent. @throws `invalid_argument` with Docker's text for anything but a boolean. */
  flag(key: string): boolean | undefined {
    const values = this.get(key);
    if (values.length === 0) return undefined;
    const wanted = values.map((value) => {
      if (['1', 't', 'true', 'T', 'TRUE', 'True'].includes(value)) return true;
      if (['0', 'f', 'false', 'F', 'FALSE', 'False'].includes(value)) return false;
      throw new CodedError('invalid_argument', `invalid filter '${key}=[${values.join(' ')}]'`);
    });
    if (new Set(wanted).size > 1)
      throw new CodedError('invalid_argument', `invalid filter '${key}=[${values.join(' ')}]'`);
    return wanted[0];
  }

  /** What a prune may take: every `label` holds, and no `label!` does. */
  passesLabels(labels: Readonly<Record<string, string>> | undefined): boolean {
    return this.matchesLabels(labels) && !this.get('label!').some((condition) => hasLabel(labels, condition));
  }

  /** Every `key` (`label` or `label!`) condition: `name` must exist, `name=value` must be equal. */
  matchesLabels(labels: Readonly<Record<string, string>> | undefined, key = 'label'): boolean {
    return this.get(key).every((condition) => hasLabel(labels, condition));
  }
}

function hasLabel(labels: Readonly<Record<string, string>> | undefined, condition: string): boolean {
  const equals = condition.indexOf('=');
  const name = equals < 0 ? condition : condition.slice(0, equals);
  if (labels === undefined || !Object.hasOwn(labels, name)) return false;
  return equals < 0 || labels[name] === condition.slice(equals + 1);
}

/**
 * Reads the parameter as sent; empty or absent: no filters.
 * @throws {CodedError} `invalid_argument`.
 */
export function parseFilters(text: string | undefined): Filters {
  if (text === undefined || text === '') return new Filters();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalid();
  }
  if (value === null) return new Filters();
  if (typeof value !== 'object' || Array.isArray(value)) throw invalid();
  const parsed = new Map<string, readonly string[]>();
  for (const [key, values] of Object.entries(value)) parsed.set(key, valuesOf(values));
  return new Filters(parsed);
}

function valuesOf(values: unknown): readonly string[] {
  if (values === null) return [];
  if (Array.isArray(values)) {
    if (values.some((entry) => typeof entry !== 'string')) throw invalid();
    return [...new Set(values as string[])];
  }
  if (typeof values === 'object') {
    const entries = Object.entries(values as object);
    if (entries.some(([, wanted]) => typeof wanted !== 'boolean')) throw invalid();
    return entries.filter(([, wanted]) => wanted === true).map(([name]) => name);
  }
  throw invalid();
}

function invalid(): CodedError {
  return new CodedError('invalid_argument', 'invalid filter');
}
