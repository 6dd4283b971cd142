import type { Statement } from '#dockerfile/text/types.ts';
import { parseDuration } from './duration.ts';
import { parseFlags } from './flags.ts';
import { commandArguments, invalid, quote, requireArguments, sourceOf } from './source.ts';
import type { HealthcheckInstruction } from './types.ts';

/** Nanoseconds; Docker refuses shorter ones, but 0 is "the default". */
const MINIMUM_NS = 1_000_000;

/** `HEALTHCHECK NONE` or `HEALTHCHECK [flags] CMD command`. */
export function parseHealthcheck(statement: Statement): HealthcheckInstruction {
  requireArguments(statement, 'HEALTHCHECK');
  const [first = '', ...args] = statement.args;
  const type = first.toUpperCase();
  const source = sourceOf(statement);
  if (type === 'NONE') {
    if (args.length > 0) throw invalid('HEALTHCHECK NONE takes no arguments');
    const unset = { interval: 0, timeout: 0, startPeriod: 0, startInterval: 0, retries: 0 };
    return { kind: 'HEALTHCHECK', ...source, test: ['NONE'], ...unset };
  }
  const flags = parseFlags(statement.flags, {
    interval: 'string',
    timeout: 'string',
    'start-period': 'string',
    'start-interval': 'string',
    retries: 'string',
  });
  if (type !== 'CMD') throw invalid(`Unknown type ${quote(type)} in HEALTHCHECK (try CMD)`);
  const command = commandArguments(args, statement.json);
  if (command.length === 0) throw invalid('Missing command after HEALTHCHECK CMD');
  const duration = (name: string): number => parseInterval(name, flags.string(name));
  return {
    kind: 'HEALTHCHECK',
    ...source,
    test: [statement.json ? 'CMD' : 'CMD-SHELL', ...command],
    interval: duration('interval'),
    timeout: duration('timeout'),
    startPeriod: duration('start-period'),
    startInterval: duration('start-interval'),
    retries: parseRetries(flags.string('retries')),
  };
}

function parseInterval(name: string, value: string): number {
  if (value === '') return 0;
  const nanoseconds = parseDuration(value);
  if (nanoseconds !== 0 && nanoseconds < MINIMUM_NS) {
    throw invalid(`Interval ${quote(name)} cannot be less than 1ms`);
  }
  return nanoseconds;
}

function parseRetries(value: string): number {
  if (value === '') return 0;
  if (!/^[+-]?\d+$/.test(value)) throw invalid(`strconv.ParseInt: parsing ${quote(value)}: invalid syntax`);
  const retries = Number(value);
  if (Math.abs(retries) > 0x7fffffff) {
    throw invalid(`strconv.ParseInt: parsing ${quote(value)}: value out of range`);
  }
  if (retries < 0) throw invalid(`--retries cannot be negative (${retries})`);
  return retries;
}
