import { chmodSync, type Dirent, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CodedError } from '#base/errors/index.ts';
import { splitDevice } from '#base/posix/index.ts';
import type { NetworkStore } from '#runtime/network/types.ts';
import {
  ACCOUNT_FILE_LIMIT_BYTES,
  availableCapabilities,
  buildSpec,
  type ContainerLimits,
  DEFAULT_PATH,
  ensureDirInRoot,
  makeContainerFiles,
  makeMountPoints,
  type NamespaceChoice,
  type OciDevice,
  type OciDeviceRule,
  type OciSeccomp,
  readFileInRoot,
  resolveUser,
  type SpecMount,
} from '#runtime/spec/index.ts';
import { ownHostsLine } from './hosts-file.ts';
import { hostsLineOf, linkEnvironment, type ResolvedLink } from './links.ts';
import { specMounts } from './mounts.ts';
import { drawResolvConf, readHostFile } from './resolver.ts';
import { commandOf } from './settings.ts';
import type { ContainerRecord } from './types.ts';
import type { ContainerSettings, HostSettings } from './wire.ts';

/** Where a started container's parts are. */
export interface BundlePlan {
  readonly dir: string;
  readonly rootfs: string;
  readonly cgroupsPath: string;
  readonly network: NamespaceChoice;
  readonly namespaces: {
    readonly pid: NamespaceChoice;
    readonly ipc: NamespaceChoice;
    readonly uts: NamespaceChoice;
  };
  readonly networks: NetworkStore | undefined;
  readonly initPath: string | undefined;
  /** Names are looked up at the resolver of the engine. */
  readonly hasResolver: boolean;
  /** Files of the container whose network this one shares. */
  readonly networkOwnerDir?: string | undefined;
  readonly links: readonly ResolvedLink[];
  /** `/dev/shm` when it is shared. */
  readonly shm?: SpecMount | undefined;
}

/**
 * Writes the bundle of a container whose root file system is mounted: runtime config, resolv.conf, hosts, hostname. Returns
 * the mount points that had to be made in the root.
 * @throws {CodedError} `invalid_argument` with Docker's texts.
 */
export function writeBundle(record: ContainerRecord, plan: BundlePlan): readonly string[] {
  const { config, hostConfig: host } = record;
  const user = resolveUser(
    config.User ?? '',
    (path) => readFileInRoot(plan.rootfs, path, ACCOUNT_FILE_LIMIT_BYTES),
    host.GroupAdd ?? [],
  );
  const cwd = ensureDirInRoot(plan.rootfs, config.WorkingDir || '/');
  const init = host.Init === true ? initMount(plan.initPath) : undefined;
  const security = parseSecurity(host.SecurityOpt ?? [], host.Privileged === true);
  const privileged = host.Privileged === true;
  const spec = buildSpec({
    rootfs: plan.rootfs,
    args: [...(init === undefined ? [] : ['/sbin/docker-init', '--']), ...commandOf(config)],
    env: [...plan.links.flatMap(linkEnvironment), ...environmentOf(config, user.home)],
    cwd,
    user,
    hostname: config.Hostname ?? '',
    cgroupsPath: plan.cgroupsPath,
    terminal: config.Tty === true,
    ...consoleSizeOf(host),
    readonlyRootfs: host.ReadonlyRootfs === true,
    privileged,
    capAdd: host.CapAdd ?? [],
    capDrop: host.CapDrop ?? [],
    available: availableCapabilities(),
    noNewPrivileges: security.noNewPrivileges,
    seccomp: security.seccomp,
    namespaces: {
      network: plan.network,
      ...plan.namespaces,
      cgroup: host.CgroupnsMode === 'private' ? 'private' : 'host',
    },
    mounts: [
      ...networkFiles(record, plan),
      ...(init === undefined ? [] : [init]),
      ...(plan.shm === undefined ? [] : [plan.shm]),
      ...specMounts(record.mounts),
    ],
    devices: privileged ? hostDevices() : devicesOf(host),
    deviceRules: [...deviceAccess(host), ...(host.DeviceCgroupRules ?? []).map(parseDeviceRule)],
    limits: limitsOf(host),
    ...(host.Sysctls ? { sysctls: host.Sysctls } : {}),
    oomScoreAdj: host.OomScoreAdj ?? 0,
    ...(security.unconfinedPaths ? { maskedPaths: [], readonlyPaths: [] } : {}),
    ...(host.MaskedPaths ? { maskedPaths: host.MaskedPaths } : {}),
    ...(host.ReadonlyPaths ? { readonlyPaths: host.ReadonlyPaths } : {}),
    ...(record.mounts.some(({ propagation }) => /shared|slave/.test(propagation))
      ? {
          rootfsPropagation: record.mounts.some(({ propagation }) => /shared/.test(propagation))
            ? 'rshared'
            : 'rslave',
        }
      : {}),
  });
  const stubs = makeMountPoints(plan.rootfs, spec.mounts);
  writeFileSync(join(plan.dir, 'config.json'), JSON.stringify(spec), { mode: 0o600 });
  return [...makeContainerFiles(plan.rootfs), ...stubs.made.map(({ path }) => path)];
}

