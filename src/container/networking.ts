import { BlockList, isIPv4 } from 'node:net';
import { CodedError, hasCode } from '#base/errors/index.ts';
import type { Network, NetworkStore, PortBinding, Sandbox } from '#runtime/network/types.ts';
import type { NamespaceChoice } from '#runtime/spec/index.ts';
import { type Context, dirOf, isRunning } from './context.ts';
import { dropNames, hasNames, serveNames } from './resolver.ts';
import type { Attachment, ContainerRecord, CreateRequest } from './types.ts';
import type { EndpointRequest, HostSettings } from './wire.ts';

/** The networks a new container will be on, the one of `NetworkMode` first. */
export function resolveAttachments(
  host: HostSettings,
  endpoints: CreateRequest['endpoints'],
  networks: NetworkStore | undefined,
): readonly Attachment[] {
  const mode = host.NetworkMode ?? 'bridge';
  if (mode.startsWith('container:')) return [];
  const names = [mode, ...Object.keys(endpoints).filter((name) => name !== mode && name !== 'default')];
  return names.map((name) => {
    const request = endpoints[name] ?? (name === 'bridge' ? endpoints['default'] : undefined) ?? {};
    return attachmentFor(name, request, networks);
  });
}

/**
 * Checks what a client asks for on each network.
 * @throws {CodedError} `invalid_argument` with Docker's texts.
 */
export function checkEndpoints(
  host: HostSettings,
  endpoints: CreateRequest['endpoints'],
  networks: NetworkStore | undefined,
): void {
  const known = networks?.listNetworks() ?? [];
  const problems = Object.entries(endpoints).flatMap(([key, request]) => {
    const name = key === 'default' ? (host.NetworkMode ?? 'bridge') : key;
    const network = known.find((one) => one.name === name || one.id === name);
    const found = endpointProblems(name, request ?? {}, network);
    return found.length === 0
      ? []
      : [`invalid config for network ${name}: invalid endpoint settings:\n${found.join('\n')}`];
  });
  if (problems.length > 0) throw new CodedError('invalid_argument', problems.join('\n'));
}

/** What is wrong with a request for an endpoint, in Docker's words. */
export function endpointProblems(
  name: string,
  request: EndpointRequest,
  network: Network | undefined,
): readonly string[] {
  const address = request.IPAMConfig?.IPv4Address;
  const isPlain = PLAIN_NETWORKS.includes(network?.name ?? name) || name.startsWith('container:');
  const isBad = Boolean(address) && !isIPv4(address ?? '');
  return [
    ...(isPlain && address ? ['user specified IP address is supported on user defined networks only'] : []),
    ...(isPlain && (request.Aliases?.length ?? 0) > 0
      ? ['network-scoped aliases are only supported for user-defined networks']
      : []),
    ...(isBad ? [`invalid IPv4 address: ${address}`] : []),
    ...(!isPlain && address && !isBad ? rangeProblems(address, network) : []),
  ];
}

const PLAIN_NETWORKS = ['bridge', 'default', 'host', 'none'];

function rangeProblems(address: string, network: Network | undefined): readonly string[] {
  if (network?.subnet === undefined) return [];
  if (network.isSubnetChosen === true) {
    return [
      'user specified IP address is supported only when connecting to networks with user configured subnets',
    ];
  }
  const [base = '', length = '32'] = network.subnet.split('/');
  const subnet = new BlockList();
  subnet.addSubnet(base, Number(length), 'ipv4');
  return subnet.check(address) ? [] : [`no configured subnet or ip-range contain the IP address ${address}`];
}

/** What is kept about a container's wish to be on a network. */
export function attachmentFor(
  name: string,
  request: EndpointRequest,
  networks: NetworkStore | undefined,
): Attachment {
  let network: { readonly id: string; readonly name: string } | undefined;
  try {
    network = networks?.getNetwork(name);
  } catch (error) {
    // It may be made before the container is started; the start tells.
    if (!hasCode(error, 'not_found')) throw error;
  }
  const ipAddress = request.IPAMConfig?.IPv4Address;
  return {
    networkId: network?.id ?? '',
    networkName: network?.name ?? name,
    aliases: request.Aliases ?? [],
    request,
    ...(ipAddress ? { ipAddress } : {}),
  };
}

