import { setTimeout as delay } from 'node:timers/promises';
import { CodedError } from '#base/errors/index.ts';
import type { ContainerSettings, EndpointRequest, HostSettings } from '#container/index.ts';
import type { CreateRequest, WaitCondition } from '#container/types.ts';
import { parseMoment } from '#engine/protocol/index.ts';
import { parseReference, withDefaultTag } from '#oci/reference/index.ts';
import type { RequestContext, Route } from '../core/index.ts';
import { publishPrune } from '../events/index.ts';
import { archiveRoutes } from './archive-routes.ts';
import type { ContainerBackend } from './backend.ts';
import { inspectContainer } from './inspect.ts';
import { selectContainers, summarize } from './list.ts';
import { streamRoutes } from './stream-routes.ts';

const PRUNE_FILTERS = ['label', 'label!', 'until'];
const STATS_INTERVAL_MS = 1000;

type CreateBody = ContainerSettings & {
  readonly HostConfig?: HostSettings | null;
  readonly NetworkingConfig?: {
    readonly EndpointsConfig?: Readonly<Record<string, EndpointRequest | null>> | null;
  } | null;
};

type Handler = (backend: ContainerBackend, context: RequestContext) => Promise<void> | void;

/** `/containers`, `/commit`: everything about containers but exec. */
export function createContainerRoutes(backend: ContainerBackend): Route[] {
  const route = (method: Route['method'], path: string, summary: string, handler: Handler): Route => ({
    method,
    path,
    summary,
    handler: (context) => handler(backend, context),
  });
  return [
    route('GET', '/containers/json', 'List containers', list),
    route('POST', '/containers/create', 'Create a container', create),
    route('POST', '/containers/prune', 'Remove stopped containers', prune),
    route('GET', '/containers/:id/json', 'Inspect a container', inspect),
    route('POST', '/containers/:id/start', 'Start a container', start),
    route('POST', '/containers/:id/stop', 'Stop a container', stop),
    route('POST', '/containers/:id/restart', 'Restart a container', restart),
    route('POST', '/containers/:id/kill', 'Send a signal to a container', kill),
    route('POST', '/containers/:id/pause', 'Pause a container', (b, c) =>
      act(c, b.containers.pause(idOf(c))),
    ),
    route('POST', '/containers/:id/unpause', 'Unpause a container', (b, c) =>
      act(c, b.containers.unpause(idOf(c))),
    ),
    route('POST', '/containers/:id/rename', 'Rename a container', rename),
    route('POST', '/containers/:id/wait', 'Wait for a container', wait),
    route('POST', '/containers/:id/resize', 'Resize a container’s terminal', resize),
    route('POST', '/containers/:id/update', 'Change a container’s limits', update),
    route('DELETE', '/containers/:id', 'Remove a container', remove),
    route('GET', '/containers/:id/top', 'List the processes of a container', top),
    route('GET', '/containers/:id/changes', 'List what a container changed', changes),
    route('GET', '/containers/:id/stats', 'Resource usage of a container', stats),
    route('POST', '/commit', 'Make an image of a container', commit),
    ...streamRoutes(backend),
    ...archiveRoutes(backend),
  ];
}

function idOf(context: RequestContext): string {
  return context.params['id'] ?? '';
}

async function act(context: RequestContext, done: Promise<unknown>): Promise<void> {
  await done;
  context.sendStatus(204);
}

async function list(backend: ContainerBackend, context: RequestContext): Promise<void> {
  const { query } = context;
  const size = query.flag('size');
  const limit = query.integer('limit') ?? -1;
  const found = selectContainers(backend, { all: query.flag('all'), limit, size, filters: query.filters() });
  const lines: object[] = [];
  for (const record of found) {
    const sizes = size ? await backend.containers.sizes(record.id) : undefined;
    lines.push(summarize(record, sizes, backend.shownImage(record)));
  }
  context.sendJson(200, lines);
}

async function create(backend: ContainerBackend, context: RequestContext): Promise<void> {
  const body = await context.readJson<CreateBody>();
  if (body === undefined)
    throw new CodedError('invalid_argument', 'config cannot be empty in order to create a container');
  const { HostConfig, NetworkingConfig, ...config } = withoutNulls(body as CreateBody);
  const request: CreateRequest = {
    name: context.query.get('name') ?? '',
    config: checkShape(config),
    hostConfig: withoutNulls(HostConfig ?? {}),
    endpoints: NetworkingConfig?.EndpointsConfig ?? {},
    ...(context.query.get('platform') ? { platform: context.query.get('platform') ?? '' } : {}),
  };
  const { id, warnings } = await backend.containers.create(request);
  context.sendJson(201, { Id: id, Warnings: warnings });
}

