/** Durations such as `1h2m3.5s`, in nanoseconds. */
import { invalid, quote } from './source.ts';

const UNITS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/**
 * Reads a duration.
 * @throws {CodedError} `invalid_argument` with Go's text, which is what Docker prints.
 */
export function parseDuration(text: string): number {
  const sign = text.startsWith('-') ? -1 : 1;
  let rest = /^[+-]/.test(text) ? text.slice(1) : text;
  if (rest === '0') return 0;
  if (rest === '') throw invalid(`time: invalid duration ${quote(text)}`);
  let total = 0;
  while (rest !== '') {
    const match = /^(\d*)(\.\d*)?([^\d.]*)/.exec(rest);
    const [all = '', whole = '', fraction = '', unit = ''] = match ?? [];
    if (whole === '' && fraction.length < 2) throw invalid(`time: invalid duration ${quote(text)}`);
    if (unit === '') throw invalid(`time: missing unit in duration ${quote(text)}`);
    const scale = Object.hasOwn(UNITS, unit) ? UNITS[unit] : undefined;
    if (scale === undefined) throw invalid(`time: unknown unit ${quote(unit)} in duration ${quote(text)}`);
    total += Number(`${whole || '0'}${fraction === '.' ? '' : fraction}`) * scale;
    rest = rest.slice(all.length);
  }
  if (!Number.isSafeInteger(Math.round(total))) throw invalid(`time: invalid duration ${quote(text)}`);
  return sign * Math.round(total);
}

/** As Go prints a duration: `1m30s`, `500ms`, `0s`. */
export function formatDuration(nanoseconds: number): string {
  if (nanoseconds === 0) return '0s';
  const sign = nanoseconds < 0 ? '-' : '';
  const value = Math.abs(nanoseconds);
  if (value < 1e3) return `${sign}${value}ns`;
  if (value < 1e6) return `${sign}${value / 1e3}µs`;
  if (value < 1e9) return `${sign}${value / 1e6}ms`;
  const hours = Math.floor(value / 3600e9);
  const minutes = Math.floor((value % 3600e9) / 60e9);
  const seconds = Number(((value % 60e9) / 1e9).toFixed(9));
  const tail = hours > 0 || minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`;
  return `${sign}${hours > 0 ? `${hours}h` : ''}${tail}`;
}
