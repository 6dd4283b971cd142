import { CodedError, hasCode } from '#base/errors/index.ts';
import { formatError } from '#cli/output/index.ts';
import { describeFlags, parseLine } from './flags.ts';
import type { TlsFlags } from './host.ts';
import { COMMANDS, findLoader, GROUPS } from './registry.ts';
import type { CliContext, Command, Flag, Flags } from './types.ts';

/** Flags before the command. */
const GLOBAL_FLAGS: readonly Flag[] = [
  { name: 'config', kind: 'string', help: 'Location of client config files' },
  {
    name: 'context',
    short: 'c',
    kind: 'string',
    help: 'Name of the context to use to connect to the engine',
  },
  { name: 'debug', short: 'D', kind: 'bool', help: 'Enable debug mode' },
  { name: 'host', short: 'H', kind: 'list', help: 'Engine socket to connect to' },
  { name: 'log-level', short: 'l', kind: 'string', default: 'info', help: 'Set the logging level' },
  { name: 'tls', kind: 'bool', help: 'Use TLS; implied by --tlsverify' },
  { name: 'tlscacert', kind: 'string', help: 'Trust certs signed only by this CA' },
  { name: 'tlscert', kind: 'string', help: 'Path to TLS certificate file' },
  { name: 'tlskey', kind: 'string', help: 'Path to TLS key file' },
  { name: 'tlsverify', kind: 'bool', help: 'Use TLS and verify the remote' },
  { name: 'version', short: 'v', kind: 'bool', help: 'Print version information and quit' },
];

/** What the process gives; `engineChoice` and paths may be changed by global flags. */
export type ContextMaker = (global: {
  readonly host?: string;
  readonly context?: string;
  readonly configDir?: string;
  readonly tls?: TlsFlags;
}) => CliContext;

const USAGE_EXIT = 125;
const INTERRUPTED_EXIT = 130;

/** Runs one command line; returns the exit code. What goes wrong is printed here. */
export async function runCli(words: readonly string[], makeContext: ContextMaker): Promise<number> {
  let context = makeContext({});
  try {
    const global = parseLine(words, GLOBAL_FLAGS, { stopAtFirst: true });
    if (global.flags.bool('version')) {
      context.stdout.write(`Slipway version ${context.version}\n`);
      return 0;
    }
    context = makeContext(globalChoice(global.flags));
    const [first, ...rest] = global.args;
    if (first === undefined || (first === 'help' && rest.length === 0)) {
      context.stdout.write(overview(context.program));
      return 0;
    }
    const line = first === 'help' ? [...rest, '--help'] : global.args;
    return await runLine(context, line);
  } catch (error) {
    return report(context, error, undefined);
  }
}

function globalChoice(flags: Flags): Parameters<ContextMaker>[0] {
  const host = flags.list('host').at(-1);
  const context = flags.string('context');
  const configDir = flags.string('config');
  if (host && context)
    throw new CodedError('invalid_argument', 'conflicting options: cannot specify both --host and --context');
  const tls = tlsOf(flags);
  return {
    ...(host ? { host } : {}),
    ...(context ? { context } : {}),
    ...(configDir ? { configDir } : {}),
    ...(tls === undefined ? {} : { tls }),
  };
}

function tlsOf(flags: Flags): TlsFlags | undefined {
  const files = ['tlscacert', 'tlscert', 'tlskey'] as const;
  if (!flags.bool('tls') && !flags.bool('tlsverify') && !files.some((name) => flags.has(name)))
    return undefined;
  const [ca, cert, key] = files.map((name) => flags.string(name));
  return {
    verify: flags.bool('tlsverify'),
    ...(ca ? { ca } : {}),
    ...(cert ? { cert } : {}),
    ...(key ? { key } : {}),
  };
}

async function runLine(context: CliContext, words: readonly string[]): Promise<number> {
  const [first = '', second, ...rest] = words;
  const group = Object.hasOwn(GROUPS, first) ? GROUPS[first] : undefined;
  if (group === undefined) {
    const load = Object.hasOwn(COMMANDS, first) ? findLoader(first) : undefined;
    if (load === undefined) throw unknownCommand(context.program, first);
    return runCommand(context, await load(), first, words.slice(1));
  }
  if (second === undefined || second === '--help' || second === '-h') {
    context.stdout.write(describeGroup(context.program, first));
    return 0;
  }
  const entry = Object.hasOwn(group.commands, second) ? group.commands[second] : undefined;
  const load = entry === undefined ? undefined : findLoader(entry);
  if (load === undefined) throw unknownCommand(context.program, `${first} ${second}`);
  return runCommand(context, await load(), `${first} ${second}`, rest);
}

async function runCommand(
  context: CliContext,
  command: Command,
  name: string,
  words: readonly string[],
): Promise<number> {
  const usage = `${context.program} ${name}${command.usage.replace(/^\S+/, '')}`;
  try {
    const { args, flags, wantsHelp } = parseLine(words, command.flags, {
      ...(command.stopAtFirst === undefined ? {} : { stopAtFirst: command.stopAtFirst }),
    });
    if (wantsHelp) {
      context.stdout.write(describeCommand(usage, command));
      return 0;
    }
    checkCount(`${context.program} ${name}`, command, args.length);
    refuseContentTrust(context, command, flags);
    return await command.run(context, args, flags);
  } catch (error) {
    return report(context, error, { usage, name: `${context.program} ${name}` });
  }
}

