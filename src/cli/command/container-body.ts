/** The flags of `run` and `create` as the body of `POST /containers/create`. */

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { CodedError, isSystemError, messageOf } from '#base/errors/index.ts';
import { parseSize } from '#cli/output/index.ts';
import { usageError } from './flags.ts';
import { parseMount } from './mounts.ts';
import { parseExposed, parsePublished } from './ports.ts';
import type { CliContext, Flags } from './types.ts';

/** The body; unset fields are left to the engine. */
export type ContainerBody = Readonly<Record<string, unknown>> & {
  readonly HostConfig: Readonly<Record<string, unknown>>;
};

/** Which of our streams are joined to the container. */
export interface Attachment {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
}

/** Reads the flags. @throws {CodedError} `invalid_argument` in Docker's words. */
export function containerBody(
  context: CliContext,
  image: string,
  command: readonly string[],
  flags: Flags,
  attach: Attachment,
): ContainerBody {
  const published = parsePublished(flags.list('publish'));
  const [network, endpoints] = networksOf(flags);
  const entrypoint = flags.string('entrypoint');
  const healthcheck = healthcheckOf(flags);
  const interactive = flags.bool('interactive');
  const { volumes, binds } = volumesOf(context, flags.list('volume'));
  return {
    Image: image,
    ...(command.length > 0 ? { Cmd: command } : {}),
    ...(entrypoint === undefined ? {} : { Entrypoint: entrypoint === '' ? [''] : [entrypoint] }),
    Hostname: flags.string('hostname') ?? '',
    Domainname: flags.string('domainname') ?? '',
    User: flags.string('user') ?? '',
    AttachStdin: attach.stdin,
    AttachStdout: attach.stdout,
    AttachStderr: attach.stderr,
    Tty: flags.bool('tty'),
    OpenStdin: interactive,
    StdinOnce: interactive && attach.stdin,
    Env: environmentOf(context, flags.list('env-file'), flags.list('env')),
    WorkingDir: flags.string('workdir') ?? '',
    Labels: pairsOf([...readLines(context, flags.list('label-file')), ...flags.list('label')]),
    ExposedPorts: { ...parseExposed(flags.list('expose')), ...published.exposed },
    Volumes: volumes,
    ...optional('MacAddress', flags.string('mac-address')),
    ...optional('StopSignal', flags.string('stop-signal')),
    ...optional('StopTimeout', flags.int('stop-timeout')),
    ...optional('Healthcheck', healthcheck),
    HostConfig: hostConfigOf(context, flags, binds, published.bindings, network),
    NetworkingConfig: { EndpointsConfig: endpoints },
  };
}

