import type { ResourceLimits } from '#runtime/process/types.ts';
import { DEVICE_RULES } from './defaults.ts';
import type { OciDevice, OciDeviceRule, OciResources, OciRlimit } from './oci.ts';

/** Limits beyond those of a build step. */
export interface ContainerLimits extends ResourceLimits {
  readonly memoryReservationBytes?: number;
  readonly memorySwappiness?: number;
  readonly nanoCpus?: number;
  readonly oomKillDisable?: boolean;
  readonly blkioWeight?: number;
}

const NANO_CPU_PERIOD = 100_000;

/** Limits as the runtime takes them; what is zero or absent is left out, so that it stays unlimited. */
export function resourcesFor(
  limits: ContainerLimits,
  options: {
    readonly privileged: boolean;
    readonly devices: readonly OciDevice[];
    readonly deviceRules: readonly OciDeviceRule[];
  },
): OciResources {
  const memory = withoutEmpty({
    limit: limits.memoryBytes,
    reservation: limits.memoryReservationBytes,
    // As Docker: with a memory limit and no word about swap, as much swap again.
    swap: limits.memorySwapBytes || (limits.memoryBytes ? limits.memoryBytes * 2 : 0),
    swappiness:
      limits.memorySwappiness !== undefined && limits.memorySwappiness >= 0
        ? limits.memorySwappiness
        : undefined,
    disableOOMKiller: limits.oomKillDisable === true ? true : undefined,
  });
  const nano = limits.nanoCpus ?? 0;
  const cpu = withoutEmpty({
    shares: limits.cpuShares,
    quota: nano > 0 ? Math.floor((nano * NANO_CPU_PERIOD) / 1e9) : limits.cpuQuota,
    period: nano > 0 ? NANO_CPU_PERIOD : limits.cpuPeriod,
    cpus: limits.cpusetCpus,
    mems: limits.cpusetMems,
  });
  const own: OciDeviceRule[] = options.devices.map((device) => ({
    allow: true,
    type: device.type,
    major: device.major,
    minor: device.minor,
    access: 'rwm',
  }));
  return {
    devices: options.privileged
      ? [{ allow: true, access: 'rwm' }]
      : [...DEVICE_RULES, ...own, ...options.deviceRules],
    ...(Object.keys(memory).length > 0 ? { memory } : {}),
    ...(Object.keys(cpu).length > 0 ? { cpu } : {}),
    ...(limits.pids !== undefined && limits.pids > 0 ? { pids: { limit: limits.pids } } : {}),
    ...(limits.blkioWeight ? { blockIO: { weight: limits.blkioWeight } } : {}),
  };
}

/** Ulimits as the runtime takes them. */
export function rlimitsFor(limits: ResourceLimits): readonly OciRlimit[] {
  const largest = 2 ** 53;
  const value = (number: number): number => (number < 0 ? largest : number);
  return (limits.ulimits ?? []).map(({ name, soft, hard }) => ({
    type: `RLIMIT_${name.toUpperCase()}`,
    soft: value(soft),
    hard: value(hard),
  }));
}

function withoutEmpty<T extends object>(object: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(
    Object.entries(object).filter(([, value]) => value !== undefined && value !== 0 && value !== ''),
  ) as { [K in keyof T]?: Exclude<T[K], undefined> };
}
