import { CodedError } from '#base/errors/index.ts';
import { type Filters, parseMoment } from '#engine/protocol/index.ts';
import type { Network } from '#runtime/network/types.ts';
import type { RequestContext, Route } from '../core/index.ts';
import { publishPrune } from '../events/index.ts';
import type { NetworkBackend } from './backend.ts';
import { type CreateBody, checkCreate } from './create-checks.ts';

const FILTERS = ['driver', 'type', 'name', 'id', 'label', 'label!', 'scope', 'dangling'];
const PRUNE_FILTERS = ['label', 'label!', 'until'];
const BUILT_IN = ['bridge', 'host', 'none'];

/** Body of connect and disconnect. */
interface MemberBody {
  readonly Container: string;
  readonly Force: boolean;
  readonly EndpointConfig: {
    readonly Aliases?: readonly string[] | null;
    readonly Links?: readonly string[] | null;
    readonly IPAMConfig?: { readonly IPv4Address?: string } | null;
  } | null;
}

/** `/networks`: list, inspect, create, connect, disconnect, remove, prune. */
export function createNetworkRoutes(backend: NetworkBackend): Route[] {
  return [
    {
      method: 'GET',
      path: '/networks',
      summary: 'List networks',
      handler: (context) => list(backend, context),
    },
    {
      method: 'GET',
      path: '/networks/:id',
      summary: 'Inspect a network',
      handler: (context) =>
        context.sendJson(200, inspectNetwork(backend, backend.getNetwork(context.params['id'] ?? ''))),
    },
    {
      method: 'POST',
      path: '/networks/create',
      summary: 'Create a network',
      handler: (context) => create(backend, context),
    },
    {
      method: 'POST',
      path: '/networks/prune',
      since: '1.25',
      summary: 'Remove unused networks',
      handler: (context) => prune(backend, context),
    },
    {
      method: 'POST',
      path: '/networks/:id/connect',
      summary: 'Connect a container to a network',
      handler: (context) => connect(backend, context),
    },
    {
      method: 'POST',
      path: '/networks/:id/disconnect',
      summary: 'Disconnect a container from a network',
      handler: (context) => disconnect(backend, context),
    },
    {
      method: 'DELETE',
      path: '/networks/:id',
      summary: 'Remove a network',
      handler: async (context) => {
        await backend.removeNetwork(context.params['id'] ?? '');
        context.sendStatus(204);
      },
    },
  ];
}

function list(backend: NetworkBackend, context: RequestContext): void {
  const filters = context.query.filters();
  filters.checkKnown(FILTERS);
  const networks = backend.listNetworks().filter((network) => isListed(backend, network, filters));
  context.sendJson(
    200,
    networks.map((network) => ({ ...inspectNetwork(backend, network), Containers: {} })),
  );
}

function isListed(backend: NetworkBackend, network: Network, filters: Filters): boolean {
  const dangling = danglingOf(filters);
  const isUnused = (): boolean =>
    !BUILT_IN.includes(network.name) && backend.listUsers(network.id).length === 0;
  return (
    filters.some('name', (name) => network.name.includes(name)) &&
    filters.some('id', (id) => network.id.startsWith(id)) &&
    filters.matches('driver', wireDriver(network)) &&
    filters.matches('scope', 'local') &&
    filters.some('type', (type) => isOfType(network, type)) &&
    filters.matchesLabels(network.labels) &&
    (dangling === undefined || dangling === isUnused())
  );
}

function danglingOf(filters: Filters): boolean | undefined {
  try {
    return filters.flag('dangling');
  } catch (error) {
    const message = `invalid value for filter 'dangling', must be "true" (or "1"), or "false" (or "0")`;
    throw new CodedError('invalid_argument', message, { cause: error });
  }
}

function isOfType(network: Network, type: string): boolean {
  if (type !== 'builtin' && type !== 'custom')
    throw new CodedError('invalid_argument', `invalid filter: 'type'='${type}'`);
  return (type === 'builtin') === BUILT_IN.includes(network.name);
}

function inspectNetwork(backend: NetworkBackend, network: Network): object {
  const members = backend.listMembers(network.id).map((member) => [
    member.containerId,
    {
      Name: member.containerName,
      EndpointID: member.endpointId,
      MacAddress: member.macAddress,
      IPv4Address: `${member.ipAddress}/${member.prefixLength}`,
      IPv6Address: '',
    },
  ]);
  return {
    Name: network.name,
    Id: network.id,
    Created: network.createdAt.toISOString(),
    Scope: 'local',
    Driver: wireDriver(network),
    EnableIPv4: true,
    EnableIPv6: network.ipv6,
    IPAM: {
      Driver: 'default',
      Options: network.subnet === undefined ? null : {},
      Config: network.subnet === undefined ? null : [{ Subnet: network.subnet, Gateway: network.gateway }],
    },
    Internal: network.internal,
    Attachable: false,
    Ingress: false,
    ConfigFrom: { Network: '' },
    ConfigOnly: false,
    Containers: Object.fromEntries(members),
    Options: network.options,
    Labels: network.labels,
  };
}

/** Docker calls the driver of the `none` network `null`. */
function wireDriver(network: Network): string {
  return network.driver === 'none' ? 'null' : network.driver;
}

async function create(backend: NetworkBackend, context: RequestContext): Promise<void> {
  const body = await context.readJson<CreateBody>();
  checkCreate(body ?? {});
  const [pool] = body?.IPAM?.Config ?? [];
  const network = await backend.createNetwork({
    name: String(body?.Name ?? ''),
    internal: body?.Internal === true,
    ipv6: body?.EnableIPv6 === true,
    options: body?.Options ?? {},
    labels: body?.Labels ?? {},
    ...(body?.Driver ? { driver: body.Driver } : {}),
    ...(pool?.Subnet ? { subnet: pool.Subnet } : {}),
    ...(pool?.Gateway ? { gateway: pool.Gateway } : {}),
  });
  context.sendJson(201, { Id: network.id, Warning: '' });
}

async function connect(backend: NetworkBackend, context: RequestContext): Promise<void> {
  const network = backend.getNetwork(context.params['id'] ?? '');
  const body = await context.readJson<MemberBody>();
  await backend.connectContainer(network, String(body?.Container ?? ''), {
    aliases: body?.EndpointConfig?.Aliases ?? [],
    ipAddress: body?.EndpointConfig?.IPAMConfig?.IPv4Address || undefined,
    links: body?.EndpointConfig?.Links ?? [],
  });
  context.sendStatus(200);
}

async function disconnect(backend: NetworkBackend, context: RequestContext): Promise<void> {
  const network = backend.getNetwork(context.params['id'] ?? '');
  const body = await context.readJson<MemberBody>();
  await backend.disconnectContainer(network, String(body?.Container ?? ''), { force: body?.Force === true });
  context.sendStatus(200);
}

async function prune(backend: NetworkBackend, context: RequestContext): Promise<void> {
  const filters = context.query.filters();
  filters.checkKnown(PRUNE_FILTERS);
  const until = filters.get('until').at(-1);
  const before = until === undefined ? undefined : parseMoment(until, new Date()).getTime();
  const removed: string[] = [];
  for (const network of backend.listNetworks()) {
    const isKept =
      BUILT_IN.includes(network.name) ||
      backend.listUsers(network.id).length > 0 ||
      (before !== undefined && network.createdAt.getTime() > before) ||
      !filters.passesLabels(network.labels);
    if (isKept) continue;
    await backend.removeNetwork(network.id);
    removed.push(network.name);
  }
  publishPrune(backend.events, 'network', 0);
  context.sendJson(200, { NetworksDeleted: removed });
}