/** Who asks for signature checks must not get an image without them. */
function refuseContentTrust(context: CliContext, command: Command, flags: Flags): void {
  const name = 'disable-content-trust';
  if (!command.flags.some((flag) => flag.name === name)) return;
  const variable = context.environment['DOCKER_CONTENT_TRUST'];
  const isWanted = flags.has(name)
    ? !flags.bool(name)
    : variable !== undefined && /^(1|true)$/i.test(variable);
  if (!isWanted) return;
  throw new CodedError('unimplemented', 'content trust (Notary signatures) is not supported', {
    help: {
      id: 'cli/content-trust',
      cause: flags.has(name) ? `--${name}=false asks for it` : `DOCKER_CONTENT_TRUST=${variable} asks for it`,
      fix: [flags.has(name) ? `leave --${name}=false out` : 'unset DOCKER_CONTENT_TRUST'],
    },
  });
}

function checkCount(name: string, command: Command, count: number): void {
  const { minArgs, maxArgs } = command;
  if (count >= minArgs && count <= maxArgs) return;
  const plural = (n: number): string => `${n} argument${n === 1 ? '' : 's'}`;
  const text =
    maxArgs === 0
      ? 'accepts no arguments'
      : minArgs === maxArgs
        ? `requires ${plural(minArgs)}`
        : count < minArgs
          ? `requires at least ${plural(minArgs)}`
          : `accepts at most ${plural(maxArgs)}`;
  throw new CodedError('invalid_argument', `'${name}' ${text}`, { data: { usage: true, exitCode: 1 } });
}

function report(
  context: CliContext,
  error: unknown,
  command: { readonly usage: string; readonly name: string } | undefined,
): number {
  if (context.signal.aborted) return INTERRUPTED_EXIT;
  const data = error instanceof CodedError ? error.data : undefined;
  const color = context.stderr.isTTY && !context.environment['NO_COLOR'];
  if (!(data?.['silent'] === true)) {
    context.stderr.write(
      formatError(error, {
        color,
        format: context.environment['SLIPWAY_ERROR_FORMAT'] === 'json' ? 'json' : 'text',
      }),
    );
  }
  if (data?.['usage'] === true) {
    if (command !== undefined)
      context.stderr.write(
        `\nUsage:  ${command.usage}\n\nRun '${command.name} --help' for more information\n`,
      );
    else context.stderr.write(`See '${context.program} --help'\n`);
  }
  if (typeof data?.['exitCode'] === 'number') return data['exitCode'];
  return data?.['usage'] === true && hasCode(error, 'invalid_argument') ? USAGE_EXIT : 1;
}

function unknownCommand(program: string, name: string): CodedError {
  const near = Object.keys(COMMANDS).find((known) => isTypo(name, known));
  return new CodedError('invalid_argument', `${program}: '${name}' is not a ${program} command`, {
    data: { exitCode: 1 },
    help: {
      id: 'cli/unknown-command',
      fix: [`${program} ${near === undefined ? '--help' : `${near} --help`}`],
    },
  });
}

/** One letter more, less, other or swapped. */
function isTypo(typed: string, known: string): boolean {
  if (Math.abs(typed.length - known.length) > 1) return false;
  let at = 0;
  while (at < typed.length && typed[at] === known[at]) at++;
  const [a, b] = [typed.slice(at), known.slice(at)];
  const isSwapped = a[0] === b[1] && a[1] === b[0] && a.slice(2) === b.slice(2) && a.length > 1;
  return a.slice(1) === b || a === b.slice(1) || a.slice(1) === b.slice(1) || isSwapped;
}

function describeCommand(usage: string, command: Command): string {
  const options = command.flags.length === 0 ? '' : `\nOptions:\n${describeFlags(command.flags)}`;
  const aliases = command.aliases === undefined ? '' : `\nAliases:\n  ${command.aliases.join(', ')}\n`;
  return `Usage:  ${usage}\n\n${command.summary}\n${aliases}${options}`;
}

function describeGroup(program: string, name: string): string {
  const group = GROUPS[name];
  const words = Object.keys(group?.commands ?? {});
  return `Usage:  ${program} ${name} COMMAND\n\n${group?.summary ?? ''}\n\nCommands:\n${words.map((word) => `  ${word}\n`).join('')}\nRun '${program} ${name} COMMAND --help' for more information on a command.\n`;
}

function overview(program: string): string {
  const width = 12;
  const commands = Object.entries(COMMANDS).map(
    ([word, { summary }]) => `  ${word.padEnd(width)}${summary}\n`,
  );
  const groups = Object.entries(GROUPS).map(([word, { summary }]) => `  ${word.padEnd(width)}${summary}\n`);
  const services = [
    ['daemon', 'Run the engine in the foreground'],
    ['hub', 'Run the registry with its page in the foreground'],
  ].map(([word = '', summary]) => `  ${word.padEnd(width)}${summary}\n`);
  return `Usage:  ${program} [OPTIONS] COMMAND\n\nBuild, run and share container images\n\nCommands:\n${commands.join('')}\nManagement Commands:\n${groups.join('')}\nServices:\n${services.join('')}\nGlobal Options:\n${describeFlags(GLOBAL_FLAGS)}\nRun '${program} COMMAND --help' for more information on a command.\n`;
}
