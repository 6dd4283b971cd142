/** Why an engine cannot be reached, found out from this machine: what only the client can know. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { CodedError, type ErrorHelp } from '#base/errors/index.ts';
import { DOCKER_SOCKET, SLIPWAY_SOCKET } from './host.ts';
import type { CliContext } from './types.ts';

/** Adds cause and fix to a failure of the connection; any other error is given back as it is. */
export async function connectionHelp(context: CliContext, error: unknown): Promise<unknown> {
  if (!(error instanceof CodedError) || error.help !== undefined || error.data?.['endpoint'] === undefined)
    return error;
  const endpoint = String(error.data['endpoint']);
  const path = endpoint.startsWith('unix://') ? endpoint.slice('unix://'.length) : undefined;
  const help =
    error.code === 'permission_denied' && path !== undefined
      ? permissionHelp(context, path)
      : notRunningHelp(context, endpoint, path);
  return new CodedError(error.code, error.message, { help, cause: error.cause, data: error.data });
}

function permissionHelp(context: CliContext, path: string): ErrorHelp {
  const stat = statOf(path);
  const user =
    context.environment['USER'] || context.environment['LOGNAME'] || String(process.getuid?.() ?? '');
  if (stat === undefined)
    return {
      id: 'socket/permission',
      cause: `${path} is in a directory that ${user} may not enter`,
      fix: [`sudo ${context.program} ps`],
    };
  const group = groupOf(stat.gid);
  const owner = `${userOf(stat.uid)}:${group?.name ?? stat.gid}`;
  if (group?.members.includes(user)) {
    return {
      id: 'socket/permission',
      cause: `${path} belongs to ${owner}; ${user} was added to group ${group.name} after this login`,
      fix: [`newgrp ${group.name}`],
    };
  }
  const name = group?.name ?? 'docker';
  return {
    id: 'socket/permission',
    cause: `${path} belongs to ${owner} and user ${user} is not in group ${name}`,
    fix: [`sudo usermod -aG ${name} ${user} && newgrp ${name}`],
  };
}

function notRunningHelp(context: CliContext, endpoint: string, path: string | undefined): ErrorHelp {
  const { environment } = context;
  const variable = ['SLIPWAY_HOST', 'DOCKER_HOST'].find((name) => environment[name]);
  const sockets = [SLIPWAY_SOCKET, DOCKER_SOCKET].filter((socket) => socket !== path && existsSync(socket));
  if (context.engineChoice.host === undefined && variable !== undefined && sockets.length > 0) {
    return {
      id: 'daemon/wrong-endpoint',
      cause: `${variable}=${environment[variable]} overrides the local socket ${sockets[0]}`,
      fix: [`unset ${variable}`],
    };
  }
  if (path === undefined)
    return {
      id: 'daemon/not-running',
      cause: `nothing answers at ${endpoint}`,
      fix: [`${context.program} doctor`],
    };
  const isStale = existsSync(path);
  return {
    id: 'daemon/not-running',
    cause: isStale
      ? `the socket ${path} is left over: no engine listens on it`
      : `there is no socket ${path}: no engine was started`,
    fix: [path === DOCKER_SOCKET ? 'sudo systemctl start docker' : `${context.program} up`],
  };
}

function statOf(path: string): { uid: number; gid: number } | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

/** A group by number, from /etc/group. */
export function groupOf(
  gid: number,
): { readonly name: string; readonly members: readonly string[] } | undefined {
  for (const line of readLines('/etc/group')) {
    const [name = '', , id, members = ''] = line.split(':');
    if (Number(id) === gid && name !== '') return { name, members: members.split(',') };
  }
  return undefined;
}

function userOf(uid: number): string {
  return (
    readLines('/etc/passwd')
      .find((line) => line.split(':')[2] === String(uid))
      ?.split(':')[0] ?? String(uid)
  );
}

function readLines(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n');
  } catch {
    return [];
  }
}
