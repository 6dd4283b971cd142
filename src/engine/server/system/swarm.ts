import { CodedError } from '#base/errors/index.ts';
import type { Method, Route } from '../core/index.ts';

const NOT_A_MANAGER =
  'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.';

const SWARM_PATHS: readonly (readonly [Method, string])[] = [
  ['GET', '/swarm'],
  ['GET', '/swarm/unlockkey'],
  ['POST', '/swarm/update'],
  ['POST', '/swarm/unlock'],
  ...['nodes', 'services', 'secrets', 'configs', 'tasks'].flatMap(
    (resource): (readonly [Method, string])[] => [
      ['GET', `/${resource}`],
      ['GET', `/${resource}/:id`],
      ['DELETE', `/${resource}/:id`],
      ['POST', `/${resource}/create`],
      ['POST', `/${resource}/:id/update`],
    ],
  ),
  ['GET', '/services/:id/logs'],
  ['GET', '/tasks/:id/logs'],
];

/** Swarm and plugins, answered as Docker does on a node that is in no swarm and has no plugins. */
export function createSwarmRoutes(): Route[] {
  const refuse = (message: string) => (): never => {
    throw new CodedError('unavailable', message, {
      help: { id: 'swarm/not-supported', cause: 'this engine has no swarm mode' },
    });
  };
  const unsupported = (what: string) => (): never => {
    throw new CodedError('unimplemented', `${what} is not supported by this engine`);
  };
  return [
    ...SWARM_PATHS.map(
      ([method, path]): Route => ({
        method,
        path,
        summary: 'Swarm: not a manager (503)',
        handler: refuse(NOT_A_MANAGER),
      }),
    ),
    {
      method: 'POST',
      path: '/swarm/leave',
      summary: 'Swarm: not a member (503)',
      handler: refuse('This node is not part of a swarm'),
    },
    {
      method: 'POST',
      path: '/swarm/init',
      summary: 'Swarm: not supported (501)',
      handler: unsupported('swarm mode'),
    },
    {
      method: 'POST',
      path: '/swarm/join',
      summary: 'Swarm: not supported (501)',
      handler: unsupported('swarm mode'),
    },
    {
      method: 'GET',
      path: '/plugins',
      since: '1.25',
      summary: 'List plugins (none)',
      handler: (context) => context.sendJson(200, []),
    },
    {
      method: 'GET',
      path: '/plugins/:name+/json',
      since: '1.25',
      summary: 'Inspect a plugin (404)',
      handler: noPlugin,
    },
    {
      method: 'DELETE',
      path: '/plugins/:name+',
      since: '1.25',
      summary: 'Remove a plugin (404)',
      handler: noPlugin,
    },
    {
      method: 'POST',
      path: '/plugins/:name+/enable',
      since: '1.25',
      summary: 'Enable a plugin (404)',
      handler: noPlugin,
    },
    {
      method: 'POST',
      path: '/plugins/:name+/disable',
      since: '1.25',
      summary: 'Disable a plugin (404)',
      handler: noPlugin,
    },
    {
      method: 'GET',
      path: '/plugins/privileges',
      since: '1.25',
      summary: 'Plugins: not supported (501)',
      handler: unsupported('a plugin'),
    },
    {
      method: 'POST',
      path: '/plugins/pull',
      since: '1.25',
      summary: 'Plugins: not supported (501)',
      handler: unsupported('a plugin'),
    },
  ];
}

const noPlugin: Route['handler'] = (context) => {
  throw new CodedError('not_found', `plugin "${context.params['name'] ?? ''}" not found`);
};
