import { CodedError } from '#base/errors/index.ts';
import { API_VERSION, MIN_API_VERSION } from '#engine/protocol/index.ts';
import type { RequestContext, Route } from '../core/index.ts';
import type { DiskUsageParts, SystemBackend } from './backend.ts';
import { type HostFacts, readHostFacts } from './host.ts';
import { buildInfo } from './info.ts';

/** `/_ping`, `/version`, `/info`, `/system/df`. */
export function createSystemRoutes(backend: SystemBackend): Route[] {
  return [
    { method: 'GET', path: '/_ping', summary: 'Check that the engine answers', handler: ping },
    { method: 'HEAD', path: '/_ping', summary: 'Check that the engine answers', handler: ping },
    {
      method: 'GET',
      path: '/version',
      summary: 'Versions of the engine and its parts',
      handler: (context) => context.sendJson(200, buildVersion(backend, readHostFacts())),
    },
    {
      method: 'GET',
      path: '/info',
      summary: 'Facts about the engine and its host',
      handler: (context) => context.sendJson(200, buildInfo(backend, readHostFacts(), context.apiVersion)),
    },
    {
      method: 'GET',
      path: '/system/df',
      since: '1.25',
      summary: 'Disk usage',
      handler: (context) => diskUsage(backend, context),
    },
  ];
}

const PING_HEADERS = {
  'Builder-Version': '1',
  'Cache-Control': 'no-cache, no-store, must-revalidate',
  'Docker-Experimental': 'false',
  Pragma: 'no-cache',
  Swarm: 'inactive',
  'Content-Type': 'text/plain; charset=utf-8',
} as const;

/** Clients send it often, each time on a connection of its own: no work here. */
function ping(context: RequestContext): void {
  const isHead = context.method === 'HEAD';
  context.response.writeHead(200, { ...PING_HEADERS, 'Content-Length': isHead ? 0 : 2 });
  context.response.end(isHead ? undefined : 'OK');
}

function buildVersion(backend: SystemBackend, host: HostFacts): object {
  const { facts } = backend;
  const engine = {
    ApiVersion: API_VERSION,
    Arch: host.architecture,
    BuildTime: facts.buildTime,
    Experimental: 'false',
    GitCommit: facts.commit,
    KernelVersion: host.kernel,
    MinAPIVersion: MIN_API_VERSION,
    GoVersion: runtimeVersion(),
    Os: 'linux',
  };
  return {
    Platform: { Name: facts.name },
    Components: [
      { Name: 'Engine', Version: facts.version, Details: engine },
      { Name: facts.runtime.name, Version: facts.runtime.version, Details: { Path: facts.runtime.path } },
    ],
    Version: facts.version,
    ApiVersion: API_VERSION,
    MinAPIVersion: MIN_API_VERSION,
    GitCommit: facts.commit,
    GoVersion: runtimeVersion(),
    Os: 'linux',
    Arch: host.architecture,
    KernelVersion: host.kernel,
    BuildTime: facts.buildTime,
  };
}

/** Clients print it under "Go version"; it says what really runs. */
function runtimeVersion(): string {
  return `node ${process.version}`;
}

const PARTS: Readonly<Record<string, keyof DiskUsageParts>> = {
  container: 'containers',
  image: 'images',
  volume: 'volumes',
  'build-cache': 'buildCache',
};

async function diskUsage(backend: SystemBackend, context: RequestContext): Promise<void> {
  const parts = partsOf(context.query.all('type'));
  const usage = await backend.diskUsage(parts);
  context.sendJson(200, {
    LayersSize: usage.layersSize,
    Images: parts.images ? usage.images : null,
    Containers: parts.containers ? usage.containers : null,
    Volumes: parts.volumes ? usage.volumes : null,
    BuildCache: parts.buildCache ? usage.buildCache : null,
    ...(context.atLeast(42) ? {} : { BuilderSize: 0 }),
  });
}

function partsOf(types: readonly string[]): DiskUsageParts {
  const parts = { images: false, containers: false, volumes: false, buildCache: false };
  for (const type of types) {
    const part = PARTS[type];
    if (part === undefined) throw new CodedError('invalid_argument', `unknown object type: ${type}`);
    parts[part] = true;
  }
  return types.length > 0 ? parts : { images: true, containers: true, volumes: true, buildCache: true };
}
