/**
 * How a container looks names up. On a network of the user's making it asks 127.0.0.11, where the keeper answers for containers
 * and passes other names on; elsewhere it has the host's resolvers, or the ones it was given.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { isIP, isIPv6 } from 'node:net';
import { join } from 'node:path';
import { hasCode } from '#base/errors/index.ts';
import type { NamesEntry, NetworkNames } from '#runtime/names/types.ts';
import { RESOLVER_ADDRESS } from '#runtime/names/types.ts';
import { redirectQueries } from '#runtime/network/index.ts';
import type { Network, NetworkStore, Sandbox } from '#runtime/network/types.ts';
import { type Context, dirOf, isRunning } from './context.ts';
import { parseLink } from './links.ts';
import type { Attachment, ContainerRecord } from './types.ts';

const HOST_FILE = '/etc/resolv.conf';

/** Whether one of the networks is of a kind on which containers are found by name: every bridge but the default one. */
export function hasNames(context: Pick<Context, 'networks'>, attachments: readonly Attachment[]): boolean {
  return attachments.some((attachment) => namedNetwork(context.networks, attachment) !== undefined);
}

function namedNetwork(networks: NetworkStore | undefined, attachment: Attachment): Network | undefined {
  const { networkId, networkName } = attachment;
  if (networkName === 'bridge') return undefined;
  const network = networks?.listNetworks().find(({ id }) => id === networkId);
  return network?.driver === 'bridge' ? network : undefined;
}

/**
 * Has the names of a connected container answered, and its own queries. False: it is on no network with names, or the keeper is
 * of a version that cannot.
 */
export async function serveNames(
  context: Context,
  record: ContainerRecord,
  sandbox: Sandbox,
  attachments: readonly Attachment[],
): Promise<boolean> {
  if (!hasNames(context, attachments)) return false;
  return putNames(context, record, sandbox, attachments);
}

async function putNames(
  context: Context,
  record: ContainerRecord,
  sandbox: Sandbox,
  attachments: readonly Attachment[],
): Promise<boolean> {
  const entry = entryOf(context, record, sandbox, attachments);
  try {
    const { port, isNew } = await context.keeper.names({ kind: 'put', entry });
    if (isNew) redirectQueries(sandbox, { address: RESOLVER_ADDRESS, port });
    return true;
  } catch (error) {
    if (!hasCode(error, 'unimplemented')) throw error;
    context.log.warn('the keeper is older than this engine: containers are not found by name', {
      container: record.id,
    });
    return false;
  }
}

/**
 * Tells the keeper what has changed about a running container: its name, or the networks it was on `before`. Its resolv.conf
 * follows when it gets a resolver now.
 */
export async function updateNames(
  context: Context,
  record: ContainerRecord,
  before: readonly Attachment[],
): Promise<void> {
  const { sandboxId: id, sandboxPath: path } = record;
  if (!isRunning(record) || id === undefined || path === undefined) return;
  const had = hasNames(context, before);
  if (!had && !hasNames(context, record.attachments)) return;
  const isServed = await putNames(context, record, { id, path }, record.attachments);
  if (had || !isServed) return;
  const file = join(dirOf(context, record.id), 'resolv.conf');
  const old = drawResolvConf({ ...record, attachments: before }, context.networks, { isServed: false });
  // What the container itself has written stays.
  if (readHostFile(file) === old)
    writeFileSync(file, drawResolvConf(record, context.networks, { isServed: true }));
}

/** A namespace goes. */
export async function dropNames(context: Context, sandbox: Sandbox): Promise<void> {
  await context.keeper.names({ kind: 'drop', sandboxId: sandbox.id }).catch(() => {});
}

/** After a start of the engine: what runs is answered for, and nothing else. */
export async function restoreNames(context: Context): Promise<void> {
  const kept: string[] = [];
  for (const record of context.records.list()) {
    const { sandboxId: id, sandboxPath: path } = record;
    if (!isRunning(record) || id === undefined || path === undefined) continue;
    if (!hasNames(context, record.attachments)) continue;
    kept.push(id);
    try {
      await putNames(context, record, { id, path }, record.attachments);
    } catch (error) {
      context.log.error('names cannot be looked up in a container', { container: record.id, error });
    }
  }
  const keep = { kind: 'keep', sandboxIds: kept } as const;
  await context.keeper.names(keep).catch((error) => {
    if (!hasCode(error, 'unimplemented')) throw error;
  });
  const networks = context.networks?.listNetworks() ?? [];
  if (networks.some(({ driver, name }) => driver === 'bridge' && name !== 'bridge')) warmNames(context);
}

