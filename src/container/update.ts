import { completeHostSettings } from './settings.ts';
import type { ContainerRecord } from './types.ts';
import type { HostSettings } from './wire.ts';

/** What may change while a container runs. */
const UPDATABLE = new Set([
  'Memory',
  'MemorySwap',
  'MemoryReservation',
  'CpuShares',
  'CpuPeriod',
  'CpuQuota',
  'NanoCpus',
  'CpusetCpus',
  'CpusetMems',
  'PidsLimit',
  'BlkioWeight',
  'RestartPolicy',
]);

/**
 * A container's host settings after `changes`, and the flags that tell the runtime; what is zero or absent stays.
 * @throws {CodedError} `invalid_argument` with Docker's texts.
 */
export function planUpdate(
  record: ContainerRecord,
  changes: HostSettings,
): { readonly hostConfig: HostSettings; readonly flags: readonly string[] } {
  const given = Object.entries(changes).filter(([key, value]) => UPDATABLE.has(key) && isGiven(value));
  const hostConfig = completeHostSettings({ ...record.hostConfig, ...Object.fromEntries(given) });
  return { hostConfig, flags: given.some(([key]) => key !== 'RestartPolicy') ? flagsOf(hostConfig) : [] };
}

function flagsOf(host: HostSettings): readonly string[] {
  const flags: readonly (readonly [string, number | string | null | undefined])[] = [
    ['--memory', host.Memory],
    ['--memory-swap', host.MemorySwap],
    ['--memory-reservation', host.MemoryReservation],
    ['--cpu-share', host.CpuShares],
    ['--cpu-period', host.NanoCpus ? 100_000 : host.CpuPeriod],
    ['--cpu-quota', host.NanoCpus ? Math.floor(host.NanoCpus / 10_000) : host.CpuQuota],
    ['--cpuset-cpus', host.CpusetCpus],
    ['--cpuset-mems', host.CpusetMems],
    ['--pids-limit', host.PidsLimit],
    ['--blkio-weight', host.BlkioWeight],
  ];
  return flags.filter(([, value]) => isGiven(value)).map(([name, value]) => `${name}=${value}`);
}

function isGiven(value: unknown): boolean {
  if (value === undefined || value === null || value === 0 || value === '') return false;
  return !(typeof value === 'object' && (value as { readonly Name?: string }).Name === '');
}
