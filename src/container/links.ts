/**
 * `--link name:alias`. On a network with names an alias is a name only this container uses; on the default bridge it is a line
 * in /etc/hosts and a set of variables, as they are when the container starts.
 */
import { CodedError, hasCode } from '#base/errors/index.ts';
import { type Context, isRunning } from './context.ts';
import type { ContainerRecord } from './types.ts';
import type { HostSettings } from './wire.ts';

/** One `--link`. */
export interface Link {
  readonly name: string;
  readonly alias: string;
}

/** A link on the default bridge, whose container runs. */
export interface ResolvedLink {
  readonly alias: string;
  readonly address: string;
  readonly target: ContainerRecord;
  /** Name of the container that has the link. */
  readonly owner: string;
}

/** Reads `name`, `name:alias`, and the `/name:/owner/alias` that inspect shows. @throws {CodedError} `invalid_argument`. */
export function parseLink(text: string): Link {
  const parts = text.split(':');
  const [name = '', alias = name] = parts;
  if (name === '' || alias === '' || parts.length > 2) {
    throw new CodedError('invalid_argument', `bad format for links: ${text}`);
  }
  return { name: name.replace(/^\//, ''), alias: alias.slice(alias.lastIndexOf('/') + 1) };
}

/** Checks the links of a new container. @throws {CodedError} `invalid_argument` with Docker's texts. */
export function checkLinks({ records }: Pick<Context, 'records'>, host: HostSettings): void {
  const links = (host.Links ?? []).map(parseLink);
  const mode = host.NetworkMode ?? 'bridge';
  if (links.length === 0) return;
  const kind = mode === 'host' ? 'host type networking' : 'container type network';
  if (mode === 'host' || mode.startsWith('container:')) {
    throw new CodedError(
      'invalid_argument',
      `conflicting options: ${kind} can't be used with links. This would result in undefined behavior`,
    );
  }
  if (mode !== 'bridge') return;
  for (const { name } of links) {
    try {
      records.get(name);
    } catch (error) {
      if (!hasCode(error, 'not_found')) throw error;
      // Not `not_found`: clients take that for a missing image and pull it.
      throw new CodedError(
        'invalid_argument',
        `could not get container for ${name}: No such container: ${name}`,
        { cause: error },
      );
    }
  }
}

/** The links of a container that starts on the default bridge. @throws {CodedError} `conflict` when one's container does not run. */
export function resolveLinks({ records }: Context, record: ContainerRecord): readonly ResolvedLink[] {
  if (record.hostConfig.NetworkMode !== 'bridge') return [];
  return (record.hostConfig.Links ?? []).map(parseLink).map(({ name, alias }) => {
    const target = records.get(name);
    const address = target.attachments.find(({ networkName }) => networkName === 'bridge')?.endpoint
      ?.ipAddress;
    if (!isRunning(target) || address === undefined) {
      throw new CodedError(
        'conflict',
        `Cannot link to a non running container: /${target.name} AS /${record.name}/${alias}`,
      );
    }
    return { alias, address, target, owner: record.name };
  });
}

/** The line of a link in /etc/hosts. */
export function hostsLineOf({ alias, address, target }: ResolvedLink): string {
  const names = [alias, target.config.Hostname ?? '', target.name];
  return `${address}\t${[...new Set(names.filter((name) => name !== ''))].join(' ')}`;
}

/** The variables of a link, as Docker names them. */
export function linkEnvironment({ alias, address, target, owner }: ResolvedLink): readonly string[] {
  const prefix = alias.toUpperCase().replaceAll('-', '_');
  const ports = Object.keys(target.config.ExposedPorts ?? {})
    .map((text) => {
      const [port = '', protocol = 'tcp'] = text.split('/');
      return { port, protocol };
    })
    .toSorted((a, b) => Number(a.port) - Number(b.port) || (a.protocol < b.protocol ? -1 : 1));
  const [first] = ports;
  return [
    ...(first === undefined ? [] : [`${prefix}_PORT=${first.protocol}://${address}:${first.port}`]),
    ...ports.flatMap(({ port, protocol }) => {
      const name = `${prefix}_PORT_${port}_${protocol.toUpperCase()}`;
      return [
        `${name}=${protocol}://${address}:${port}`,
        `${name}_ADDR=${address}`,
        `${name}_PORT=${port}`,
        `${name}_PROTO=${protocol}`,
      ];
    }),
    `${prefix}_NAME=/${owner}/${alias}`,
    ...(target.config.Env ?? [])
      .filter((entry) => entry.includes('=') && !/^(?:HOME|PATH)=/.test(entry))
      .map((entry) => `${prefix}_ENV_${entry}`),
  ];
}
