/** Sizes, ages and dates as Docker prints them. */

const DECIMAL = ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB'] as const;
const BINARY = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'] as const;

function scaled(bytes: number, base: number): { value: number; power: number } {
  let value = bytes;
  let power = 0;
  while (value >= base && power < DECIMAL.length - 1) {
    value /= base;
    power++;
  }
  return { value, power };
}

/** `1.24MB`: decimal, `precision` significant digits (three in lists, four in progress). */
export function formatSize(bytes: number, precision = 3): string {
  const { value, power } = scaled(bytes, 1000);
  return `${Number(value.toPrecision(precision))}${DECIMAL[power]}`;
}

/** `1.944GiB`: binary, four significant digits. */
export function formatBinarySize(bytes: number): string {
  const { value, power } = scaled(bytes, 1024);
  return `${Number(value.toPrecision(4))}${BINARY[power]}`;
}

/** `3 minutes`, `About an hour`, `2 weeks`. */
export function formatDuration(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  if (seconds < 1) return 'Less than a second';
  if (seconds === 1) return '1 second';
  if (seconds < 60) return `${seconds} seconds`;
  const minutes = Math.floor(seconds / 60);
  if (minutes === 1) return 'About a minute';
  if (minutes < 60) return `${minutes} minutes`;
  const hours = Math.round(milliseconds / 3_600_000);
  if (hours === 1) return 'About an hour';
  if (hours < 48) return `${hours} hours`;
  if (hours < 24 * 7 * 2) return `${Math.floor(hours / 24)} days`;
  if (hours < 24 * 30 * 2) return `${Math.floor(hours / 24 / 7)} weeks`;
  if (hours < 24 * 365 * 2) return `${Math.floor(hours / 24 / 30)} months`;
  return `${Math.floor(hours / 24 / 365)} years`;
}

/** `3 minutes ago`; `N/A` for a time that is not known. */
export function formatAge(unixSeconds: number, now: number = Date.now()): string {
  if (unixSeconds <= 0) return 'N/A';
  return `${formatDuration(Math.max(0, now - unixSeconds * 1000))} ago`;
}

/** `2026-11-24 08:15:14 +0000 UTC`, in local time. */
export function formatDate(unixSeconds: number): string {
  const date = new Date(unixSeconds * 1000);
  const two = (n: number): string => String(n).padStart(2, '0');
  const offset = -date.getTimezoneOffset();
  const sign = offset < 0 ? '-' : '+';
  const zone = `${sign}${two(Math.floor(Math.abs(offset) / 60))}${two(Math.abs(offset) % 60)}`;
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  const name = offset === 0 ? 'UTC' : zone;
  return `${day} ${time} ${zone} ${name}`;
}

/** Bytes of `512`, `10b`, `2k`, `1.5g`, `10MB`; `undefined` for what is no size. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?) ?([kmgtp])?i?b?$/i.exec(text.trim());
  if (match?.[1] === undefined) return undefined;
  const power = match[2] === undefined ? 0 : 'kmgtp'.indexOf(match[2].toLowerCase()) + 1;
  return Math.floor(Number(match[1]) * 1024 ** power);
}

/** The first 12 characters of an id, without its algorithm. */
export function shortId(id: string): string {
  const colon = id.indexOf(':');
  return id.slice(colon + 1, colon + 13);
}
