import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { availableParallelism, hostname, machine, release, totalmem } from 'node:os';

/** Facts about this host for `/info` and `/version`; what cannot be read is false or empty. */
export interface HostFacts {
  readonly kernel: string;
  readonly name: string;
  /** As the kernel says it: `x86_64`. */
  readonly machine: string;
  /** As Go says it: `amd64`. */
  readonly architecture: string;
  readonly operatingSystem: string;
  readonly osVersion: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly cgroupVersion: '1' | '2';
  readonly limits: {
    readonly memory: boolean;
    readonly swap: boolean;
    readonly cpuPeriod: boolean;
    readonly cpuShares: boolean;
    readonly cpuset: boolean;
    readonly pids: boolean;
    readonly oomKillDisable: boolean;
  };
  readonly ipv4Forwarding: boolean;
  readonly bridgeNfIptables: boolean;
  readonly bridgeNfIp6tables: boolean;
  readonly appArmor: boolean;
}

const GO_ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: 'amd64',
  ia32: '386',
  arm64: 'arm64',
  arm: 'arm',
  ppc64: 'ppc64le',
  s390x: 's390x',
  riscv64: 'riscv64',
  loong64: 'loong64',
};

/** Looks at the host now; a few small files. */
export function readHostFacts(): HostFacts {
  const osRelease = parseOsRelease(readText('/etc/os-release') || readText('/usr/lib/os-release'));
  const isV2 = existsSync('/sys/fs/cgroup/cgroup.controllers');
  return {
    kernel: release(),
    name: hostname(),
    machine: machine(),
    architecture: GO_ARCHITECTURES[process.arch] ?? process.arch,
    operatingSystem: osRelease['PRETTY_NAME'] ?? osRelease['NAME'] ?? 'Linux',
    osVersion: osRelease['VERSION_ID'] ?? '',
    cpus: availableParallelism(),
    memoryBytes: totalmem(),
    cgroupVersion: isV2 ? '2' : '1',
    limits: isV2 ? limitsOfV2() : limitsOfV1(),
    ipv4Forwarding: readText('/proc/sys/net/ipv4/ip_forward').trim() === '1',
    bridgeNfIptables: readText('/proc/sys/net/bridge/bridge-nf-call-iptables').trim() === '1',
    bridgeNfIp6tables: readText('/proc/sys/net/bridge/bridge-nf-call-ip6tables').trim() === '1',
    appArmor: readText('/sys/module/apparmor/parameters/enabled').startsWith('Y'),
  };
}

/** Open file descriptors of this process. */
export function countOpenFiles(): number {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return 0;
  }
}

function limitsOfV2(): HostFacts['limits'] {
  const controllers = readText('/sys/fs/cgroup/cgroup.controllers').trim().split(' ');
  const memory = controllers.includes('memory');
  const cpu = controllers.includes('cpu');
  return {
    memory,
    swap: memory && existsSync('/proc/swaps'),
    cpuPeriod: cpu,
    cpuShares: cpu,
    cpuset: controllers.includes('cpuset'),
    pids: controllers.includes('pids'),
    oomKillDisable: false,
  };
}

function limitsOfV1(): HostFacts['limits'] {
  const has = (path: string): boolean => existsSync(`/sys/fs/cgroup/${path}`);
  return {
    memory: has('memory/memory.limit_in_bytes'),
    swap: has('memory/memory.memsw.limit_in_bytes'),
    cpuPeriod: has('cpu/cpu.cfs_period_us'),
    cpuShares: has('cpu/cpu.shares'),
    cpuset: has('cpuset/cpuset.cpus'),
    pids: has('pids'),
    oomKillDisable: has('memory/memory.oom_control'),
  };
}

function parseOsRelease(text: string): Readonly<Record<string, string>> {
  const values: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const line of text.split('\n')) {
    const match = /^([A-Z_]+)=(?:"([^"]*)"|'([^']*)'|(.*))$/.exec(line.trim());
    if (match?.[1] !== undefined) values[match[1]] = match[2] ?? match[3] ?? match[4] ?? '';
  }
  return values;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
