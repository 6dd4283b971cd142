/**
 * What health checks come to; pure. Docker's rules:
 *
 *     exit 0                         healthy, streak 0
 *     else, still starting and the probe began in the start period      no change
 *     else                           streak + 1; unhealthy from `Retries` on
 *     next probe     still starting, within the start period: after StartInterval, or at the period's end
 *                    else: after Interval
 */
import { CodedError } from '#base/errors/index.ts';
import type { Healthcheck } from '#oci/config/index.ts';
import type { ContainerHealth, HealthResult } from './types.ts';
import type { ContainerSettings } from './wire.ts';

/** Bytes of a probe's output that are kept. */
export const HEALTH_OUTPUT_BYTES = 4096;
const LOG_ENTRIES = 5;
const DEFAULTS = { intervalMs: 30_000, timeoutMs: 30_000, startIntervalMs: 5000, retries: 3 } as const;
const MINIMUM_NS = 1_000_000;
/** What a timer takes at most. */
const LONGEST_MS = 2 ** 31 - 1;

/** A health check ready to be run; times in milliseconds. */
export interface HealthPlan {
  readonly command: readonly string[];
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly startPeriodMs: number;
  readonly startIntervalMs: number;
  readonly retries: number;
}

/** The client's health check completed by the image's, field by field as Docker does. */
export function mergeHealthcheck(
  asked: Healthcheck | undefined,
  image: Healthcheck | undefined,
): Healthcheck | undefined {
  if (asked === undefined || image === undefined) return asked ?? image;
  return {
    ...image,
    ...Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== 0 && value !== null)),
    ...(asked.Test?.length ? {} : { Test: image.Test ?? [] }),
  };
}

/** @throws {CodedError} `invalid_argument` with Docker's texts. */
export function checkHealthcheck(check: Healthcheck | undefined): void {
  if (check === undefined || check === null) return;
  const test: unknown = check.Test;
  if (test !== undefined && test !== null && !(Array.isArray(test) && test.every(isText))) {
    throw new CodedError('invalid_argument', 'invalid Healthcheck: Test must be a list of strings');
  }
  for (const name of ['Interval', 'Timeout', 'StartPeriod', 'StartInterval'] as const) {
    const value: unknown = check[name] ?? 0;
    if (value === 0) continue;
    if (typeof value !== 'number' || !(value >= MINIMUM_NS))
      throw new CodedError('invalid_argument', `${name} in Healthcheck cannot be less than 1ms`);
  }
  const retries: unknown = check.Retries ?? 0;
  if (typeof retries !== 'number' || !(retries >= 0))
    throw new CodedError('invalid_argument', 'Retries in Healthcheck cannot be negative');
}

function isText(value: unknown): boolean {
  return typeof value === 'string';
}

/** How a container is checked; `undefined` when it is not. */
export function planHealth(config: ContainerSettings): HealthPlan | undefined {
  const { Healthcheck: check, Shell: shell } = config;
  const [kind, ...words] = check?.Test ?? [];
  if (check === undefined || words.length === 0 || (kind !== 'CMD' && kind !== 'CMD-SHELL')) return undefined;
  const milliseconds = (value: number | undefined, fallback: number): number =>
    value ? value / 1e6 : fallback;
  return {
    command: kind === 'CMD' ? words : [...(shell?.length ? shell : ['/bin/sh', '-c']), ...words],
    intervalMs: milliseconds(check.Interval, DEFAULTS.intervalMs),
    timeoutMs: milliseconds(check.Timeout, DEFAULTS.timeoutMs),
    startPeriodMs: milliseconds(check.StartPeriod, 0),
    startIntervalMs: milliseconds(check.StartInterval, DEFAULTS.startIntervalMs),
    retries: check.Retries || DEFAULTS.retries,
  };
}

/** The health of a container that has just been started; `undefined` when it is not checked. */
export function freshHealth(config: ContainerSettings): ContainerHealth | undefined {
  return planHealth(config) === undefined ? undefined : { status: 'starting', failingStreak: 0, log: [] };
}

/** Health after one more probe. */
export function judgeProbe(
  before: ContainerHealth,
  result: HealthResult,
  context: { readonly plan: HealthPlan; readonly startedAt: number },
): ContainerHealth {
  const { plan, startedAt } = context;
  const log = [...before.log, result].slice(-LOG_ENTRIES);
  if (result.exitCode === 0) return { status: 'healthy', failingStreak: 0, log };
  const isExcused = before.status === 'starting' && result.start - startedAt < plan.startPeriodMs;
  if (isExcused) return { ...before, log };
  const failingStreak = before.failingStreak + 1;
  return { status: failingStreak >= plan.retries ? 'unhealthy' : before.status, failingStreak, log };
}

/** Milliseconds until the next probe. */
export function nextProbeMs(status: ContainerHealth['status'], plan: HealthPlan, elapsedMs: number): number {
  const remaining = plan.startPeriodMs - elapsedMs;
  const wait =
    remaining > 0 && status === 'starting' ? Math.min(remaining, plan.startIntervalMs) : plan.intervalMs;
  return Math.min(Math.max(1, wait), LONGEST_MS);
}