/** Null means "not asked", as in Docker, at every level of the request that has named fields; the keys of maps stay. */
function withoutNulls<T extends object>(fields: T): T {
  const kept = Object.entries(fields).flatMap(([name, value]: [string, unknown]) => {
    if (value === null) return [];
    if (NESTED.includes(name) && typeof value === 'object') return [[name, withoutNulls(value)]];
    if (name === 'Mounts' && Array.isArray(value))
      return [[name, value.map((mount: unknown) => (mount instanceof Object ? withoutNulls(mount) : mount))]];
    return [[name, value]];
  });
  return Object.fromEntries(kept) as T;
}

const NESTED = [
  'Healthcheck',
  'LogConfig',
  'RestartPolicy',
  'BindOptions',
  'VolumeOptions',
  'DriverConfig',
  'TmpfsOptions',
];

/** `Cmd` and `Entrypoint` may be one string; the rest must be what its name says. */
function checkShape(config: ContainerSettings): ContainerSettings {
  const words = (name: 'Cmd' | 'Entrypoint'): readonly string[] | null | undefined => {
    const value: unknown = config[name];
    if (typeof value === 'string') return [value];
    if (value === undefined || value === null) return value;
    if (Array.isArray(value) && value.every((word) => typeof word === 'string')) return value as string[];
    throw new CodedError('invalid_argument', `invalid ${name}: it must be a list of strings`);
  };
  const env: unknown = config.Env;
  if (
    env !== undefined &&
    env !== null &&
    !(Array.isArray(env) && env.every((entry) => typeof entry === 'string'))
  ) {
    throw new CodedError('invalid_argument', 'invalid Env: it must be a list of strings');
  }
  const [cmd, entrypoint] = [words('Cmd'), words('Entrypoint')];
  return {
    ...config,
    ...(cmd === undefined ? {} : { Cmd: cmd }),
    ...(entrypoint === undefined ? {} : { Entrypoint: entrypoint }),
  };
}

async function inspect(backend: ContainerBackend, context: RequestContext): Promise<void> {
  const record = backend.containers.get(idOf(context));
  const sizes = context.query.flag('size') ? await backend.containers.sizes(record.id) : undefined;
  context.sendJson(200, inspectContainer(backend, record, sizes));
}

async function start(backend: ContainerBackend, context: RequestContext): Promise<void> {
  context.sendStatus((await backend.containers.start(idOf(context))) ? 204 : 304);
}

function stopOptions(context: RequestContext): {
  readonly signal?: string;
  readonly timeoutSeconds?: number;
} {
  const seconds = context.query.integer('t');
  const signal = context.query.get('signal');
  return {
    ...(signal ? { signal } : {}),
    ...(seconds === undefined ? {} : { timeoutSeconds: seconds }),
  };
}

async function stop(backend: ContainerBackend, context: RequestContext): Promise<void> {
  context.sendStatus((await backend.containers.stop(idOf(context), stopOptions(context))) ? 204 : 304);
}

async function restart(backend: ContainerBackend, context: RequestContext): Promise<void> {
  await act(context, backend.containers.restart(idOf(context), stopOptions(context)));
}

async function kill(backend: ContainerBackend, context: RequestContext): Promise<void> {
  await act(context, backend.containers.kill(idOf(context), context.query.get('signal') ?? ''));
}

function rename(backend: ContainerBackend, context: RequestContext): void {
  backend.containers.rename(idOf(context), context.query.get('name') ?? '');
  context.sendStatus(204);
}

/** The head leaves at once, as soon as the wait is registered: `docker run` starts the container only then. */
async function wait(backend: ContainerBackend, context: RequestContext): Promise<void> {
  const asked = context.query.get('condition') || 'not-running';
  if (!['not-running', 'next-exit', 'removed'].includes(asked)) {
    throw new CodedError('invalid_argument', `invalid condition: "${asked}"`);
  }
  const ended = backend.containers.wait(idOf(context), asked as WaitCondition, context.signal);
  ended.catch(() => {});
  context.flushHeaders(200, { 'Content-Type': 'application/json' });
  try {
    const { exitCode, error } = await ended;
    await context.write(
      `${JSON.stringify({ StatusCode: exitCode, ...(error === '' ? {} : { Error: { Message: error } }) })}\n`,
    );
  } catch (error) {
    if (!context.signal.aborted) throw error;
  }
  context.response.end();
}

