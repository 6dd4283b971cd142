/** The daemon's settings: flags and a `daemon.json` with Docker's keys. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { CodedError, isSystemError, messageOf } from '#base/errors/index.ts';
import { isLogLevel, type LogLevel } from '#base/log/index.ts';

/** TLS of TCP listeners; files in PEM. */
export interface TlsSettings {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** What a daemon runs with. Paths are absolute. */
export interface DaemonSettings {
  readonly root: string;
  readonly execRoot: string;
  readonly hosts: readonly string[];
  /** Group of unix sockets; `isRequired` when it was asked for. */
  readonly group: { readonly name: string; readonly isRequired: boolean };
  readonly insecureRegistries: readonly string[];
  readonly registryMirrors: readonly string[];
  readonly tls: TlsSettings | undefined;
  readonly storageDriver: 'overlay' | 'copy' | undefined;
  readonly logLevel: LogLevel;
  readonly labels: readonly string[];
  readonly runtimes: Readonly<Record<string, string>>;
  readonly defaultRuntime: string | undefined;
  readonly bip: string | undefined;
  readonly maxDownloads: number | undefined;
  readonly maxUploads: number | undefined;
  readonly proxy: { readonly http?: string; readonly https?: string; readonly no?: string };
  readonly pidFile: string | undefined;
  readonly allowedHosts: readonly string[];
}

interface Setting {
  /** Key of `daemon.json`; a list has its plural there. */
  readonly key: string;
  readonly type: 'text' | 'list' | 'switch';
  readonly short?: string;
  readonly help: string;
  readonly value?: string;
}

/** Every flag, by its long name. */
const FLAGS: Readonly<Record<string, Setting>> = {
  root: {
    key: 'data-root',
    type: 'text',
    value: 'DIR',
    help: 'Directory of everything durable (default /var/lib/slipway)',
  },
  'data-root': { key: 'data-root', type: 'text', value: 'DIR', help: 'The same as --root' },
  'exec-root': {
    key: 'exec-root',
    type: 'text',
    value: 'DIR',
    help: 'Directory of run-time state (default /run/slipway)',
  },
  host: {
    key: 'hosts',
    type: 'list',
    short: 'H',
    value: 'URL',
    help: 'unix:///path or tcp://address:port; may be repeated',
  },
  group: {
    key: 'group',
    type: 'text',
    short: 'G',
    value: 'NAME',
    help: 'Group of the unix socket (default docker)',
  },
  'insecure-registry': {
    key: 'insecure-registries',
    type: 'list',
    value: 'HOST|CIDR',
    help: 'Registry that may be used without verified TLS',
  },
  'registry-mirror': {
    key: 'registry-mirrors',
    type: 'list',
    value: '[HOST=]URL',
    help: 'Mirror of Docker Hub, or of HOST',
  },
  tls: { key: 'tls', type: 'switch', help: 'Use TLS on TCP; client certificates are always verified' },
  tlsverify: { key: 'tlsverify', type: 'switch', help: 'The same as --tls' },
  tlscacert: {
    key: 'tlscacert',
    type: 'text',
    value: 'FILE',
    help: 'Certificate of the authority that signs clients',
  },
  tlscert: { key: 'tlscert', type: 'text', value: 'FILE', help: 'Certificate of this server' },
  tlskey: { key: 'tlskey', type: 'text', value: 'FILE', help: 'Key of this server' },
  'storage-driver': {
    key: 'storage-driver',
    type: 'text',
    short: 's',
    value: 'NAME',
    help: 'overlay or copy (default: what works)',
  },
  'log-level': {
    key: 'log-level',
    type: 'text',
    short: 'l',
    value: 'LEVEL',
    help: 'debug, info, warn or error',
  },
  debug: { key: 'debug', type: 'switch', short: 'D', help: 'The same as --log-level debug' },
  label: { key: 'labels', type: 'list', value: 'KEY=VALUE', help: 'Label of the engine, shown by info' },
  'add-runtime': { key: 'runtimes', type: 'list', value: 'NAME=PATH', help: 'An OCI runtime' },
  'default-runtime': {
    key: 'default-runtime',
    type: 'text',
    value: 'NAME',
    help: 'Runtime of containers and build steps',
  },
  bip: { key: 'bip', type: 'text', value: 'CIDR', help: 'Address range of the default bridge' },
  'max-concurrent-downloads': {
    key: 'max-concurrent-downloads',
    type: 'text',
    value: 'N',
    help: 'Layers fetched at once',
  },
  'max-concurrent-uploads': {
    key: 'max-concurrent-uploads',
    type: 'text',
    value: 'N',
    help: 'Layers pushed at once',
  },
  'http-proxy': { key: 'http-proxy', type: 'text', value: 'URL', help: 'Proxy for registries' },
  'https-proxy': { key: 'https-proxy', type: 'text', value: 'URL', help: 'Proxy for registries' },
  'no-proxy': { key: 'no-proxy', type: 'text', value: 'LIST', help: 'Hosts reached without a proxy' },
  pidfile: { key: 'pidfile', type: 'text', short: 'p', value: 'FILE', help: 'Write the process id there' },
  'allow-host': {
    key: 'allow-hosts',
    type: 'list',
    value: 'NAME',
    help: 'Host name clients may use for a TCP listener',
  },
  'config-file': {
    key: '',
    type: 'text',
    value: 'FILE',
    help: 'daemon.json (default /etc/slipway/daemon.json)',
  },
  help: { key: '', type: 'switch', short: 'h', help: 'Show this help' },
};

const DEFAULT_CONFIG_FILE = '/etc/slipway/daemon.json';
const CONFIG_LIMIT_BYTES = 1024 * 1024;
/** Keys of Docker that ask for what we do anyway. */
const ALREADY_SO: Readonly<Record<string, unknown>> = {
  'live-restore': true,
  'log-driver': 'json-file',
  experimental: false,
  iptables: true,
  'selinux-enabled': false,
};

/** Text of `--help`. */
export function daemonUsage(): string {
  const lines = Object.entries(FLAGS).map(([name, flag]) => {
    const short = flag.short === undefined ? '    ' : `-${flag.short}, `;
    return `  ${short}--${`${name} ${flag.value ?? ''}`.padEnd(38)} ${flag.help}`;
  });
  return `Usage: slipway daemon [OPTIONS]\n\nRuns the engine in the foreground.\n\nOptions:\n${lines.join('\n')}\n`;
}

type Values = Record<string, string | boolean | readonly string[] | undefined>;

/**
 * Reads flags and the configuration file; `help`: only the usage was asked for.
 * @throws {CodedError} `invalid_argument` naming the flag or key.
 */
export function readSettings(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): DaemonSettings | 'help' {
  const flags = parseFlags(args);
  if (flags['help'] === true) return 'help';
  const file = flags['config-file'];
  const byKey: Values = Object.create(null) as Values;
  for (const [name, value] of Object.entries(flags)) {
    const key = FLAGS[name]?.key;
    if (key) byKey[key] = value;
  }
  const config = readConfig(typeof file === 'string' ? file : undefined);
  const twice = Object.keys(config).filter((key) => byKey[key] !== undefined);
  if (twice.length > 0) {
    throw new CodedError(
      'invalid_argument',
      `the following directives are specified both as a flag and in the configuration file: ${twice.join(', ')}`,
    );
  }
  return toSettings({ ...byKey, ...config }, env);
}

function parseFlags(args: readonly string[]): Values {
  const options = Object.fromEntries(
    Object.entries(FLAGS).map(([name, { type, short }]) => [
      name,
      {
        type: type === 'switch' ? ('boolean' as const) : ('string' as const),
        ...(type === 'list' ? { multiple: true } : {}),
        ...(short === undefined ? {} : { short }),
      },
    ]),
  );
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: false }).values as Values;
  } catch (error) {
    throw new CodedError('invalid_argument', `cannot read the command line: ${messageOf(error)}`, {
      help: { id: 'daemon/usage', fix: ['slipway daemon --help'] },
    });
  }
}