/** A started container's network: where its namespace comes from, and what must be kept about it. */
export interface PreparedNetwork {
  readonly namespace: NamespaceChoice;
  readonly sandbox: Sandbox | undefined;
  readonly attachments: readonly Attachment[];
  /** Names are looked up at the resolver of the engine. */
  readonly hasResolver: boolean;
  /** Files of the container whose network this one shares. */
  readonly ownerDir?: string;
}

/**
 * Connects a container that is about to start. On failure nothing stays.
 * @throws {CodedError} with Docker's texts.
 */
export async function prepareNetwork(context: Context, record: ContainerRecord): Promise<PreparedNetwork> {
  const mode = record.hostConfig.NetworkMode ?? 'bridge';
  const plain = { sandbox: undefined, attachments: record.attachments, hasResolver: false };
  if (record.config.NetworkDisabled === true || mode === 'none') return { namespace: 'private', ...plain };
  if (mode === 'host') return { namespace: 'host', ...plain };
  if (mode.startsWith('container:')) {
    const owner = runningOwner(context, mode);
    const namespace = { path: `/proc/${owner.state.pid}/ns/net` };
    return { namespace, ...plain, ownerDir: dirOf(context, owner.id) };
  }
  const { networks } = context;
  if (networks === undefined) {
    throw new CodedError('unimplemented', 'this engine has no bridge networks: use --network host or none');
  }
  const sandbox = await networks.acquireSandbox();
  try {
    const attachments: Attachment[] = [];
    // As in Docker: over the network that leads outward; what is only on internal ones is not published.
    const outward = record.attachments.find((one) => !networkOf(networks, one).internal);
    for (const attachment of record.attachments)
      attachments.push(await attachOne(context, record, sandbox, attachment, attachment === outward));
    const hasResolver = await serveNames(context, record, sandbox, attachments);
    return { namespace: { path: sandbox.path }, sandbox, attachments, hasResolver };
  } catch (error) {
    await releaseSandbox(context, sandbox, hasNames(context, record.attachments));
    throw error;
  }
}

/** Connects one network of a container. */
export async function attachOne(
  context: Context,
  record: ContainerRecord,
  sandbox: Sandbox,
  attachment: Attachment,
  publishes: boolean,
): Promise<Attachment> {
  const networks = context.networks as NetworkStore;
  const network = networkOf(networks, attachment);
  const ranges = publishes ? portRanges(record) : [];
  const endpoint = await tryPorts(ranges, (ports) =>
    networks.attach(sandbox, {
      networkId: network.id,
      containerId: record.id,
      containerName: record.name,
      aliases: [...attachment.aliases, record.id.slice(0, 12)],
      ...(attachment.ipAddress === undefined ? {} : { ipAddress: attachment.ipAddress }),
      ports,
    }),
  );
  return { ...attachment, networkId: network.id, networkName: network.name, endpoint };
}

function networkOf(networks: NetworkStore, { networkId, networkName }: Attachment): Network {
  return networks.getNetwork(networkId || networkName);
}

interface PortRange extends Omit<PortBinding, 'hostPort'> {
  readonly first: number;
  readonly last: number;
}

/** Tries the ports of each range in turn until none is taken. */
async function tryPorts<T>(
  ranges: readonly PortRange[],
  attach: (ports: readonly PortBinding[]) => Promise<T>,
): Promise<T> {
  const widest = Math.max(0, ...ranges.map(({ first, last }) => last - first));
  for (let step = 0; ; step++) {
    try {
      return await attach(
        ranges.map(({ first, last, ...port }) => ({ ...port, hostPort: Math.min(first + step, last) })),
      );
    } catch (error) {
      if (step >= widest || !hasCode(error, 'conflict')) throw error;
    }
  }
}