/** Terminal size from `h` and `w`. */
export function sizeOf(context: RequestContext): { readonly rows: number; readonly columns: number } {
  const [rows, columns] = [context.query.integer('h') ?? 0, context.query.integer('w') ?? 0];
  if (rows < 0 || columns < 0 || rows > 65535 || columns > 65535) {
    throw new CodedError('invalid_argument', `invalid terminal size ${columns}x${rows}`);
  }
  return { rows, columns };
}

async function resize(backend: ContainerBackend, context: RequestContext): Promise<void> {
  await backend.containers.resize(idOf(context), sizeOf(context));
  context.sendStatus(200);
}

async function update(backend: ContainerBackend, context: RequestContext): Promise<void> {
  const body = (await context.readJson<HostSettings>()) ?? {};
  context.sendJson(200, { Warnings: await backend.containers.update(idOf(context), body as HostSettings) });
}

async function remove(backend: ContainerBackend, context: RequestContext): Promise<void> {
  const { query } = context;
  const options = { force: query.flag('force'), volumes: query.flag('v'), link: query.flag('link') };
  await act(context, backend.containers.remove(idOf(context), options));
}

async function prune(backend: ContainerBackend, context: RequestContext): Promise<void> {
  const filters = context.query.filters();
  filters.checkKnown(PRUNE_FILTERS);
  const until = filters.get('until').at(-1);
  const before = until === undefined ? undefined : parseMoment(until, new Date()).getTime();
  const removed: string[] = [];
  let reclaimed = 0;
  for (const record of backend.containers.list()) {
    if (!['created', 'exited', 'dead'].includes(record.state.status)) continue;
    if (!filters.passesLabels(record.config.Labels)) continue;
    if (before !== undefined && record.createdAt >= before) continue;
    const { sizeRw } = await backend.containers.sizes(record.id);
    await backend.containers.remove(record.id, { force: false, volumes: false });
    reclaimed += sizeRw;
    removed.push(record.id);
  }
  publishPrune(backend.events, 'container', reclaimed);
  context.sendJson(200, {
    ContainersDeleted: removed.length === 0 ? null : removed,
    SpaceReclaimed: reclaimed,
  });
}

async function top(backend: ContainerBackend, context: RequestContext): Promise<void> {
  const { titles, processes } = await backend.containers.top(
    idOf(context),
    context.query.get('ps_args') ?? '',
  );
  context.sendJson(200, { Titles: titles, Processes: processes });
}

const CHANGE_KINDS = { modified: 0, added: 1, deleted: 2 } as const;

async function changes(backend: ContainerBackend, context: RequestContext): Promise<void> {
  const found = await backend.containers.changes(idOf(context));
  context.sendJson(
    200,
    found.length === 0 ? null : found.map(({ path, kind }) => ({ Path: path, Kind: CHANGE_KINDS[kind] })),
  );
}

async function stats(backend: ContainerBackend, context: RequestContext): Promise<void> {
  const { id } = backend.containers.get(idOf(context));
  const stream = context.query.flag('stream', true);
  let sample = await backend.containers.stats(id, undefined);
  if (!stream) {
    if (!context.query.flag('one-shot')) {
      await pause(STATS_INTERVAL_MS, context.signal);
      sample = await backend.containers.stats(id, sample);
    }
    context.sendJson(200, sample);
    return;
  }
  await context.streamJson(async (lines) => {
    for (;;) {
      await lines.write(sample);
      await pause(STATS_INTERVAL_MS, context.signal);
      if (context.signal.aborted || backend.containers.find(id) === undefined) return;
      sample = await backend.containers.stats(id, sample);
    }
  });
}

async function commit(backend: ContainerBackend, context: RequestContext): Promise<void> {
  const { query } = context;
  const body = await context.readJson<ContainerSettings>();
  const repository = query.get('repo') ?? '';
  const tag = query.get('tag') ?? '';
  const id = await backend.containers.commit({
    container: query.get('container') ?? '',
    reference:
      repository === ''
        ? undefined
        : withDefaultTag(parseReference(tag === '' ? repository : `${repository}:${tag}`)),
    author: query.get('author') ?? '',
    comment: query.get('comment') ?? '',
    changes: query.all('changes').flatMap((text) => text.split('\n')),
    config: body as ContainerSettings | undefined,
    pause: query.flag('pause', true),
  });
  context.sendJson(201, { Id: id });
}

/** Sleeps; the end of the client ends it. */
async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await delay(milliseconds, undefined, { signal }).catch(() => {});
}
