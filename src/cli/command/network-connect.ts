import type { Command } from './types.ts';

/** `slipway network connect`. */
export const networkConnect: Command = {
  usage: 'connect [OPTIONS] NETWORK CONTAINER',
  summary: 'Connect a container to a network',
  minArgs: 2,
  maxArgs: 2,
  flags: [
    { name: 'alias', kind: 'list', help: 'Add network-scoped alias for the container' },
    { name: 'ip', kind: 'string', help: 'IPv4 address (e.g., "172.30.100.104")' },
    { name: 'ip6', kind: 'string', help: 'IPv6 address (e.g., "2001:db8::33")' },
    { name: 'link', kind: 'list', help: 'Add link to another container' },
  ],
  async run(context, [network = '', container = ''], flags) {
    const ip = flags.string('ip');
    const ip6 = flags.string('ip6');
    const engine = await context.engine();
    await engine.call('POST', `/networks/${encodeURIComponent(network)}/connect`, {
      json: {
        Container: container,
        EndpointConfig: {
          Aliases: flags.list('alias'),
          Links: flags.list('link'),
          IPAMConfig: { ...(ip ? { IPv4Address: ip } : {}), ...(ip6 ? { IPv6Address: ip6 } : {}) },
        },
      },
      signal: context.signal,
    });
    return 0;
  },
};

/** `slipway network disconnect`. */
export const networkDisconnect: Command = {
  usage: 'disconnect [OPTIONS] NETWORK CONTAINER',
  summary: 'Disconnect a container from a network',
  minArgs: 2,
  maxArgs: 2,
  flags: [
    { name: 'force', short: 'f', kind: 'bool', help: 'Force the container to disconnect from a network' },
  ],
  async run(context, [network = '', container = ''], flags) {
    const engine = await context.engine();
    await engine.call('POST', `/networks/${encodeURIComponent(network)}/disconnect`, {
      json: { Container: container, Force: flags.bool('force') },
      signal: context.signal,
    });
    return 0;
  },
};
