/** Values as Go prints them; Docker's history is made of them. */

import { quote } from '#dockerfile/expand/index.ts';
import { formatDuration } from '#dockerfile/instruction/index.ts';
import type { Healthcheck } from '#oci/config/index.ts';

/** `["a" "b"]`. */
export function quotedList(items: readonly string[]): string {
  return `[${items.map(quote).join(' ')}]`;
}

/** `[a b]`. */
export function plainList(items: readonly string[]): string {
  return `[${items.join(' ')}]`;
}

/** `{Test:[CMD a] Interval:0s …}`. */
export function healthcheckFields(check: Healthcheck): string {
  const duration = (value: number | undefined): string => formatDuration(value ?? 0);
  const fields = [
    `Test:${plainList(check.Test ?? [])}`,
    `Interval:${duration(check.Interval)}`,
    `Timeout:${duration(check.Timeout)}`,
    `StartPeriod:${duration(check.StartPeriod)}`,
    `StartInterval:${duration(check.StartInterval)}`,
    `Retries:${check.Retries ?? 0}`,
  ];
  return `{${fields.join(' ')}}`;
}

/** `&{["CMD" "a"] "0s" "0s" "0s" "0s" '\x00'}`. */
export function healthcheckQuoted(check: Healthcheck): string {
  const durations = [check.Interval, check.Timeout, check.StartPeriod, check.StartInterval];
  const texts = durations.map((value) => quote(formatDuration(value ?? 0)));
  return `&{${[quotedList(check.Test ?? []), ...texts, quotedCharacter(check.Retries ?? 0)].join(' ')}}`;
}

function quotedCharacter(code: number): string {
  const char = code <= 0x10ffff ? String.fromCodePoint(code) : '\ufffd';
  if (char === "'") return "'\\''";
  if (char === '"') return `'"'`;
  return `'${quote(char).slice(1, -1)}'`;
}
