/** Numbers, times and names as people read them. */

/** `412 MB` (it does not break), in decimal units as the clients print them. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toPrecision(3)}\u00a0${units[unit]}`;
}

/** `3 minutes ago`; `never` for null. */
export function formatAgo(time: number | null): string {
  if (time === null) return 'never';
  const seconds = Math.max(0, (Date.now() - time) / 1000);
  const steps: readonly [number, Intl.RelativeTimeFormatUnit][] = [
    [60, 'second'],
    [60, 'minute'],
    [24, 'hour'],
    [30, 'day'],
    [12, 'month'],
  ];
  let value = seconds;
  let unit: Intl.RelativeTimeFormatUnit = 'year';
  for (const [size, name] of steps) {
    if (value < size) {
      unit = name;
      break;
    }
    value /= size;
  }
  if (unit === 'second' && value < 10) return 'just now';
  return new Intl.RelativeTimeFormat('en', { numeric: 'auto' }).format(-Math.floor(value), unit);
}

/** A date with time, for tooltips. */
export function formatTime(time: number): string {
  return new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'short' }).format(time);
}

/** `sha256:9f86d081884c`. */
export function shortDigest(digest: string): string {
  const [algorithm = '', hex = ''] = digest.split(':');
  return `${algorithm}:${hex.slice(0, 12)}`;
}

/** The instruction behind a history line, without what the builder wraps it in. */
export function formatCommand(command: string): string {
  const plain = command.replace(/^\/bin\/sh -c #\(nop\)\s*/, '').replace(/\s+# buildkit$/, '');
  return plain.replace(/^(?:RUN )?\/bin\/sh -c /, 'RUN ');
}

/** What the hub says, as a sentence. */
export function sentence(text: string): string {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}

/** `3 tags`. */
export function plural(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** `1,000`. */
export function formatCount(count: number): string {
  return new Intl.NumberFormat('en').format(count);
}

const LETTERS: Readonly<Record<string, string>> = { d: 'd', o: 'd', l: 'l', c: 'c', b: 'b', p: 'p' };

/** `drwxr-xr-x`, as `ls` writes it; `type` is that of a file entry. */
export function formatMode(type: string, mode: number): string {
  const bits = [...'rwxrwxrwx'].map((letter, at) => ((mode >> (8 - at)) & 1 ? letter : '-'));
  const special = [
    [0o4000, 2, 's'],
    [0o2000, 5, 's'],
    [0o1000, 8, 't'],
  ] as const;
  for (const [bit, at, letter] of special)
    if (mode & bit) bits[at] = bits[at] === 'x' ? letter : letter.toUpperCase();
  return (LETTERS[type] ?? '-') + bits.join('');
}

/** `root`, or `1000:1000`: names of others are the image's own affair. */
export function formatOwner(uid: number, gid: number): string {
  return uid === 0 && gid === 0 ? 'root' : `${uid}:${gid}`;
}