/** The environment of a container's processes. */
export function environmentOf(config: ContainerSettings, home: string): readonly string[] {
  const env = config.Env ?? [];
  const find = (name: string): string | undefined => env.findLast((entry) => entry.startsWith(`${name}=`));
  const has = (name: string): boolean => find(name) !== undefined;
  // In Docker's order: its own come first, with the values that were asked for.
  const own = [
    find('PATH') ?? DEFAULT_PATH,
    find('HOSTNAME') ?? `HOSTNAME=${config.Hostname ?? ''}`,
    ...(config.Tty === true ? [find('TERM') ?? 'TERM=xterm'] : []),
  ];
  const names = own.map((entry) => entry.slice(0, entry.indexOf('=') + 1));
  return [
    ...own,
    ...env.filter((entry) => !names.some((name) => entry.startsWith(name))),
    ...(has('HOME') ? [] : [`HOME=${home}`]),
  ];
}

function consoleSizeOf(host: HostSettings): { readonly consoleSize?: { height: number; width: number } } {
  const [height = 0, width = 0] = host.ConsoleSize ?? [];
  return height > 0 && width > 0 ? { consoleSize: { height, width } } : {};
}

function initMount(path: string | undefined): SpecMount {
  if (path === undefined) {
    throw new CodedError('unimplemented', 'cannot use --init: neither docker-init nor tini is installed', {
      help: { id: 'init-missing', fix: ['apt-get install --yes tini'] },
    });
  }
  return { type: 'bind', source: path, target: '/sbin/docker-init', readonly: true };
}

function networkFiles(record: ContainerRecord, plan: BundlePlan): readonly SpecMount[] {
  const files: Readonly<Record<string, string>> = {
    'resolv.conf': drawResolvConf(record, plan.networks, { isServed: plan.hasResolver }),
    hosts: hostsText(record, plan),
    hostname: `${record.config.Hostname ?? ''}\n`,
  };
  const taken = new Set(record.mounts.map(({ destination }) => destination));
  return Object.entries(files).flatMap(([file, text]): SpecMount[] => {
    const own = join(plan.dir, file);
    writeFileSync(own, text);
    chmodSync(own, 0o644);
    const shared = plan.networkOwnerDir === undefined ? own : join(plan.networkOwnerDir, file);
    const source = existsSync(shared) ? shared : own;
    const target = `/etc/${file}`;
    return taken.has(target)
      ? []
      : [{ type: 'bind', source, target, readonly: record.hostConfig.ReadonlyRootfs === true }];
  });
}

