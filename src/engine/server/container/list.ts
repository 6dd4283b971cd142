/** `GET /containers/json`: which containers, and how each looks. */
import { CodedError } from '#base/errors/index.ts';
import { commandOf } from '#container/index.ts';
import type { ContainerHealth, ContainerRecord } from '#container/types.ts';
import type { Filters } from '#engine/protocol/index.ts';
import type { ContainerBackend } from './backend.ts';
import { publishedPorts, wireMount, wireNetworks, withProtocol } from './inspect.ts';

const FILTERS = [
  'ancestor',
  'before',
  'expose',
  'exited',
  'health',
  'id',
  'isolation',
  'is-task',
  'label',
  'name',
  'network',
  'publish',
  'since',
  'status',
  'volume',
];
const STATUSES = ['created', 'restarting', 'running', 'removing', 'paused', 'exited', 'dead'];

const HEALTH = ['none', 'starting', 'healthy', 'unhealthy'];

/** What `ps` asks for. */
export interface ListQuery {
  readonly all: boolean;
  readonly limit: number;
  readonly size: boolean;
  readonly filters: Filters;
}

/**
 * The containers that match, newest first.
 * @throws {CodedError} `invalid_argument` with Docker's texts.
 */
export function selectContainers(backend: ContainerBackend, query: ListQuery): readonly ContainerRecord[] {
  const { filters } = query;
  filters.checkKnown(FILTERS);
  for (const status of filters.get('status')) {
    if (STATUSES.includes(status)) continue;
    throw new CodedError('invalid_argument', `invalid filter 'status=${status}'`);
  }
  for (const health of filters.get('health')) {
    if (HEALTH.includes(health)) continue;
    throw new CodedError('invalid_argument', `unrecognized filter value for health: ${health}`);
  }
  const exited = filters.get('exited').map((text) => {
    if (/^-?\d+$/.test(text)) return Number(text);
    throw new CodedError(
      'invalid_argument',
      `invalid filter 'exited=${text}': strconv.Atoi: parsing "${text}": invalid syntax`,
    );
  });
  filters.flag('is-task');
  checkPorts(filters, 'publish');
  checkPorts(filters, 'expose');
  const bounds = {
    before: timeBound(backend, filters.get('before')),
    since: timeBound(backend, filters.get('since')),
  };
  const all =
    query.all ||
    query.limit > 0 ||
    filters.has('status') ||
    exited.length > 0 ||
    filters.has('before') ||
    filters.has('since');
  const ancestors = filters.get('ancestor');
  const found = backend.containers
    .list()
    .filter((record) => {
      if (!all && !['running', 'paused', 'restarting'].includes(record.state.status)) return false;
      if (bounds.before !== undefined && record.createdAt >= bounds.before) return false;
      if (bounds.since !== undefined && record.createdAt <= bounds.since) return false;
      if (exited.length > 0 && !(record.state.status === 'exited' && exited.includes(record.state.exitCode)))
        return false;
      return (
        matches(record, filters) &&
        (ancestors.length === 0 || ancestors.some((one) => hasAncestor(record, one)))
      );
    })
    .toSorted((a, b) => b.createdAt - a.createdAt);
  return query.limit > 0 ? found.slice(0, query.limit) : found;
}

function checkPorts(filters: Filters, key: string): void {
  for (const value of filters.get(key)) {
    const number = value.split('/', 1)[0] ?? '';
    if (/^\d+(?:-\d+)?$/.test(number)) continue;
    throw new CodedError(
      'invalid_argument',
      `error while looking up for ${key} ${value}: strconv.ParseUint: parsing "${number}": invalid syntax`,
    );
  }
}

function matches(record: ContainerRecord, filters: Filters): boolean {
  return (
    filters.matches('status', record.state.status) &&
    filters.some('id', (id) => record.id.startsWith(id)) &&
    filters.some('name', (name) => matchesName(record.name, name)) &&
    filters.matchesLabels(record.config.Labels) &&
    filters.some('health', (health) => health === (record.state.health?.status ?? 'none')) &&
    filters.flag('is-task') !== true &&
    filters.some('volume', (volume) =>
      record.mounts.some(({ name, source, destination }) => [name, source, destination].includes(volume)),
    ) &&
    filters.some('network', (network) =>
      record.attachments.some(
        ({ networkId, networkName }) =>
          networkName === network || (networkId !== '' && networkId.startsWith(network)),
      ),
    ) &&
    filters.some('publish', (port) =>
      publishedPorts(record).some((one) => `${one.hostPort}/${one.protocol}` === withProtocol(port)),
    ) &&
    filters.some('expose', (port) =>
      Object.keys(record.config.ExposedPorts ?? {}).some((one) => withProtocol(one) === withProtocol(port)),
    )
  );
}

