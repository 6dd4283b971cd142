import { CodedError } from '#base/errors/index.ts';
import type { ContainerConfig as ImageDefaults } from '#oci/config/index.ts';
import { checkLogs, checkRestartPolicy } from './conflicts.ts';
import { mergeHealthcheck } from './health.ts';
import { checkLimits } from './limits.ts';
import type { ContainerSettings, HostSettings } from './wire.ts';

/** Rotation when nothing is asked: a log never fills the disk by itself. */
const DEFAULT_LOG_BYTES = 20 * 1024 * 1024;
const DEFAULT_LOG_FILES = 5;

/**
 * A container's settings: what the client said, completed by its image as Docker does: an entrypoint of the client's
 * drops the image's command, environments and labels are merged by name, ports and volumes are joined.
 * @throws {CodedError} `invalid_argument` `no command specified`.
 */
export function completeSettings(
  asked: ContainerSettings,
  image: ImageDefaults,
  id: string,
): ContainerSettings {
  const ownEntrypoint =
    asked.Entrypoint !== undefined && asked.Entrypoint !== null && asked.Entrypoint.length > 0;
  const entrypoint = ownEntrypoint ? asked.Entrypoint : image.Entrypoint;
  const asksCmd = (asked.Cmd?.length ?? 0) > 0;
  const cmd = asksCmd ? asked.Cmd : ownEntrypoint ? asked.Cmd : image.Cmd;
  // `--entrypoint ""` arrives as one empty string: it takes the image's away.
  const realEntrypoint = entrypoint?.length === 1 && entrypoint[0] === '' ? [] : (entrypoint ?? []);
  if (realEntrypoint.length === 0 && (cmd?.length ?? 0) === 0) {
    throw new CodedError('invalid_argument', 'no command specified');
  }
  const healthcheck = mergeHealthcheck(asked.Healthcheck, image.Healthcheck);
  return {
    ...asked,
    Hostname: asked.Hostname || id.slice(0, 12),
    Domainname: asked.Domainname ?? '',
    User: asked.User || image.User || '',
    Env: mergeEnv(image.Env ?? [], asked.Env ?? []),
    Cmd: cmd ?? null,
    Entrypoint:
      realEntrypoint.length === 0 ? (entrypoint === undefined ? null : entrypoint) : (entrypoint ?? null),
    WorkingDir: asked.WorkingDir || image.WorkingDir || '',
    Labels: { ...image.Labels, ...asked.Labels },
    ExposedPorts: { ...image.ExposedPorts, ...asked.ExposedPorts },
    Volumes: { ...image.Volumes, ...asked.Volumes },
    ...(asked.StopSignal || image.StopSignal
      ? { StopSignal: asked.StopSignal || image.StopSignal || '' }
      : {}),
    ...(healthcheck === undefined ? {} : { Healthcheck: healthcheck }),
    ...(image.Shell === undefined || asked.Shell !== undefined ? {} : { Shell: image.Shell }),
  };
}

/** The words of a container's first process. */
export function commandOf(config: ContainerSettings): readonly string[] {
  const entrypoint = (config.Entrypoint ?? []).filter(
    (word, at, all) => !(all.length === 1 && word === '' && at === 0),
  );
  return [...entrypoint, ...(config.Cmd ?? [])];
}

function mergeEnv(image: readonly string[], asked: readonly string[]): readonly string[] {
  const nameOf = (entry: string): string => entry.split('=', 1)[0] ?? '';
  const own = new Set(asked.map(nameOf));
  return [...asked, ...image.filter((entry) => !own.has(nameOf(entry)))].filter((entry) =>
    entry.includes('='),
  );
}

/**
 * Checks what can be checked before anything is made, and fills in Docker's defaults.
 * @throws {CodedError} `invalid_argument` with Docker's texts; `unimplemented` for what this engine leaves out.
 */