function hostsText(record: ContainerRecord, plan: BundlePlan): string {
  const { hostConfig: host, config } = record;
  const onHost = host.NetworkMode === 'host';
  const addresses = record.attachments.flatMap(({ endpoint }) =>
    endpoint === undefined ? [] : [endpoint.ipAddress],
  );
  const hosts = [
    ...(onHost ? [readHostFile('/etc/hosts').trimEnd()] : LOCAL_HOSTS),
    ...(host.ExtraHosts ?? []).map((entry) => hostsLine(entry, record, plan.networks)),
    ...plan.links.map(hostsLineOf),
    ...(onHost ? [] : addresses.map((address) => ownHostsLine(config, address))),
  ];
  return `${hosts.join('\n')}\n`;
}

const LOCAL_HOSTS = [
  '127.0.0.1\tlocalhost',
  '::1\tlocalhost ip6-localhost ip6-loopback',
  'fe00::\tip6-localnet',
  'ff00::\tip6-mcastprefix',
  'ff02::1\tip6-allnodes',
  'ff02::2\tip6-allrouters',
];

/** `name:address`; the address `host-gateway` is the network's. */
function hostsLine(entry: string, record: ContainerRecord, networks: NetworkStore | undefined): string {
  const at = entry.search(/[:=]/);
  if (at < 1) throw new CodedError('invalid_argument', `bad format for add-host: "${entry}"`);
  const asked = entry.slice(at + 1).replace(/^\[(.*)\]$/, '$1');
  const gateway =
    record.attachments[0]?.endpoint?.gateway ??
    networks?.listNetworks().find(({ name }) => name === 'bridge')?.gateway;
  return `${asked === 'host-gateway' ? (gateway ?? '127.0.0.1') : asked}\t${entry.slice(0, at)}`;
}

/** Limits as the runtime layer takes them. */
export function limitsOf(host: HostSettings): ContainerLimits {
  const entries: Record<string, unknown> = {
    memoryBytes: host.Memory,
    memorySwapBytes: host.MemorySwap,
    memoryReservationBytes: host.MemoryReservation,
    memorySwappiness: host.MemorySwappiness ?? undefined,
    nanoCpus: host.NanoCpus,
    cpuShares: host.CpuShares,
    cpuPeriod: host.CpuPeriod,
    cpuQuota: host.CpuQuota,
    cpusetCpus: host.CpusetCpus,
    cpusetMems: host.CpusetMems,
    pids: host.PidsLimit ?? undefined,
    shmSizeBytes: host.ShmSize,
    blkioWeight: host.BlkioWeight,
    oomKillDisable: host.OomKillDisable ?? undefined,
    ulimits: host.Ulimits?.map(({ Name, Soft, Hard }) => ({ name: Name, soft: Soft, hard: Hard })),
  };
  return Object.fromEntries(
    Object.entries(entries).filter(([, value]) => value !== undefined),
  ) as ContainerLimits;
}

interface Security {
  readonly noNewPrivileges: boolean;
  readonly seccomp: 'default' | 'unconfined' | OciSeccomp;
  readonly unconfinedPaths: boolean;
}

/** `--security-opt`. @throws {CodedError} `invalid_argument` with Docker's text. */
export function parseSecurity(options: readonly string[], privileged: boolean): Security {
  let noNewPrivileges = false;
  let unconfinedPaths = false;
  let seccomp: Security['seccomp'] = privileged ? 'unconfined' : 'default';
  for (const option of options) {
    const at = option.search(/[=:]/);
    const [name, value] = at < 0 ? [option, ''] : [option.slice(0, at), option.slice(at + 1)];
    if (name === 'no-new-privileges') noNewPrivileges = isSet(option, value);
    else if (name === 'systempaths' && value === 'unconfined') unconfinedPaths = true;
    else if (name === 'seccomp') seccomp = parseSeccomp(value);
    else if (name === 'label' || name === 'apparmor') {
      if (value !== 'disable' && value !== 'unconfined') {
        throw new CodedError('unimplemented', `security option "${option}" is not part of this engine yet`);
      }
    } else throw badSecurity(option, at);
  }
  return { noNewPrivileges, seccomp, unconfinedPaths };
}