function hostConfigOf(
  context: CliContext,
  flags: Flags,
  binds: readonly string[],
  bindings: object,
  network: string,
): Record<string, unknown> {
  const cpus = flags.string('cpus');
  if (cpus !== undefined && !/^\d*\.?\d+$/.test(cpus))
    throw usageError(
      `invalid argument ${JSON.stringify(cpus)} for "--cpus" flag: Failed to parse ${cpus} as a rational number`,
    );
  return {
    Binds: binds,
    Mounts: flags.list('mount').map((spec) => parseMount(spec, context.workingDir)),
    NetworkMode: network,
    PortBindings: bindings,
    PublishAllPorts: flags.bool('publish-all'),
    RestartPolicy: restartPolicyOf(flags.string('restart') ?? 'no'),
    AutoRemove: flags.bool('rm'),
    Privileged: flags.bool('privileged'),
    ReadonlyRootfs: flags.bool('read-only'),
    CapAdd: flags.list('cap-add'),
    CapDrop: flags.list('cap-drop'),
    SecurityOpt: flags.list('security-opt').map((option) => securityOption(context, option)),
    Dns: flags.list('dns'),
    DnsOptions: flags.list('dns-option'),
    DnsSearch: flags.list('dns-search'),
    ExtraHosts: flags.list('add-host').map((host) => host.replace(/^([^:=]+)=/, '$1:')),
    GroupAdd: flags.list('group-add'),
    Links: flags.list('link'),
    VolumesFrom: flags.list('volumes-from'),
    Tmpfs: Object.fromEntries(flags.list('tmpfs').map((spec) => splitAt(spec, ':'))),
    Sysctls: pairsOf(flags.list('sysctl')),
    Ulimits: flags.list('ulimit').map(parseUlimit),
    Devices: flags.list('device').map(parseDevice),
    LogConfig: { Type: flags.string('log-driver') ?? '', Config: pairsOf(flags.list('log-opt')) },
    ...optional('Annotations', flags.has('annotation') ? pairsOf(flags.list('annotation')) : undefined),
    ...optional('StorageOpt', flags.has('storage-opt') ? pairsOf(flags.list('storage-opt')) : undefined),
    ...optional('VolumeDriver', flags.string('volume-driver')),
    ...optional('IpcMode', flags.string('ipc')),
    ...optional('PidMode', flags.string('pid')),
    ...optional('UTSMode', flags.string('uts')),
    ...optional('UsernsMode', flags.string('userns')),
    ...optional('CgroupnsMode', flags.string('cgroupns')),
    ...optional('CgroupParent', flags.string('cgroup-parent')),
    ...optional('Runtime', flags.string('runtime')),
    ...optional('Isolation', flags.string('isolation')),
    ...optional('Init', flags.has('init') ? flags.bool('init') : undefined),
    ...optional('Memory', sizeOf(flags, 'memory')),
    ...optional('MemoryReservation', sizeOf(flags, 'memory-reservation')),
    ...optional('MemorySwap', flags.string('memory-swap') === '-1' ? -1 : sizeOf(flags, 'memory-swap')),
    ...optional('MemorySwappiness', flags.int('memory-swappiness')),
    ...optional('ShmSize', sizeOf(flags, 'shm-size')),
    ...optional('NanoCpus', cpus === undefined ? undefined : Math.round(Number(cpus) * 1e9)),
    ...optional('CpuPeriod', flags.int('cpu-period')),
    ...optional('CpuQuota', flags.int('cpu-quota')),
    ...optional('CpuShares', flags.int('cpu-shares')),
    ...optional('CpusetCpus', flags.string('cpuset-cpus')),
    ...optional('CpusetMems', flags.string('cpuset-mems')),
    ...optional('BlkioWeight', flags.int('blkio-weight')),
    ...optional('PidsLimit', flags.int('pids-limit')),
    ...optional('OomKillDisable', flags.has('oom-kill-disable') ? flags.bool('oom-kill-disable') : undefined),
    ...optional('OomScoreAdj', flags.int('oom-score-adj')),
    ...(context.stdout.isTTY && flags.bool('tty')
      ? { ConsoleSize: [context.stdout.rows, context.stdout.columns] }
      : {}),
  };
}

function optional(key: string, value: unknown): Record<string, unknown> {
  return value === undefined ? {} : { [key]: value };
}

function sizeOf(flags: Flags, name: string): number | undefined {
  const text = flags.string(name);
  if (text === undefined) return undefined;
  const bytes = parseSize(text);
  if (bytes === undefined)
    throw usageError(
      `invalid argument ${JSON.stringify(text)} for "--${name}" flag: invalid size: '${text}'`,
    );
  return bytes;
}

