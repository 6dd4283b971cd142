import type { ApiVersion } from '#engine/protocol/index.ts';
import type { SystemBackend } from './backend.ts';
import { countOpenFiles, type HostFacts } from './host.ts';

/** The body of `GET /info`: every field is a fact about this engine and host. */
export function buildInfo(backend: SystemBackend, host: HostFacts, version: ApiVersion): object {
  const { facts } = backend;
  const counts = backend.counts();
  return {
    ID: facts.id,
    Containers: counts.running + counts.paused + counts.stopped,
    ContainersRunning: counts.running,
    ContainersPaused: counts.paused,
    ContainersStopped: counts.stopped,
    Images: counts.images,
    Driver: facts.storageDriver,
    DriverStatus: [],
    DockerRootDir: facts.rootDir,
    Plugins: {
      Volume: ['local'],
      Network: ['bridge', 'host', 'null'],
      Authorization: null,
      Log: ['json-file'],
    },
    ...limitsOf(host, version),
    IPv4Forwarding: host.ipv4Forwarding,
    BridgeNfIptables: host.bridgeNfIptables,
    BridgeNfIp6tables: host.bridgeNfIp6tables,
    Debug: facts.debug,
    NFd: countOpenFiles(),
    NGoroutines: 0,
    NEventsListener: backend.listenerCount(),
    SystemTime: new Date().toISOString(),
    LoggingDriver: 'json-file',
    CgroupDriver: facts.cgroupDriver,
    CgroupVersion: host.cgroupVersion,
    KernelVersion: host.kernel,
    OperatingSystem: host.operatingSystem,
    OSVersion: host.osVersion,
    OSType: 'linux',
    Architecture: host.machine,
    NCPU: host.cpus,
    MemTotal: host.memoryBytes,
    IndexServerAddress: 'https://index.docker.io/v1/',
    RegistryConfig: registryConfig(facts.insecureRegistries, facts.mirrors),
    GenericResources: null,
    HttpProxy: facts.proxy.http ?? '',
    HttpsProxy: facts.proxy.https ?? '',
    NoProxy: facts.proxy.no ?? '',
    Name: host.name,
    Labels: facts.labels,
    ExperimentalBuild: false,
    ServerVersion: facts.version,
    ...runtimesOf(facts.runtime),
    Swarm: {
      NodeID: '',
      NodeAddr: '',
      LocalNodeState: 'inactive',
      ControlAvailable: false,
      Error: '',
      RemoteManagers: null,
    },
    LiveRestoreEnabled: true,
    Isolation: '',
    SecurityOptions: securityOptions(facts.seccomp, host),
    CDISpecDirs: [],
    Warnings: warningsOf(host),
  };
}

function limitsOf({ limits }: HostFacts, version: ApiVersion): object {
  return {
    MemoryLimit: limits.memory,
    SwapLimit: limits.swap,
    ...(version.minor < 42 ? { KernelMemory: false, KernelMemoryTCP: false } : {}),
    CpuCfsPeriod: limits.cpuPeriod,
    CpuCfsQuota: limits.cpuPeriod,
    CPUShares: limits.cpuShares,
    CPUSet: limits.cpuset,
    PidsLimit: limits.pids,
    OomKillDisable: limits.oomKillDisable,
  };
}

/** Docker's fields for parts we do not have (containerd, init) stay empty instead of naming something else. */
function runtimesOf(runtime: SystemBackend['facts']['runtime']): object {
  const none = { ID: '', Expected: '' };
  return {
    Runtimes: { [runtime.name]: { path: runtime.path } },
    DefaultRuntime: runtime.name,
    InitBinary: '',
    ContainerdCommit: none,
    RuncCommit: { ID: runtime.version, Expected: runtime.version },
    InitCommit: none,
  };
}

function securityOptions(seccomp: boolean, host: HostFacts): readonly string[] {
  return [
    ...(seccomp ? ['name=seccomp,profile=builtin'] : []),
    ...(host.cgroupVersion === '2' ? ['name=cgroupns'] : []),
  ];
}

function registryConfig(insecure: readonly string[], mirrors: readonly string[]): object {
  const hosts = insecure.filter((entry) => !/^[0-9a-fA-F.:]+\/\d+$/.test(entry));
  const ranges = insecure.filter((entry) => !hosts.includes(entry));
  const configs: Record<string, object> = {
    'docker.io': { Name: 'docker.io', Mirrors: mirrors, Secure: true, Official: true },
  };
  for (const host of hosts) configs[host] = { Name: host, Mirrors: [], Secure: false, Official: false };
  return {
    AllowNondistributableArtifactsCIDRs: null,
    AllowNondistributableArtifactsHostnames: null,
    InsecureRegistryCIDRs: ['::1/128', '127.0.0.0/8', ...ranges],
    IndexConfigs: configs,
    Mirrors: mirrors,
  };
}

function warningsOf({ limits, ipv4Forwarding }: HostFacts): readonly string[] | null {
  const warnings = [
    ...(limits.memory ? [] : ['WARNING: No memory limit support']),
    ...(limits.swap ? [] : ['WARNING: No swap limit support']),
    ...(limits.cpuPeriod ? [] : ['WARNING: No cpu cfs quota support', 'WARNING: No cpu cfs period support']),
    ...(limits.cpuShares ? [] : ['WARNING: No cpu shares support']),
    ...(limits.cpuset ? [] : ['WARNING: No cpuset support']),
    ...(ipv4Forwarding ? [] : ['WARNING: IPv4 forwarding is disabled']),
  ];
  return warnings.length > 0 ? warnings : null;
}