function isSet(option: string, value: string): boolean {
  if (['', '1', 't', 'T', 'true', 'True', 'TRUE'].includes(value)) return true;
  if (['0', 'f', 'F', 'false', 'False', 'FALSE'].includes(value)) return false;
  throw badSecurity(option, 0);
}

/** Docker numbers the place that found the fault: 1, no value; 2, no such name or value. */
function badSecurity(option: string, at: number): CodedError {
  return new CodedError('invalid_argument', `invalid --security-opt ${at < 0 ? 1 : 2}: "${option}"`);
}

function parseSeccomp(value: string): Security['seccomp'] {
  if (value === 'unconfined') return 'unconfined';
  if (value === 'builtin') return 'default';
  try {
    const profile = JSON.parse(value) as OciSeccomp;
    if (typeof profile.defaultAction === 'string' && Array.isArray(profile.syscalls)) return profile;
  } catch {
    // Told below.
  }
  throw new CodedError(
    'invalid_argument',
    'Decoding seccomp profile failed: it is no seccomp profile in JSON',
  );
}

function devicesOf(host: HostSettings): readonly OciDevice[] {
  return (host.Devices ?? []).map(({ PathOnHost: source, PathInContainer: target }) =>
    deviceAt(source, target || source),
  );
}

function deviceAt(source: string, target: string): OciDevice {
  const stat = statSync(source, { throwIfNoEntry: false });
  if (stat === undefined || (!stat.isCharacterDevice() && !stat.isBlockDevice())) {
    const reason = stat === undefined ? 'no such file or directory' : 'not a device node';
    throw new CodedError(
      'invalid_argument',
      `error gathering device information while adding custom device "${source}": ${reason}`,
    );
  }
  const { major, minor } = splitDevice(stat.rdev);
  return {
    path: target,
    type: stat.isBlockDevice() ? 'b' : 'c',
    major,
    minor,
    fileMode: stat.mode & 0o777,
    uid: stat.uid,
    gid: stat.gid,
  };
}

function deviceAccess(host: HostSettings): readonly OciDeviceRule[] {
  return (host.Devices ?? []).flatMap(({ PathOnHost: source, CgroupPermissions: access }) => {
    if (!access || access === 'rwm') return [];
    const { type, major, minor } = deviceAt(source, source);
    const denied = [...'rwm'].filter((letter) => !access.includes(letter)).join('');
    return [{ allow: false, type, major, minor, access: denied }];
  });
}

function parseDeviceRule(rule: string): OciDeviceRule {
  const match = /^([acb]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})$/.exec(rule);
  if (match === null)
    throw new CodedError('invalid_argument', `invalid device cgroup rule format: '${rule}'`);
  const number = (text: string | undefined): number => (text === '*' ? -1 : Number(text));
  return {
    allow: true,
    type: match[1] ?? 'a',
    major: number(match[2]),
    minor: number(match[3]),
    access: match[4] ?? '',
  };
}

/** Every device of the host, as privileged containers see it. */
function hostDevices(): readonly OciDevice[] {
  return listDeviceNodes('/dev').flatMap((path) => {
    try {
      return [deviceAt(path, path)];
    } catch {
      return [];
    }
  });
}

function listDeviceNodes(dir: string): readonly string[] {
  const skipped = new Set(['/dev/pts', '/dev/shm', '/dev/fd', '/dev/mqueue', '/dev/console']);
  const found: string[] = [];
  for (const entry of readDir(dir)) {
    const path = join(dir, entry.name);
    if (skipped.has(path)) continue;
    if (entry.isDirectory()) found.push(...listDeviceNodes(path));
    else if (entry.isCharacterDevice() || entry.isBlockDevice()) found.push(path);
  }
  return found;
}

function readDir(dir: string): readonly Dirent[] {
  try {
    return readdirSync(dir, { withFileTypes: true });
  } catch {
    return [];
  }
}

/** Makes the directory of a container's bundle. */
export function makeBundleDir(dir: string): void {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
}
