import { CodedError } from '#base/errors/index.ts';
import type { PathStat } from '#container/types.ts';
import type { RequestContext, Route } from '../core/index.ts';
import type { ContainerBackend } from './backend.ts';

/** `docker cp` both ways, and `export`. */
export function archiveRoutes(backend: ContainerBackend): Route[] {
  return [
    {
      method: 'HEAD',
      path: '/containers/:id/archive',
      summary: 'Facts about a path in a container',
      handler: async (context) => {
        const stat = await backend.containers.statPath(idOf(context), pathOf(context));
        context.sendStatus(200, { 'X-Docker-Container-Path-Stat': encodeStat(stat) });
      },
    },
    {
      method: 'GET',
      path: '/containers/:id/archive',
      summary: 'Copy a path out of a container, as a tar',
      handler: async (context) => {
        const { stat, tar } = await backend.containers.readArchive(
          idOf(context),
          pathOf(context),
          context.signal,
        );
        const headers = {
          'Content-Type': 'application/x-tar',
          'X-Docker-Container-Path-Stat': encodeStat(stat),
        };
        await context.sendStream(200, headers, tar);
      },
    },
    {
      method: 'PUT',
      path: '/containers/:id/archive',
      summary: 'Unpack a tar in a container',
      handler: async (context) => {
        await backend.containers.writeArchive(idOf(context), pathOf(context), context.body, {
          noOverwriteDirNonDir: context.query.flag('noOverwriteDirNonDir'),
          copyOwner: context.query.flag('copyUIDGID'),
          signal: context.signal,
        });
        context.sendStatus(200);
      },
    },
    {
      method: 'GET',
      path: '/containers/:id/export',
      summary: 'A container’s file system as a tar',
      handler: async (context) => {
        const { id } = backend.containers.get(idOf(context));
        const tar = backend.containers.exportTar(id, context.signal);
        await context.sendStream(200, { 'Content-Type': 'application/x-tar' }, tar);
      },
    },
  ];
}

function idOf(context: RequestContext): string {
  return context.params['id'] ?? '';
}

function pathOf(context: RequestContext): string {
  const path = context.query.get('path') ?? '';
  if (path !== '') return path;
  throw new CodedError('invalid_argument', 'missing required parameter "path"');
}

function encodeStat(stat: PathStat): string {
  return Buffer.from(JSON.stringify(stat)).toString('base64');
}
