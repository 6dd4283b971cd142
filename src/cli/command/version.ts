import { compileTemplate, goJson } from '#cli/output/index.ts';
import { API_VERSION } from '#engine/protocol/index.ts';
import type { Command } from './types.ts';

interface ServerVersion {
  readonly Platform?: { readonly Name: string };
  readonly Components?: readonly {
    readonly Name: string;
    readonly Version: string;
    readonly Details?: Readonly<Record<string, string>>;
  }[];
  readonly Version: string;
  readonly ApiVersion: string;
  readonly MinAPIVersion?: string;
  readonly GitCommit?: string;
  readonly GoVersion?: string;
  readonly Os: string;
  readonly Arch: string;
  readonly KernelVersion?: string;
  readonly BuildTime?: string;
  readonly Experimental?: boolean;
}

/** `slipway version`. */
export const version: Command = {
  usage: 'version [OPTIONS]',
  summary: 'Show the version information',
  minArgs: 0,
  maxArgs: 0,
  flags: [
    { name: 'format', short: 'f', kind: 'string', help: "Format output using a custom template or 'json'" },
  ],
  async run(context, _args, flags) {
    const format = flags.string('format');
    let server: ServerVersion | undefined;
    let failure: unknown;
    let contextName = 'default';
    try {
      const engine = await context.engine();
      contextName = engine.endpoint.text;
      server = await engine.call<ServerVersion>('GET', '/version');
    } catch (error) {
      failure = error;
    }
    const client = {
      Version: context.version,
      ApiVersion: API_VERSION,
      DefaultAPIVersion: API_VERSION,
      NodeVersion: process.version,
      Os: process.platform,
      Arch: process.arch === 'x64' ? 'amd64' : process.arch,
      Context: contextName,
    };
    const value = { Client: client, Server: server ?? null };
    if (format === 'json') context.stdout.write(`${goJson(value)}\n`);
    else if (format !== undefined && format !== '')
      context.stdout.write(`${compileTemplate(format)(value)}\n`);
    else context.stdout.write(describeClient(client) + (server === undefined ? '' : describeServer(server)));
    if (failure === undefined) return 0;
    throw failure;
  },
};

function lines(
  rows: readonly (readonly [string, string | undefined])[],
  indent: string,
  width: number,
): string {
  return rows
    .flatMap(([label, value]) =>
      value === undefined || value === '' ? [] : [`${indent}${`${label}:`.padEnd(width)}${value}\n`],
    )
    .join('');
}

function describeClient(client: Readonly<Record<string, string>>): string {
  const rows: [string, string | undefined][] = [
    ['Version', client['Version']],
    ['API version', client['ApiVersion']],
    ['Node version', client['NodeVersion']],
    ['OS/Arch', `${client['Os']}/${client['Arch']}`],
    ['Context', client['Context']],
  ];
  return `Client: Slipway\n${lines(rows, ' ', 19)}`;
}

function describeServer(server: ServerVersion): string {
  const [engine, ...others] = server.Components ?? [];
  const built = server.BuildTime;
  const isNode = server.GoVersion?.startsWith('node ') === true;
  const rows: [string, string | undefined][] = [
    ['Version', server.Version],
    [
      'API version',
      `${server.ApiVersion}${server.MinAPIVersion ? ` (minimum version ${server.MinAPIVersion})` : ''}`,
    ],
    [isNode ? 'Node version' : 'Go version', server.GoVersion?.replace(/^node /, '')],
    ['Git commit', server.GitCommit],
    ['Built', built],
    ['OS/Arch', `${server.Os}/${server.Arch}`],
    ['Experimental', String(server.Experimental ?? false)],
  ];
  const head = `\nServer: ${server.Platform?.Name ?? ''}\n ${engine?.Name ?? 'Engine'}:\n`.replace(
    'Server: \n',
    'Server:\n',
  );
  const rest = others.map(
    ({ Name, Version, Details }) =>
      ` ${Name}:\n${lines(
        [
          ['Version', Version],
          ['GitCommit', Details?.['GitCommit']],
        ],
        '  ',
        18,
      )}`,
  );
  return head + lines(rows, '  ', 18) + rest.join('');
}