function portRanges(record: ContainerRecord): readonly PortRange[] {
  const { PortBindings: bindings, PublishAllPorts: all } = record.hostConfig;
  const asked = Object.entries(bindings ?? {}).flatMap(([port, hosts]) =>
    (hosts?.length ? hosts : [{}]).map((host) => ({ ...parsePort(port), ...parseHost(host) })),
  );
  if (all !== true) return asked;
  const exposed = Object.keys(record.config.ExposedPorts ?? {})
    .map(parsePort)
    .filter(
      ({ containerPort, protocol }) =>
        !asked.some((port) => port.containerPort === containerPort && port.protocol === protocol),
    )
    .map((port) => ({ ...port, hostIp: '0.0.0.0', first: 0, last: 0 }));
  return [...asked, ...exposed];
}

function parsePort(text: string): {
  readonly containerPort: number;
  readonly protocol: PortBinding['protocol'];
} {
  const match = /^(\d+)(?:\/(tcp|udp|sctp))?$/.exec(text);
  const port = Number(match?.[1] ?? Number.NaN);
  if (match === null || port > 65535)
    throw new CodedError('invalid_argument', `invalid port specification: "${text}"`);
  return { containerPort: port, protocol: (match[2] ?? 'tcp') as PortBinding['protocol'] };
}

function parseHost(host: { readonly HostIp?: string; readonly HostPort?: string }): {
  readonly hostIp: string;
  readonly first: number;
  readonly last: number;
} {
  const match = /^(\d*)(?:-(\d+))?$/.exec(host.HostPort ?? '');
  const first = Number(match?.[1] || 0);
  const last = Number(match?.[2] || first);
  if (match === null || last < first || last > 65535) {
    throw new CodedError('invalid_argument', `invalid port specification: "${host.HostPort}"`);
  }
  return { hostIp: host.HostIp || '0.0.0.0', first, last };
}

/** @throws {CodedError} `invalid_argument` for ports that cannot be. */
export function checkPorts(host: HostSettings): void {
  for (const [port, hosts] of Object.entries(host.PortBindings ?? {})) {
    parsePort(port);
    for (const one of hosts ?? []) parseHost(one);
  }
}

/** The container that `container:<name>` names. @throws {CodedError} `conflict` when it does not run. */
function runningOwner(context: Context, mode: string): ContainerRecord {
  const record = context.records.get(mode.slice('container:'.length));
  if (isRunning(record)) return record;
  throw new CodedError('conflict', `cannot join network of a non running container: ${record.id}`);
}

/** The namespaces of `--pid`, `--ipc` and `--uts`. */
export function namespacesOf(
  context: Context,
  host: HostSettings,
): {
  readonly pid: NamespaceChoice;
  readonly ipc: NamespaceChoice;
  readonly uts: NamespaceChoice;
} {
  const choose = (mode: string | undefined, kind: string): NamespaceChoice => {
    if (mode === 'host') return 'host';
    if (!mode?.startsWith('container:')) return 'private';
    const record = context.records.get(mode.slice('container:'.length));
    if (!isRunning(record))
      throw new CodedError(
        'conflict',
        `cannot join ${kind.toUpperCase()} of a non running container: ${record.id}`,
      );
    if (kind === 'ipc' && !['shareable', 'host'].includes(record.hostConfig.IpcMode ?? ''))
      throw new CodedError(
        'conflict',
        `failed to join IPC namespace: container ${record.id}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)`,
      );
    return { path: `/proc/${record.state.pid}/ns/${kind}` };
  };
  return {
    pid: choose(host.PidMode, 'pid'),
    ipc: choose(host.IpcMode, 'ipc'),
    uts: choose(host.UTSMode, 'uts'),
  };
}

/** Takes a stopped container off its networks. */
export async function releaseNetwork(context: Context, record: ContainerRecord): Promise<void> {
  if (record.sandboxId === undefined || record.sandboxPath === undefined) return;
  const sandbox = { id: record.sandboxId, path: record.sandboxPath };
  await releaseSandbox(context, sandbox, hasNames(context, record.attachments));
}

/** Gives a namespace back; its resolver goes first, for its sockets would keep the namespace. */
export async function releaseSandbox(
  context: Context,
  sandbox: Sandbox,
  hasResolver: boolean,
): Promise<void> {
  if (hasResolver) await dropNames(context, sandbox);
  await context.networks?.releaseSandbox(sandbox);
}