/** Docker takes a regular expression; here plain text with `^`, `$`, `/` and `.*`, which needs no backtracking. */
function matchesName(name: string, pattern: string): boolean {
  const full = `/${name}`;
  const anchoredStart = pattern.startsWith('^');
  const anchoredEnd = pattern.endsWith('$');
  const parts = pattern.slice(anchoredStart ? 1 : 0, anchoredEnd ? -1 : undefined).split('.*');
  return [full, name].some((text) => {
    let at = 0;
    for (const [number, part] of parts.entries()) {
      const isLast = number === parts.length - 1;
      const found =
        isLast && anchoredEnd
          ? text.endsWith(part) && text.length - part.length >= at
            ? text.length - part.length
            : -1
          : text.indexOf(part, at);
      if (found < 0 || (number === 0 && anchoredStart && found !== 0)) return false;
      at = found + part.length;
    }
    return true;
  });
}

function hasAncestor(record: ContainerRecord, name: string): boolean {
  const plain = name.replace(/^sha256:/, '');
  if (/^[0-9a-f]{4,64}$/.test(plain) && record.imageId.slice('sha256:'.length).startsWith(plain)) return true;
  const withTag = (text: string): string =>
    /:[^/]*$/.test(text) || text.includes('@') ? text : `${text}:latest`;
  return withTag(record.imageName) === withTag(name);
}

function timeBound(backend: ContainerBackend, names: readonly string[]): number | undefined {
  const last = names.at(-1);
  return last === undefined ? undefined : backend.containers.get(last).createdAt;
}

/** One line of `ps`; `image` is the name its image goes by now. */
export function summarize(
  record: ContainerRecord,
  sizes: { readonly sizeRw: number; readonly sizeRootFs: number } | undefined,
  image: string = record.imageName,
): object {
  const words = commandOf(record.config);
  const ports: object[] = publishedPorts(record).map((port) => ({
    IP: port.hostIp,
    PrivatePort: port.containerPort,
    PublicPort: port.hostPort,
    Type: port.protocol,
  }));
  const published = new Set(publishedPorts(record).map((port) => `${port.containerPort}/${port.protocol}`));
  if (record.attachments.some(({ endpoint }) => endpoint !== undefined)) {
    for (const exposed of Object.keys(record.config.ExposedPorts ?? {}).map(withProtocol)) {
      const [port, type] = exposed.split('/');
      if (!published.has(exposed)) ports.push({ PrivatePort: Number(port), Type: type });
    }
  }
  return {
    Id: record.id,
    Names: [`/${record.name}`],
    Image: image,
    ImageID: record.imageId,
    Command: words.map((word) => (/\s/.test(word) ? `'${word}'` : word)).join(' '),
    Created: Math.floor(record.createdAt / 1000),
    Ports: ports,
    ...(sizes === undefined ? {} : { SizeRw: sizes.sizeRw, SizeRootFs: sizes.sizeRootFs }),
    Labels: record.config.Labels ?? {},
    State: record.state.status,
    Status: statusText(record, Date.now()),
    HostConfig: {
      NetworkMode:
        record.hostConfig.NetworkMode === 'bridge' ? 'default' : (record.hostConfig.NetworkMode ?? 'default'),
    },
    NetworkSettings: { Networks: wireNetworks(record) },
    Mounts: record.mounts.filter(({ type }) => type !== 'tmpfs').map(wireMount),
  };
}

/** `Up 3 minutes`, `Exited (0) 2 hours ago`, … in Docker's words. */
export function statusText({ state }: ContainerRecord, now: number): string {
  switch (state.status) {
    case 'running':
      return `Up ${humanDuration(now - state.startedAt)}${healthText(state.health)}`;
    case 'paused':
      return `Up ${humanDuration(now - state.startedAt)} (Paused)`;
    case 'restarting':
      return `Restarting (${state.exitCode}) ${humanDuration(now - state.finishedAt)} ago`;
    case 'removing':
      return 'Removal In Progress';
    case 'dead':
      return 'Dead';
    case 'created':
      return 'Created';
    case 'exited':
      return `Exited (${state.exitCode}) ${humanDuration(now - state.finishedAt)} ago`;
  }
}

function healthText(health: ContainerHealth | undefined): string {
  if (health === undefined) return '';
  return health.status === 'starting' ? ' (health: starting)' : ` (${health.status})`;
}

/** A duration as Docker words it. */
export function humanDuration(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  const minutes = Math.floor(seconds / 60);
  const hours = Math.round(milliseconds / 3_600_000);
  if (seconds < 1) return 'Less than a second';
  if (seconds === 1) return '1 second';
  if (seconds < 60) return `${seconds} seconds`;
  if (minutes === 1) return 'About a minute';
  if (minutes < 60) return `${minutes} minutes`;
  if (hours === 1) return 'About an hour';
  if (hours < 48) return `${hours} hours`;
  if (hours < 24 * 7 * 2) return `${Math.floor(hours / 24)} days`;
  if (hours < 24 * 30 * 2) return `${Math.floor(hours / 24 / 7)} weeks`;
  if (hours < 24 * 365 * 2) return `${Math.floor(hours / 24 / 30)} months`;
  return `${Math.floor(hours / 24 / 365)} years`;
}
