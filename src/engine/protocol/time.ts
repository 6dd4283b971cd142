/** Points in time as Docker's clients write them. */
import { CodedError } from '#base/errors/index.ts';

const UNITS: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
  us: 0.001,
  µs: 0.001,
  ns: 0.000001,
};

/** Milliseconds of a Go duration such as `1h30m`; `undefined` when it is none. */
export function parseDuration(text: string): number | undefined {
  if (text.length > 64 || !/^(?:\d+(?:\.\d+)?(?:h|ms|m|s|us|µs|ns))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(h|ms|m|s|us|µs|ns)/g))
    total += Number(amount) * (UNITS[unit ?? ''] ?? 0);
  return total;
}

/**
 * A moment given as a Unix time (`1700000000.25`), an RFC 3339 date or date and time, or a duration before `now`.
 * @throws {CodedError} `invalid_argument`.
 */
export function parseMoment(text: string, now: Date): Date {
  const duration = parseDuration(text);
  if (duration !== undefined) return new Date(now.getTime() - duration);
  const unix = /^(\d{1,12})(?:\.(\d{1,9}))?$/.exec(text);
  if (unix !== null) return new Date(Number(unix[1]) * 1000 + Number(`0.${unix[2] ?? '0'}`) * 1000);
  const date =
    /^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}(?::\d{2}(?::\d{2}(?:\.\d{1,9})?)?)?(?:Z|[+-]\d{2}:?\d{2})?)?$/.test(text)
      ? new Date(text)
      : undefined;
  if (date !== undefined && !Number.isNaN(date.getTime())) return date;
  throw new CodedError(
    'invalid_argument',
    `failed to parse value as time or duration: "${text.slice(0, 100)}"`,
  );
}

/**
 * Nanoseconds of a Unix time `seconds[.nanoseconds]`, as `since` and `until` of events and logs carry it.
 * @throws {CodedError} `invalid_argument` with the text of Docker.
 */
export function parseUnixNanos(text: string): bigint {
  const match = /^(\d{1,12})(?:\.(\d{1,9})\d*)?$/.exec(text);
  if (match === null)
    throw new CodedError(
      'invalid_argument',
      `strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`,
    );
  return BigInt(match[1] ?? '0') * 1_000_000_000n + BigInt((match[2] ?? '').padEnd(9, '0') || '0');
}
