/** /etc/hosts of containers that run: lines come and go with networks and linked containers. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Context, dirOf, isRunning } from './context.ts';
import { hostsLineOf, parseLink, resolveLinks } from './links.ts';
import { readHostFile } from './resolver.ts';
import type { Attachment, ContainerRecord } from './types.ts';
import type { ContainerSettings } from './wire.ts';

/** A container's own name at one of its addresses. */
export function ownHostsLine(config: ContainerSettings, address: string): string {
  const name = config.Hostname ?? '';
  return `${address}\t${config.Domainname ? `${name}.${config.Domainname}\t${name}` : name}`;
}

/** After a running container has joined or left a network. What else the file says stays. */
export function followNetworks(
  context: Context,
  record: ContainerRecord,
  before: readonly Attachment[],
): void {
  if (!isRunning(record)) return;
  const linesOf = (attachments: readonly Attachment[]): readonly string[] =>
    attachments.flatMap(({ endpoint }) =>
      endpoint === undefined ? [] : [ownHostsLine(record.config, endpoint.ipAddress)],
    );
  edit(context, record, { remove: linesOf(before), add: linesOf(record.attachments) });
}

/** After a container has started, which may have another address now: those that link to it follow. */
export function followLinks(context: Context, started: ContainerRecord): void {
  const isOnBridge = started.attachments.some(
    ({ networkName, endpoint }) => networkName === 'bridge' && endpoint !== undefined,
  );
  if (!isOnBridge) return;
  for (const record of context.records.list()) {
    const links = record.hostConfig.Links ?? [];
    if (links.length === 0 || record.hostConfig.NetworkMode !== 'bridge' || !isRunning(record)) continue;
    const mine = links.filter((link) => context.records.find(parseLink(link).name)?.id === started.id);
    if (mine.length === 0) continue;
    const hostConfig = { ...record.hostConfig, Links: mine };
    const add = resolveLinks(context, { ...record, hostConfig }).map(hostsLineOf);
    const names = new Set(add.map((line) => line.split('\t')[1]));
    const remove = linesIn(context, record).filter((line) => names.has(line.split('\t')[1]));
    edit(context, record, { remove, add });
  }
}

function linesIn(context: Context, record: ContainerRecord): readonly string[] {
  return readHostFile(join(dirOf(context, record.id), 'hosts'))
    .split('\n')
    .slice(0, -1);
}

/** In place: the file is mounted in the container. */
function edit(
  context: Context,
  record: ContainerRecord,
  { remove, add }: { readonly remove: readonly string[]; readonly add: readonly string[] },
): void {
  const old = linesIn(context, record);
  if (old.length === 0) return;
  const text = [...old.filter((line) => !remove.includes(line)), ...add].map((line) => `${line}\n`).join('');
  writeFileSync(join(dirOf(context, record.id), 'hosts'), text);
}
