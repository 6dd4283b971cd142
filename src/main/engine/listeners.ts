import { readFileSync } from 'node:fs';
import { CodedError, messageOf } from '#base/errors/index.ts';
import type { Log } from '#base/log/index.ts';
import type { Listener } from '#engine/server/core/index.ts';
import type { DaemonSettings, TlsSettings } from './settings.ts';

/**
 * The addresses of `--host`.
 * @throws {CodedError} `invalid_argument` for an address of another form, `not_found` for a group that does not exist.
 */
export function listListeners(settings: DaemonSettings, log: Log): readonly Listener[] {
  const gid = gidOf(settings.group, log);
  return settings.hosts.map((host) => {
    const unix = /^unix:\/\/(\/.+)$/.exec(host);
    if (unix?.[1] !== undefined)
      return { kind: 'unix', path: unix[1], ...(gid === undefined ? {} : { gid }) };
    const tcp = /^tcp:\/\/(\[[0-9a-fA-F:]+\]|[^:/[\]]*)(?::(\d{1,5}))?\/?$/.exec(host);
    if (tcp === null) {
      throw new CodedError(
        'invalid_argument',
        `cannot listen on "${host}": unix:///path or tcp://address:port expected`,
      );
    }
    const tls = settings.tls === undefined ? {} : { tls: readTls(settings.tls) };
    const port = tcp[2] === undefined ? (settings.tls === undefined ? 2375 : 2376) : Number(tcp[2]);
    return { kind: 'tcp', host: tcp[1] || '0.0.0.0', port, ...tls };
  });
}

function readTls(files: TlsSettings): { ca: Buffer; cert: Buffer; key: Buffer } {
  const read = (path: string): Buffer => {
    try {
      return readFileSync(path);
    } catch (error) {
      throw new CodedError('invalid_argument', `cannot read TLS file "${path}": ${messageOf(error)}`);
    }
  };
  return { ca: read(files.ca), cert: read(files.cert), key: read(files.key) };
}

/** Docker's rule: a group that was not asked for may be missing. */
function gidOf(group: DaemonSettings['group'], log: Log): number | undefined {
  if (/^\d+$/.test(group.name)) return Number(group.name);
  const line = readFileSync('/etc/group', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith(`${group.name}:`));
  const gid = Number(line?.split(':')[2]);
  if (Number.isInteger(gid)) return gid;
  if (group.isRequired) {
    throw new CodedError('not_found', `group "${group.name}" does not exist`, {
      help: { id: 'daemon/no-group', fix: [`groupadd --system ${group.name}`] },
    });
  }
  log.debug('the socket belongs to root only: its group does not exist', { group: group.name });
  return undefined;
}