function readConfig(path: string | undefined): Values {
  let text: string;
  try {
    text = readFileSync(path ?? DEFAULT_CONFIG_FILE, 'utf8');
  } catch (error) {
    if (path === undefined && isSystemError(error, 'ENOENT')) return {};
    throw new CodedError(
      'invalid_argument',
      `cannot read configuration file "${path ?? DEFAULT_CONFIG_FILE}": ${messageOf(error)}`,
    );
  }
  const name = path ?? DEFAULT_CONFIG_FILE;
  if (text.length > CONFIG_LIMIT_BYTES)
    throw new CodedError('invalid_argument', `configuration file "${name}" is too large`);
  if (text.trim() === '') return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new CodedError('invalid_argument', `cannot read configuration file "${name}": ${messageOf(error)}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new CodedError(
      'invalid_argument',
      `cannot read configuration file "${name}": it is not a JSON object`,
    );
  return fromConfig(value as Record<string, unknown>, name);
}

function fromConfig(config: Readonly<Record<string, unknown>>, name: string): Values {
  const values: Values = Object.create(null) as Values;
  for (const [key, value] of Object.entries(config)) {
    if (Object.hasOwn(ALREADY_SO, key) && ALREADY_SO[key] === value) continue;
    if (key === 'proxies') Object.assign(values, textsOf(value, key, name));
    else if (key === 'runtimes') values[key] = runtimesOf(value, name);
    else values[key] = checkValue(key, value, name);
  }
  return values;
}

function checkValue(key: string, value: unknown, name: string): string | boolean | readonly string[] {
  const flag = Object.values(FLAGS).find((candidate) => candidate.key === key && key !== '');
  if (flag === undefined) {
    throw new CodedError(
      'invalid_argument',
      `cannot use configuration file "${name}": the following directives don't match any configuration option: ${key}`,
    );
  }
  const isList = Array.isArray(value) && value.every((entry) => typeof entry === 'string');
  if (flag.type === 'list' && isList) return value as string[];
  if (flag.type === 'switch' && typeof value === 'boolean') return value;
  if (flag.type === 'text' && (typeof value === 'string' || typeof value === 'number')) return String(value);
  const wanted = { text: 'a string', list: 'a list of strings', switch: 'true or false' }[flag.type];
  throw new CodedError(
    'invalid_argument',
    `cannot use configuration file "${name}": "${key}" must be ${wanted}`,
  );
}