/** Starts what answers for names ahead of the container that will need it. */
export function warmNames(context: Context): void {
  context.keeper.names({ kind: 'warm' }).catch(() => {});
}

function entryOf(
  context: Context,
  record: ContainerRecord,
  sandbox: Sandbox,
  attachments: readonly Attachment[],
): NamesEntry {
  const { networks } = context;
  const named = attachments.flatMap((attachment, number): NetworkNames[] => {
    const network = namedNetwork(networks, attachment);
    const { endpoint } = attachment;
    if (network === undefined || endpoint === undefined) return [];
    const links = [
      ...(attachment.request.Links ?? []),
      ...(number === 0 ? (record.hostConfig.Links ?? []) : []),
    ].map(parseLink);
    return [
      {
        networkId: network.id,
        networkName: network.name,
        address: endpoint.ipAddress,
        names: dnsNames(record, attachment),
        links: Object.fromEntries(links.map(({ alias, name }) => [alias, name])),
      },
    ];
  });
  const isOut = attachments.some(({ networkId, endpoint }) => {
    const network = networks?.listNetworks().find(({ id }) => id === networkId);
    return endpoint !== undefined && network?.internal === false;
  });
  return {
    sandboxId: sandbox.id,
    netnsPath: sandbox.path,
    networks: named,
    upstreams: upstreamsOf(record),
    forwards: isOut,
    keepsSingleWords: (record.hostConfig.DnsOptions ?? []).some((option) => /^ndots:[1-9]/.test(option)),
  };
}

/** What a container is called on a network, in Docker's order. */
export function dnsNames(record: ContainerRecord, attachment: Attachment): readonly string[] {
  const names = [record.name, ...attachment.aliases, record.id.slice(0, 12), record.config.Hostname ?? ''];
  return [...new Set(names.filter((name) => name !== ''))];
}

function upstreamsOf({ hostConfig: host }: ContainerRecord): NamesEntry['upstreams'] {
  const given = (host.Dns ?? []).filter((address) => isIP(address) !== 0);
  // Networks here have no IPv6; the host may.
  return given.length === 0 ? 'host' : given.map((address) => ({ address, fromHost: isIPv6(address) }));
}

/** The text of a container's resolv.conf. `isServed`: it asks the engine's resolver. */
export function drawResolvConf(
  record: ContainerRecord,
  networks: NetworkStore | undefined,
  { isServed }: { readonly isServed: boolean },
): string {
  const { hostConfig: host } = record;
  const networkId = record.attachments.find(({ endpoint }) => endpoint !== undefined)?.networkId;
  const own = networkId === undefined ? undefined : networks?.resolverFor(networkId);
  const servers = isServed ? [RESOLVER_ADDRESS] : host.Dns?.length ? host.Dns : own?.nameservers;
  if (servers === undefined && !host.DnsSearch?.length && !host.DnsOptions?.length)
    return readHostFile(HOST_FILE);
  const search = host.DnsSearch?.length
    ? host.DnsSearch.filter((domain) => domain !== '.')
    : (own?.search ?? []);
  const asked = host.DnsOptions?.length ? host.DnsOptions : (own?.options ?? []);
  // One word may be a container: it is asked for as it is.
  const needsDots = isServed && !asked.some((option) => option.startsWith('ndots:'));
  const options = needsDots ? [...asked, 'ndots:0'] : asked;
  return `${[
    ...(servers ?? []).map((server) => `nameserver ${server}`),
    ...(search.length > 0 ? [`search ${search.join(' ')}`] : []),
    ...(options.length > 0 ? [`options ${options.join(' ')}`] : []),
  ].join('\n')}\n`;
}

/** A file of the host's, or of a container's; empty when there is none. */
export function readHostFile(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
