/** A container as `GET /containers/{id}/json` shows it. */
import { dnsNames, parseLink } from '#container/index.ts';
import type { Attachment, ContainerHealth, ContainerRecord, MountPoint } from '#container/types.ts';
import type { PortBinding } from '#runtime/network/types.ts';
import { MASKED_PATHS, READONLY_PATHS } from '#runtime/spec/index.ts';
import type { ContainerBackend } from './backend.ts';

const NEVER = '0001-01-01T00:00:00Z';

/** RFC 3339 with the nanoseconds Docker prints; 0: never. */
export function wireTime(milliseconds: number): string {
  return milliseconds === 0 ? NEVER : new Date(milliseconds).toISOString().replace('Z', '000000Z');
}

/** What is hidden from a container that asks for nothing else. */
function hiddenPaths({ hostConfig }: ContainerRecord): object {
  if (hostConfig.Privileged === true) return {};
  return {
    MaskedPaths: hostConfig.MaskedPaths ?? MASKED_PATHS,
    ReadonlyPaths: hostConfig.ReadonlyPaths ?? READONLY_PATHS,
  };
}

/** The whole document. `sizes` when the client asked for them. */
export function inspectContainer(
  backend: ContainerBackend,
  record: ContainerRecord,
  sizes: { readonly sizeRw: number; readonly sizeRootFs: number } | undefined,
): object {
  const { state, hostConfig, config } = record;
  const paths = backend.pathsOf(record.id);
  const ran = state.startedAt !== 0;
  return {
    Id: record.id,
    Created: wireTime(record.createdAt),
    Path: record.path,
    Args: record.args,
    State: wireState(record),
    Image: record.imageId,
    ResolvConfPath: ran ? `${paths.dir}/resolv.conf` : '',
    HostnamePath: ran ? `${paths.dir}/hostname` : '',
    HostsPath: ran ? `${paths.dir}/hosts` : '',
    LogPath: hostConfig.LogConfig?.Type === 'none' ? '' : paths.log,
    Name: `/${record.name}`,
    RestartCount: record.restartCount,
    Driver: backend.describeStorage(record.id).Name,
    Platform: record.platform,
    MountLabel: '',
    ProcessLabel: '',
    AppArmorProfile: '',
    ExecIDs: null,
    HostConfig: { ...HOST_DEFAULTS, ...hostConfig, ...hiddenPaths(record), Links: wireLinks(record) },
    GraphDriver: backend.describeStorage(record.id),
    ...(sizes === undefined ? {} : { SizeRw: sizes.sizeRw, SizeRootFs: sizes.sizeRootFs }),
    Mounts: record.mounts.filter(({ type }) => type !== 'tmpfs' || hostConfig.Mounts?.length).map(wireMount),
    Config: {
      ...CONFIG_DEFAULTS,
      ...config,
      Volumes: emptyToNull(config.Volumes),
      ...(Object.keys(config.ExposedPorts ?? {}).length === 0 ? { ExposedPorts: undefined } : {}),
    },
    NetworkSettings: networkSettings(record),
  };
}

/** Links on the default bridge as Docker shows them: `/store:/app/db`. */
function wireLinks({ name, hostConfig }: ContainerRecord): readonly string[] | null {
  const links = hostConfig.Links ?? [];
  if (links.length === 0) return null;
  if (hostConfig.NetworkMode !== 'bridge') return links;
  return links.map(parseLink).map((link) => `/${link.name}:/${name}/${link.alias}`);
}

/** The state alone. */
export function wireState({ state, stoppedByHand: _ }: ContainerRecord): object {
  return {
    Status: state.status,
    Running: state.status === 'running' || state.status === 'paused' || state.status === 'restarting',
    Paused: state.status === 'paused',
    Restarting: state.status === 'restarting',
    OOMKilled: state.oomKilled,
    Dead: state.status === 'dead',
    Pid: state.pid,
    ExitCode: state.exitCode,
    Error: state.error,
    StartedAt: wireTime(state.startedAt),
    FinishedAt: wireTime(state.finishedAt),
    ...(state.health === undefined ? {} : { Health: wireHealth(state.health) }),
  };
}

function wireHealth(health: ContainerHealth): object {
  return {
    Status: health.status,
    FailingStreak: health.failingStreak,
    Log: health.log.map(({ start, end, exitCode, output }) => ({
      Start: wireTime(start),
      End: wireTime(end),
      ExitCode: exitCode,
      Output: output,
    })),
  };
}

/** One mount, in the order and form of `inspect` and `ps`. */
export function wireMount(mount: MountPoint): object {
  return {
    Type: mount.type,
    ...(mount.name === undefined ? {} : { Name: mount.name }),
    Source: mount.source,
    Destination: mount.destination,
    ...(mount.driver === undefined ? {} : { Driver: mount.driver }),
    Mode: mount.mode,
    RW: !mount.readonly,
    Propagation: mount.propagation,
  };
}