function splitAt(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

/** `key=value` pairs as an object; a key alone has an empty value. */
export function pairsOf(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(pairs.map((pair) => splitAt(pair, '=')));
}

function readLines(context: CliContext, paths: readonly string[]): string[] {
  return paths
    .flatMap((path) => {
      try {
        return readFileSync(resolve(context.workingDir, path), 'utf8').split(/\r?\n/);
      } catch (error) {
        const reason = isSystemError(error, 'ENOENT') ? 'no such file or directory' : messageOf(error);
        throw new CodedError('not_found', `open ${path}: ${reason}`, { cause: error });
      }
    })
    .filter((line) => line.trim() !== '' && !line.startsWith('#'));
}

/** Environment of a container: files first, then flags; a name alone takes our own value. */
export function environmentOf(
  context: CliContext,
  files: readonly string[],
  pairs: readonly string[],
): string[] {
  return [...readLines(context, files), ...pairs].flatMap((pair) => {
    if (pair.startsWith('=') || pair === '') throw usageError(`invalid environment variable: ${pair}`);
    if (pair.includes('=')) return [pair];
    const value = context.environment[pair];
    return value === undefined ? [] : [`${pair}=${value}`];
  });
}

function volumesOf(
  context: CliContext,
  specs: readonly string[],
): { volumes: Record<string, object>; binds: string[] } {
  const volumes: Record<string, object> = {};
  const binds: string[] = [];
  for (const spec of specs) {
    if (!spec.includes(':')) {
      volumes[spec] = {};
      continue;
    }
    const [source, rest] = splitAt(spec, ':');
    const isPath = source.startsWith('.') || source.startsWith('~');
    binds.push(
      isPath ? `${resolve(context.workingDir, source.replace(/^~/, context.homeDir))}:${rest}` : spec,
    );
  }
  return { volumes, binds };
}

function networksOf(flags: Flags): [string, Record<string, object>] {
  const names = [...flags.list('network'), ...flags.list('net')];
  const [first] = names;
  const endpoints: Record<string, object> = {};
  const ip = flags.string('ip');
  const ip6 = flags.string('ip6');
  const aliases = flags.list('network-alias');
  for (const [i, spec] of names.entries()) {
    const long = spec.includes('=') ? pairsOf(spec.split(',')) : { name: spec };
    const name = long['name'] ?? '';
    const isFirst = i === 0;
    const own = isFirst && (ip !== undefined || ip6 !== undefined || aliases.length > 0);
    if (!own && names.length === 1) continue;
    endpoints[name] = {
      ...(isFirst && (ip || ip6)
        ? { IPAMConfig: { ...(ip ? { IPv4Address: ip } : {}), ...(ip6 ? { IPv6Address: ip6 } : {}) } }
        : {}),
      ...(isFirst && aliases.length > 0 ? { Aliases: aliases } : {}),
      ...(long['alias'] ? { Aliases: [long['alias']] } : {}),
    };
  }
  const mode =
    first === undefined
      ? 'default'
      : first.includes('=')
        ? (pairsOf(first.split(','))['name'] ?? first)
        : first;
  return [mode, endpoints];
}

function restartPolicyOf(text: string): { Name: string; MaximumRetryCount: number } {
  const [name, count] = splitAt(text, ':');
  if (count !== '' && !/^\d+$/.test(count))
    throw usageError(`invalid restart policy format: maximum retry count must be an integer`);
  return { Name: name, MaximumRetryCount: Number(count || 0) };
}

function securityOption(context: CliContext, option: string): string {
  const [key, value] = splitAt(option, option.includes('=') ? '=' : ':');
  if (key !== 'seccomp' || value === 'unconfined' || value === 'builtin') return option;
  try {
    return `seccomp=${JSON.stringify(JSON.parse(readFileSync(resolve(context.workingDir, value), 'utf8')))}`;
  } catch (error) {
    throw new CodedError(
      'invalid_argument',
      `opening seccomp profile (${value}) failed: ${messageOf(error)}`,
      { cause: error },
    );
  }
}

/** `nofile=1024:2048`. */
export function parseUlimit(spec: string): { Name: string; Soft: number; Hard: number } {
  const match = /^([a-z]+)=(-?\d+)(?::(-?\d+))?$/.exec(spec);
  if (match === null) throw usageError(`invalid ulimit argument: ${spec}`);
  return { Name: match[1] ?? '', Soft: Number(match[2]), Hard: Number(match[3] ?? match[2]) };
}

function parseDevice(spec: string): {
  PathOnHost: string;
  PathInContainer: string;
  CgroupPermissions: string;
} {
  const [host = '', second, third] = spec.split(':');
  const isMode = second !== undefined && /^[rwm]{1,3}$/.test(second);
  return {
    PathOnHost: host,
    PathInContainer: second === undefined || isMode ? host : second,
    CgroupPermissions: third ?? (isMode ? second : 'rwm'),
  };
}

const DURATION_UNITS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 6e10,
  h: 3.6e12,
};

/** Nanoseconds of `1m30s`. @throws {CodedError} `invalid_argument`. */
export function parseDuration(text: string, flag: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)];
  if (text !== '0' && (parts.length === 0 || parts.map(([whole]) => whole).join('') !== text))
    throw usageError(
      `invalid argument ${JSON.stringify(text)} for "--${flag}" flag: time: invalid duration ${JSON.stringify(text)}`,
    );
  return parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * (DURATION_UNITS[unit ?? ''] ?? 0), 0);
}

function healthcheckOf(flags: Flags): object | undefined {
  const duration = (key: string, name: string): Record<string, unknown> => {
    const text = flags.string(name);
    return text === undefined ? {} : { [key]: parseDuration(text, name) };
  };
  const command = flags.string('health-cmd');
  const check = {
    ...(command === undefined ? {} : { Test: ['CMD-SHELL', command] }),
    ...duration('Interval', 'health-interval'),
    ...duration('Timeout', 'health-timeout'),
    ...duration('StartPeriod', 'health-start-period'),
    ...duration('StartInterval', 'health-start-interval'),
    ...optional('Retries', flags.int('health-retries')),
  };
  const isAsked = Object.keys(check).length > 0;
  if (!flags.bool('no-healthcheck')) return isAsked ? check : undefined;
  if (isAsked) throw usageError('--no-healthcheck conflicts with --health-* options');
  return { Test: ['NONE'] };
}
