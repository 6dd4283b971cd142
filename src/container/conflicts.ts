/** Docker's rules for settings that exclude each other, or that have only some values, with its texts. */
import { CodedError } from '#base/errors/index.ts';
import type { ContainerSettings, HostSettings, RestartPolicy } from './wire.ts';

/** Options every log driver takes. */
const LOG_OPTIONS = ['mode', 'max-buffer-size'];
const JSON_FILE_OPTIONS = [
  'max-file',
  'max-size',
  'compress',
  'labels',
  'labels-regex',
  'env',
  'env-regex',
  'tag',
];
const LOCAL_OPTIONS = ['max-file', 'max-size', 'compress'];

/**
 * Checks what a client asks for, before its image adds anything.
 * @throws {CodedError} `invalid_argument`.
 */
export function checkConflicts(config: ContainerSettings, host: HostSettings): void {
  const { WorkingDir: cwd = '' } = config;
  if (cwd !== '' && !cwd.startsWith('/'))
    throw refused(`the working directory '${cwd}' is invalid, it needs to be an absolute path`);
  const unnamed = config.Env?.find((entry) => entry === '' || entry.startsWith('='));
  if (unnamed !== undefined) throw refused(`invalid environment variable: ${unnamed}`);
  checkNetworkMode(config, host);
  checkNamespaces(config, host);
  if (host.Isolation && host.Isolation !== 'default')
    throw refused(`Invalid isolation: "${host.Isolation}" - linux only supports 'default'`);
  const badHost = host.ExtraHosts?.find((entry) => entry.search(/[:=]/) < 1);
  if (badHost !== undefined) throw refused(`bad format for add-host: "${badHost}"`);
  for (const name of Object.keys(host.StorageOpt ?? {})) {
    throw refused(
      name === 'size'
        ? "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"
        : `Unknown option ${name}`,
    );
  }
}

function checkNetworkMode(config: ContainerSettings, host: HostSettings): void {
  const mode = host.NetworkMode ?? '';
  if (mode !== 'container' && !mode.startsWith('container:')) return;
  if (mode.slice('container:'.length) === '')
    throw refused('Invalid network mode: invalid container format container:<name|id>');
  const rules: readonly (readonly [boolean, string])[] = [
    [Boolean(config.Hostname), 'hostname and the network mode'],
    [
      (host.Links?.length ?? 0) > 0,
      "container type network can't be used with links. This would result in undefined behavior",
    ],
    [(host.Dns?.length ?? 0) > 0, 'dns and the network mode'],
    [(host.ExtraHosts?.length ?? 0) > 0, 'custom host-to-IP mapping and the network mode'],
    [
      Object.keys(host.PortBindings ?? {}).length > 0 || host.PublishAllPorts === true,
      'port publishing and the container type network mode',
    ],
    [Object.keys(config.ExposedPorts ?? {}).length > 0, 'port exposing and the container type network mode'],
  ];
  const broken = rules.find(([isBroken]) => isBroken);
  if (broken !== undefined) throw refused(`conflicting options: ${broken[1]}`);
}

function checkNamespaces(config: ContainerSettings, host: HostSettings): void {
  const { IpcMode: ipc = '', PidMode: pid = '', UTSMode: uts = '', CgroupnsMode: cgroup = '' } = host;
  if (uts === 'host' && config.Hostname) throw refused('conflicting options: hostname and the UTS mode');
  if (!['', 'none', 'private', 'shareable', 'host'].includes(ipc) && !/^container:./.test(ipc))
    throw refused(`invalid IPC mode: ${ipc}`);
  if (!['', 'host'].includes(pid) && !/^container:./.test(pid)) throw refused(`invalid PID mode: ${pid}`);
  if (!['', 'host'].includes(uts)) throw refused(`invalid UTS mode: ${uts}`);
  if (!['', 'private', 'host'].includes(cgroup)) throw refused(`invalid cgroup namespace mode: ${cgroup}`);
}

/** @throws {CodedError} `invalid_argument`. */
export function checkRestartPolicy(policy: RestartPolicy | undefined): void {
  const { Name: name = '', MaximumRetryCount: retries = 0 } = policy ?? { Name: '' };
  if (!['', 'no', 'always', 'on-failure', 'unless-stopped'].includes(name)) {
    throw refused(
      `invalid restart policy: unknown policy '${name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`,
    );
  }
  if (retries !== 0 && name !== 'on-failure') {
    const more = retries < 0 ? ' and cannot be negative' : '';
    throw refused(`invalid restart policy: maximum retry count can only be used with 'on-failure'${more}`);
  }
  if (retries < 0) throw refused('invalid restart policy: maximum retry count cannot be negative');
}

/** @throws {CodedError} `invalid_argument` for a log driver or an option of it that there is not. */
export function checkLogs({ LogConfig: log }: HostSettings): void {
  const type = log?.Type || 'json-file';
  if (!['json-file', 'local', 'none'].includes(type)) {
    throw refused(`error looking up logging plugin ${type}: plugin "${type}" not found`);
  }
  if (type === 'none') return;
  const options = log?.Config ?? {};
  const mode = options['mode'] ?? '';
  if (!['', 'blocking', 'non-blocking'].includes(mode)) {
    throw refused(`logger: logging mode not supported: ${mode}`);
  }
  const known = [...LOG_OPTIONS, ...(type === 'local' ? LOCAL_OPTIONS : JSON_FILE_OPTIONS)];
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const driver = type === 'local' ? 'log driver local' : 'json-file log driver';
  throw refused(`unknown log opt '${unknown}' for ${driver}`);
}

function refused(message: string): CodedError {
  return new CodedError('invalid_argument', message);
}