function textsOf(value: unknown, key: string, name: string): Values {
  const entries = Object.entries((value ?? {}) as object);
  if (entries.some(([, text]) => typeof text !== 'string'))
    throw new CodedError(
      'invalid_argument',
      `cannot use configuration file "${name}": "${key}" must hold strings`,
    );
  return Object.fromEntries(entries) as Values;
}

function runtimesOf(value: unknown, name: string): readonly string[] {
  return Object.entries((value ?? {}) as Record<string, { path?: unknown } | null>).map(
    ([runtime, entry]) => {
      if (typeof entry?.path !== 'string')
        throw new CodedError(
          'invalid_argument',
          `cannot use configuration file "${name}": runtime "${runtime}" has no path`,
        );
      return `${runtime}=${entry.path}`;
    },
  );
}

function toSettings(values: Values, env: Readonly<Record<string, string | undefined>>): DaemonSettings {
  const text = (key: string): string | undefined => {
    const value = values[key];
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  const list = (key: string): readonly string[] => {
    const value = values[key];
    return Array.isArray(value) ? (value as readonly string[]) : [];
  };
  const execRoot = absolute(text('exec-root') ?? '/run/slipway');
  const proxy = {
    http: text('http-proxy') ?? env['HTTP_PROXY'] ?? env['http_proxy'],
    https: text('https-proxy') ?? env['HTTPS_PROXY'] ?? env['https_proxy'],
    no: text('no-proxy') ?? env['NO_PROXY'] ?? env['no_proxy'],
  };
  return {
    root: absolute(text('data-root') ?? '/var/lib/slipway'),
    execRoot,
    hosts: list('hosts').length > 0 ? list('hosts') : [`unix://${execRoot}/slipway.sock`],
    group: { name: text('group') ?? 'docker', isRequired: text('group') !== undefined },
    insecureRegistries: list('insecure-registries'),
    registryMirrors: list('registry-mirrors'),
    tls: tlsOf(values['tls'] === true || values['tlsverify'] === true, text),
    storageDriver: driverOf(text('storage-driver')),
    logLevel: levelOf(text('log-level'), values['debug'] === true),
    labels: list('labels'),
    runtimes: Object.fromEntries(list('runtimes').map((entry) => pairOf('add-runtime', entry))),
    defaultRuntime: text('default-runtime'),
    bip: text('bip'),
    maxDownloads: countOf('max-concurrent-downloads', text('max-concurrent-downloads')),
    maxUploads: countOf('max-concurrent-uploads', text('max-concurrent-uploads')),
    proxy: Object.fromEntries(Object.entries(proxy).filter(([, url]) => url !== undefined && url !== '')),
    pidFile: text('pidfile') === undefined ? undefined : absolute(text('pidfile') ?? ''),
    allowedHosts: list('allow-hosts'),
  };
}

function absolute(path: string): string {
  return resolve(path);
}

function tlsOf(isWanted: boolean, text: (key: string) => string | undefined): TlsSettings | undefined {
  const [ca, cert, key] = [text('tlscacert'), text('tlscert'), text('tlskey')];
  if (!isWanted && ca === undefined && cert === undefined && key === undefined) return undefined;
  if (ca === undefined || cert === undefined || key === undefined)
    throw new CodedError(
      'invalid_argument',
      'TLS needs --tlscacert, --tlscert and --tlskey: clients are always verified',
    );
  return { ca, cert, key };
}

function driverOf(name: string | undefined): 'overlay' | 'copy' | undefined {
  if (name === undefined || name === 'overlay' || name === 'copy') return name;
  // Docker's names for the same things.
  if (name === 'overlay2') return 'overlay';
  if (name === 'vfs') return 'copy';
  throw new CodedError('invalid_argument', `unknown storage driver "${name}": overlay or copy`);
}

function levelOf(name: string | undefined, isDebug: boolean): LogLevel {
  if (isDebug) return 'debug';
  if (name === undefined) return 'info';
  if (isLogLevel(name)) return name;
  if (name === 'fatal') return 'error';
  throw new CodedError('invalid_argument', `unknown log level "${name}": debug, info, warn or error`);
}

function pairOf(flag: string, entry: string): [string, string] {
  const equals = entry.indexOf('=');
  if (equals < 1 || equals === entry.length - 1)
    throw new CodedError('invalid_argument', `invalid value "${entry}" for --${flag}: name=value expected`);
  return [entry.slice(0, equals), entry.slice(equals + 1)];
}

function countOf(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > 1000)
    throw new CodedError(
      'invalid_argument',
      `invalid value "${text}" for --${flag}: a number from 1 to 1000 expected`,
    );
  return count;
}