function networkSettings(record: ContainerRecord): object {
  const primary = record.attachments.find(({ endpoint }) => endpoint !== undefined)?.endpoint;
  const onBridge = record.attachments.find(({ networkName }) => networkName === 'bridge')?.endpoint;
  return {
    Bridge: '',
    SandboxID: record.sandboxId ?? '',
    SandboxKey: record.sandboxPath ?? '',
    Ports: wirePorts(record),
    HairpinMode: false,
    LinkLocalIPv6Address: '',
    LinkLocalIPv6PrefixLen: 0,
    SecondaryIPAddresses: null,
    SecondaryIPv6Addresses: null,
    EndpointID: onBridge?.endpointId ?? '',
    Gateway: onBridge?.gateway ?? '',
    GlobalIPv6Address: '',
    GlobalIPv6PrefixLen: 0,
    IPAddress: onBridge?.ipAddress ?? '',
    IPPrefixLen: onBridge?.prefixLength ?? 0,
    IPv6Gateway: '',
    MacAddress: (onBridge ?? primary)?.macAddress ?? '',
    Networks: wireNetworks(record),
  };
}

/** Networks by name, for `inspect` and `ps`. */
export function wireNetworks(record: ContainerRecord): Readonly<Record<string, object>> {
  return Object.fromEntries(record.attachments.map((one) => [one.networkName, wireEndpoint(record, one)]));
}

function wireEndpoint(record: ContainerRecord, attachment: Attachment): object {
  const { endpoint, request } = attachment;
  return {
    IPAMConfig: request.IPAMConfig ?? null,
    Links: request.Links ?? null,
    Aliases: attachment.aliases.length === 0 ? null : attachment.aliases,
    MacAddress: endpoint?.macAddress ?? '',
    DriverOpts: null,
    NetworkID: attachment.networkId,
    EndpointID: endpoint?.endpointId ?? '',
    Gateway: endpoint?.gateway ?? '',
    IPAddress: endpoint?.ipAddress ?? '',
    IPPrefixLen: endpoint?.prefixLength ?? 0,
    IPv6Gateway: '',
    GlobalIPv6Address: '',
    GlobalIPv6PrefixLen: 0,
    DNSNames:
      attachment.networkName === 'bridge' || endpoint === undefined ? null : dnsNames(record, attachment),
  };
}

function wirePorts(record: ContainerRecord): Readonly<Record<string, object[] | null>> {
  const ports: Record<string, object[] | null> = {};
  const bindings = publishedPorts(record);
  const isUp = record.attachments.some(({ endpoint }) => endpoint !== undefined);
  if (isUp)
    for (const port of Object.keys(record.config.ExposedPorts ?? {})) ports[withProtocol(port)] = null;
  for (const { containerPort, protocol, hostIp, hostPort } of bindings) {
    const key = `${containerPort}/${protocol}`;
    ports[key] = [...(ports[key] ?? []), { HostIp: hostIp, HostPort: String(hostPort) }];
  }
  return ports;
}

/** Ports that are published now. */
export function publishedPorts(record: ContainerRecord): readonly PortBinding[] {
  return record.attachments.flatMap(({ endpoint }) => endpoint?.ports ?? []);
}

/** `80` as `80/tcp`. */
export function withProtocol(port: string): string {
  return port.includes('/') ? port : `${port}/tcp`;
}

function emptyToNull(value: object | undefined): object | null {
  return value === undefined || Object.keys(value).length === 0 ? null : value;
}

/** Clients read these without looking whether they are there. */
const HOST_DEFAULTS = {
  Binds: null,
  ContainerIDFile: '',
  LogConfig: { Type: 'json-file', Config: {} },
  NetworkMode: 'bridge',
  PortBindings: {},
  RestartPolicy: { Name: 'no', MaximumRetryCount: 0 },
  AutoRemove: false,
  VolumeDriver: '',
  VolumesFrom: null,
  ConsoleSize: [0, 0],
  CapAdd: null,
  CapDrop: null,
  CgroupnsMode: 'host',
  Dns: [],
  DnsOptions: [],
  DnsSearch: [],
  ExtraHosts: null,
  GroupAdd: null,
  IpcMode: 'private',
  Cgroup: '',
  Links: null,
  OomScoreAdj: 0,
  PidMode: '',
  Privileged: false,
  PublishAllPorts: false,
  ReadonlyRootfs: false,
  SecurityOpt: null,
  UTSMode: '',
  UsernsMode: '',
  ShmSize: 67108864,
  Runtime: 'runc',
  Isolation: '',
  CpuShares: 0,
  Memory: 0,
  NanoCpus: 0,
  CgroupParent: '',
  BlkioWeight: 0,
  BlkioWeightDevice: [],
  BlkioDeviceReadBps: [],
  BlkioDeviceWriteBps: [],
  BlkioDeviceReadIOps: [],
  BlkioDeviceWriteIOps: [],
  CpuPeriod: 0,
  CpuQuota: 0,
  CpuRealtimePeriod: 0,
  CpuRealtimeRuntime: 0,
  CpusetCpus: '',
  CpusetMems: '',
  Devices: [],
  DeviceCgroupRules: null,
  DeviceRequests: null,
  MemoryReservation: 0,
  MemorySwap: 0,
  MemorySwappiness: null,
  OomKillDisable: false,
  PidsLimit: null,
  Ulimits: [],
  CpuCount: 0,
  CpuPercent: 0,
  IOMaximumIOps: 0,
  IOMaximumBandwidth: 0,
  MaskedPaths: null,
  ReadonlyPaths: null,
};

const CONFIG_DEFAULTS = {
  Hostname: '',
  Domainname: '',
  User: '',
  AttachStdin: false,
  AttachStdout: false,
  AttachStderr: false,
  Tty: false,
  OpenStdin: false,
  StdinOnce: false,
  Env: [],
  Cmd: null,
  Image: '',
  WorkingDir: '',
  Entrypoint: null,
  OnBuild: null,
  Labels: {},
};