export function completeHostSettings(asked: HostSettings): HostSettings {
  const policy = asked.RestartPolicy?.Name ?? '';
  checkRestartPolicy(asked.RestartPolicy);
  if (asked.AutoRemove === true && policy !== '' && policy !== 'no') {
    throw new CodedError('invalid_argument', "can't create 'AutoRemove' container with restart policy");
  }
  const retries = asked.RestartPolicy?.MaximumRetryCount ?? 0;
  checkLimits(asked);
  checkLogs(asked);
  if ((asked.DeviceRequests?.length ?? 0) > 0) {
    throw noDevice(asked.DeviceRequests?.[0]);
  }
  if (asked.UsernsMode !== undefined && !['', 'host'].includes(asked.UsernsMode)) {
    throw new CodedError('invalid_argument', `invalid user namespace mode: ${asked.UsernsMode}`);
  }
  const network = asked.NetworkMode || 'default';
  return {
    ...asked,
    NetworkMode: network === 'default' ? 'bridge' : network,
    RestartPolicy: { Name: policy === '' ? 'no' : policy, MaximumRetryCount: retries },
    LogConfig: { Type: asked.LogConfig?.Type || 'json-file', Config: asked.LogConfig?.Config ?? {} },
    ShmSize: asked.ShmSize || 64 * 1024 * 1024,
    IpcMode: asked.IpcMode || 'private',
    CgroupnsMode: asked.CgroupnsMode || 'host',
    Runtime: asked.Runtime || 'runc',
    ConsoleSize: asked.ConsoleSize ?? [0, 0],
    // What a client sends for "not asked".
    MemorySwappiness: asked.MemorySwappiness === -1 ? null : (asked.MemorySwappiness ?? null),
    PidsLimit: asked.PidsLimit || null,
    ...(asked.Memory && !asked.MemorySwap ? { MemorySwap: asked.Memory * 2 } : {}),
  };
}

/** Nothing here gives devices out; Docker says it so where no driver is installed. */
function noDevice(request: object | undefined): CodedError {
  const { Driver: driver = '', Capabilities: sets = [] } = (request ?? {}) as {
    readonly Driver?: string;
    readonly Capabilities?: readonly (readonly string[])[] | null;
  };
  const shown = (sets ?? []).map((set) => `[${set.join(' ')}]`).join(' ');
  return new CodedError(
    'unimplemented',
    `could not select device driver "${driver}" with capabilities: [${shown}]`,
    { help: { id: 'container/devices', cause: 'device requests (--gpus) are not part of this engine yet' } },
  );
}

/** How the container's log is kept; `undefined` with the driver `none`. */
export function logLimits(
  host: HostSettings,
): { readonly maxBytes: number; readonly maxFiles: number } | undefined {
  if (host.LogConfig?.Type === 'none') return undefined;
  const options = host.LogConfig?.Config ?? {};
  const size = options['max-size'];
  const files = options['max-file'];
  return {
    maxBytes: size === undefined ? DEFAULT_LOG_BYTES : Math.max(0, parseSize(size)),
    maxFiles: files === undefined ? DEFAULT_LOG_FILES : Math.max(1, Number.parseInt(files, 10) || 1),
  };
}

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 1024,
  m: 1024 ** 2,
  g: 1024 ** 3,
  t: 1024 ** 4,
};

/** Bytes of `10m`; -1 for `-1` (unlimited). @throws {CodedError} `invalid_argument`. */
export function parseSize(text: string): number {
  const match = /^(-?\d+(?:\.\d+)?)\s*([bkmgt]?)(?:i?b)?$/i.exec(text.trim());
  if (match === null) throw new CodedError('invalid_argument', `invalid size: '${text}'`);
  const number = Number(match[1]);
  return number < 0 ? -1 : Math.floor(number * (UNITS[(match[2] ?? '').toLowerCase()] ?? 1));
}

const SIGNALS =
  'HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS'.split(
    ' ',
  );
const SIGRTMIN = 34;
const SIGRTMAX = 64;

/** A signal's number from its name, with or without `SIG`, or its number. @throws {CodedError} `invalid_argument` with Docker's text. */
export function parseSignal(text: string): number {
  const number = /^\d+$/.test(text) ? Number(text) : undefined;
  if (number !== undefined && number > 0 && number <= SIGRTMAX) return number;
  const name = text.toUpperCase().replace(/^SIG/, '');
  const at = SIGNALS.indexOf(name);
  if (at >= 0) return at + 1;
  const realtime = /^RT(MIN|MAX)(?:([+-])(\d+))?$/.exec(name);
  if (realtime !== null) {
    const offset = Number(`${realtime[2] ?? '+'}${realtime[3] ?? 0}`);
    const value = (realtime[1] === 'MIN' ? SIGRTMIN : SIGRTMAX) + offset;
    if (value >= SIGRTMIN && value <= SIGRTMAX) return value;
  }
  throw new CodedError('invalid_argument', `invalid signal: ${text}`);
}
