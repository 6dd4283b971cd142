import { accessSync, constants, existsSync, readFileSync, statfsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { CodedError, messageOf } from '#base/errors/index.ts';
import { formatSize } from '#cli/output/index.ts';
import { readState, serviceRoot } from './service-state.ts';
import type { CliContext, Command } from './types.ts';

/** One thing looked at. */
interface Finding {
  readonly name: string;
  readonly state: 'ok' | 'warning' | 'problem';
  readonly detail: string;
  readonly fix?: readonly string[];
}

const MARKS = { ok: '✔', warning: '!', problem: '✘' } as const;
const COLORS = { ok: '32', warning: '33', problem: '31' } as const;
const LOW_DISK_RATIO = 0.1;

/** `slipway doctor`. */
export const doctor: Command = {
  usage: 'doctor [OPTIONS]',
  summary: 'Find out what keeps this machine from working, and how to fix it',
  minArgs: 0,
  maxArgs: 0,
  flags: [
    { name: 'format', kind: 'string', help: "Format output: 'json'" },
    { name: 'root', kind: 'string', help: 'Folder with the data of engine and hub' },
  ],
  async run(context, _args, flags) {
    const root = serviceRoot(context, flags.string('root'));
    const findings = [
      ...(await checkEngine(context)),
      await checkConfig(context),
      ...checkPrograms(context),
      checkOverlay(),
      checkCgroups(),
      checkCertificates(),
      checkDisk(root),
      checkHub(root),
    ].filter((finding) => finding !== undefined);
    if (flags.string('format') === 'json') context.stdout.write(`${JSON.stringify(findings)}\n`);
    else for (const finding of findings) context.stdout.write(format(context, finding));
    return findings.some(({ state }) => state === 'problem') ? 1 : 0;
  },
};

function format(context: CliContext, { name, state, detail, fix }: Finding): string {
  const mark = context.stdout.isTTY ? `\x1b[${COLORS[state]}m${MARKS[state]}\x1b[0m` : MARKS[state];
  return `${mark} ${name.padEnd(14)}${detail}\n${(fix ?? []).map((line) => `  fix: ${line}\n`).join('')}`;
}

async function checkEngine(context: CliContext): Promise<Finding[]> {
  try {
    const engine = await context.engine();
    const { Version: version, Platform: platform } = await engine.call<{
      Version: string;
      Platform?: { Name?: string };
    }>('GET', '/version');
    const name = platform?.Name ? ` (${platform.Name})` : '';
    return [
      { name: 'engine', state: 'ok', detail: `${engine.endpoint.text} answers, version ${version}${name}` },
    ];
  } catch (error) {
    const help = error instanceof CodedError ? error.help : undefined;
    const cause = help?.cause === undefined ? '' : `: ${help.cause}`;
    return [
      {
        name: 'engine',
        state: 'problem',
        detail: `${messageOf(error)}${cause}`,
        ...(help?.fix === undefined ? {} : { fix: help.fix }),
      },
    ];
  }
}

async function checkConfig(context: CliContext): Promise<Finding> {
  try {
    const config = await context.config();
    const helper = config.credsStore;
    if (helper && findProgram(context, `docker-credential-${helper}`) === undefined) {
      return {
        name: 'credentials',
        state: 'problem',
        detail: `${context.configPath} names the credential helper "${helper}", which is not installed: every pull and push fails`,
        fix: [`install docker-credential-${helper}, or remove "credsStore" from ${context.configPath}`],
      };
    }
    const stored = Object.keys(config.auths ?? {}).length;
    return { name: 'credentials', state: 'ok', detail: `${context.configPath}: ${stored} stored` };
  } catch (error) {
    const help = error instanceof CodedError ? error.help : undefined;
    return {
      name: 'credentials',
      state: 'problem',
      detail: help?.cause ?? messageOf(error),
      ...(help?.fix === undefined ? {} : { fix: help.fix }),
    };
  }
}

/** Programs and libraries the engine uses, with the Debian package each is in. */
function checkPrograms(context: CliContext): Finding[] {
  const runtime = ['runc', 'crun'].find((name) => findProgram(context, name) !== undefined);
  const findings: Finding[] = [
    runtime === undefined
      ? missing('runtime', 'no OCI runtime (runc or crun) is installed: containers cannot run', 'runc')
      : { name: 'runtime', state: 'ok', detail: findProgram(context, runtime) ?? runtime },
  ];
  const nft = findLibrary('libnftables.so.1');
  findings.push(
    nft === undefined
      ? missing('firewall', 'libnftables is not installed: containers have no network', 'nftables')
      : { name: 'firewall', state: 'ok', detail: nft },
  );
  for (const { program, why, packageName } of OPTIONAL) {
    const found = findProgram(context, program);
    if (found !== undefined) findings.push({ name: program, state: 'ok', detail: found });
    else
      findings.push({
        ...missing(program, `${program} is not installed: ${why}`, packageName),
        state: 'warning',
      });
  }
  return findings;
}

const OPTIONAL = [
  { program: 'igzip', why: 'layers are compressed by a slower library', packageName: 'isal' },
  { program: 'git', why: 'no build from a git address', packageName: 'git' },
  { program: 'ps', why: '"top" does not work', packageName: 'procps' },
] as const;

function missing(name: string, detail: string, packageName: string): Finding {
  const sudo = process.getuid?.() === 0 ? '' : 'sudo ';
  return { name, state: 'problem', detail, fix: [`${sudo}apt-get install ${packageName}`] };
}

function findProgram({ environment }: CliContext, name: string): string | undefined {
  const dirs = [...(environment['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin', '/usr/local/sbin'];
  return dirs
    .filter((dir) => dir !== '')
    .map((dir) => join(dir, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

function findLibrary(name: string): string | undefined {
  const dirs = [
    '/usr/lib/x86_64-linux-gnu',
    '/usr/lib/aarch64-linux-gnu',
    '/usr/lib64',
    '/usr/lib',
    '/lib',
    '/usr/local/lib',
  ];
  return dirs.map((dir) => join(dir, name)).find((path) => existsSync(path));
}

function checkOverlay(): Finding {
  const supported = readText('/proc/filesystems').includes('overlay') || existsSync('/sys/module/overlay');
  if (supported) return { name: 'overlayfs', state: 'ok', detail: 'supported by the kernel' };
  return {
    name: 'overlayfs',
    state: 'warning',
    detail: 'not loaded: the slower copy driver would be used',
    fix: ['sudo modprobe overlay'],
  };
}

function checkCgroups(): Finding {
  if (existsSync('/sys/fs/cgroup/cgroup.controllers'))
    return { name: 'cgroups', state: 'ok', detail: 'version 2' };
  if (existsSync('/sys/fs/cgroup/memory')) return { name: 'cgroups', state: 'ok', detail: 'version 1' };
  return { name: 'cgroups', state: 'warning', detail: 'not mounted: limits of containers have no effect' };
}

function checkCertificates(): Finding {
  const path = [
    '/etc/ssl/certs/ca-certificates.crt',
    '/etc/pki/tls/certs/ca-bundle.crt',
    '/etc/ssl/cert.pem',
  ].find((file) => existsSync(file));
  if (path !== undefined) return { name: 'certificates', state: 'ok', detail: path };
  return {
    ...missing(
      'certificates',
      'this machine has no root certificates: private ones cannot be added system-wide',
      'ca-certificates',
    ),
    state: 'warning',
  };
}

function checkDisk(root: string): Finding | undefined {
  let path = root;
  while (path !== '/' && !existsSync(path)) path = join(path, '..');
  const { bavail, blocks, bsize, ffree, files } = statfsSync(path);
  const free = bavail * bsize;
  const lowBytes = blocks > 0 && bavail / blocks < LOW_DISK_RATIO;
  const lowFiles = files > 0 && ffree / files < LOW_DISK_RATIO;
  const detail = `${formatSize(free)} free under ${path}${lowFiles ? ', inodes nearly used up' : ''}`;
  if (!lowBytes && !lowFiles) return { name: 'disk', state: 'ok', detail };
  return { name: 'disk', state: 'warning', detail, fix: ['slipway system df', 'slipway system prune'] };
}

function checkHub(root: string): Finding | undefined {
  const { hub } = readState(root);
  return hub === undefined
    ? undefined
    : { name: 'hub', state: 'ok', detail: `${hub.address}, pid ${hub.pid}` };
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
